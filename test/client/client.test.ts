import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createClient, normalizeBaseUrl } from "../../src/client/client.ts";
import { ClientError } from "../../src/client/errors.ts";
import { sessionIdOf } from "./support/events.ts";
import { type ContractServer, problem, startContractServer } from "./support/server.ts";

let server: ContractServer;
beforeAll(() => {
  server = startContractServer();
});
afterAll(() => server.stop());

const failureOf = async (promise: Promise<unknown>): Promise<ClientError> => {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ClientError);
  return error as ClientError;
};

describe("the address of the server", () => {
  const cases = [
    ["http://127.0.0.1:9000", "http://127.0.0.1:9000"],
    ["http://127.0.0.1:9000/", "http://127.0.0.1:9000"],
    ["http://127.0.0.1:9000/api", "http://127.0.0.1:9000"],
    ["http://127.0.0.1:9000/api/v1//", "http://127.0.0.1:9000"],
    ["https://example.org/everruns/api/", "https://example.org/everruns"],
    ["localhost:9000", "http://localhost:9000"],
  ] as const;
  for (const [given, expected] of cases) {
    test(`${given} means ${expected}`, () => expect(normalizeBaseUrl(given)).toBe(expected));
  }
  test("that is none is refused with what was given", () => {
    expect(() => normalizeBaseUrl("http://a b")).toThrow("not a server address: http://a b");
  });
});

describe("a call", () => {
  test("sends the key as it is and asks the right route", async () => {
    const client = createClient({ baseUrl: `${server.url}/api/`, apiKey: "evr_pat_x" });
    const session = await client.createSession({ title: "t" });
    expect(session.id).toMatch(/^session_/);
    expect(server.requests.at(-1)).toBe("POST /api/v1/sessions");
    expect(server.authorizations.at(-1)).toBe("evr_pat_x");
  });

  test("without a key sends none", async () => {
    await createClient({ baseUrl: server.url, apiKey: null }).health();
    expect(server.authorizations.at(-1)).toBeNull();
  });

  test("repeats list filters and leaves out what is absent", async () => {
    const client = createClient({ baseUrl: server.url, apiKey: null });
    const id = server.createSession();
    await client.listEvents(id, { types: ["turn.started", "turn.completed"], sinceId: undefined, limit: 5 });
    expect(server.requests.at(-1)).toBe(
      `GET /api/v1/sessions/${id}/events?types=turn.started&types=turn.completed&limit=5`,
    );
  });

  const failures: [string, () => Response, Partial<ClientError>][] = [
    [
      "problem+json",
      () => problem(404, "not_found", "Session not found"),
      {
        status: 404,
        code: "not_found",
        message: "Session not found",
        requestId: "req-1",
        isRetryable: false,
      },
    ],
    [
      "a rate limit with Retry-After",
      () => problem(429, "rate_limited", "Slow down", { "retry-after": "7" }),
      { status: 429, code: "rate_limited", retryAfterSeconds: 7, isRetryable: true },
    ],
    [
      "the older error shape",
      () => Response.json({ error: "went wrong" }, { status: 500 }),
      { status: 500, code: "unknown", message: "went wrong", isRetryable: true },
    ],
    [
      "an HTML page of something else",
      () => new Response("<h1>502</h1>", { status: 502, statusText: "Bad Gateway" }),
      {
        status: 502,
        code: "not_everruns",
        message: expect.stringContaining("answered 502 Bad Gateway; is it an everruns server?"),
      },
    ],
    [
      "a success that is not JSON",
      () => new Response("<h1>hello</h1>"),
      { status: 200, code: "not_everruns" },
    ],
  ];
  for (const [name, answer, expected] of failures) {
    test(`turns ${name} into a ClientError`, async () => {
      const other = startContractServer();
      other.intercept(answer);
      const client = createClient({ baseUrl: other.url, apiKey: null });
      const error = await failureOf(client.getSession(sessionIdOf(1)));
      expect(error).toMatchObject(expected as object);
      await other.stop();
    });
  }

  test("to nobody says how to start a server", async () => {
    const gone = startContractServer();
    await gone.stop();
    const error = await failureOf(createClient({ baseUrl: gone.url, apiKey: null }).health());
    expect(error.message).toBe(`no server at ${gone.url}; start one with \`everruns serve\``);
    expect(error).toMatchObject({ status: 0, code: "unreachable", isRetryable: true });
  });

  test("of lastEventId gives the newest event, or null in an empty session", async () => {
    const client = createClient({ baseUrl: server.url, apiKey: null });
    const id = server.createSession();
    expect(await client.lastEventId(id)).toBe(server.log(id).at(-1)?.id ?? "");
    server.intercept(() => Response.json({ data: [], total: 0, offset: 0, limit: 1 }));
    expect(await client.lastEventId(id)).toBeNull();
    server.intercept(null);
  });
});
