/** Before a route is asked: whose page it is, from where it comes, how often it came. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createClientAddresses } from "../../src/api/http/client-address.ts";
import { createRateLimit } from "../../src/api/http/rate-limit.ts";
import { type TestApp, testApp } from "../support/app.ts";

const PAGE = "https://app.example.com";
let nowMs = 0;
const clock = { monotonicMs: () => nowMs };
let app: TestApp;

beforeAll(async () => {
  app = await testApp({ corsOrigins: [PAGE], rateLimit: createRateLimit({ perMinute: 3, clock }) });
});
afterAll(() => app.close());

const from = async (address: string | null, path: string, init: RequestInit = {}) => {
  const request = new Request(`http://localhost${path}`, init);
  app.addresses.note(request, address);
  const answer = await app.app.handle(request);
  await answer.body?.cancel();
  return answer;
};

describe("pages of other sites", () => {
  const preflight = (origin: string) =>
    from(null, "/v1/sessions", {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST" },
    });

  test("one that the operator named may ask, with cookies, and sees our headers", async () => {
    const asked = await preflight(PAGE);
    expect(asked.status).toBe(204);
    expect(asked.headers.get("access-control-allow-methods")).toContain("POST");
    expect(asked.headers.get("access-control-allow-headers")).toContain("authorization");
    const answer = await from(null, "/v1/sessions", {
      method: "POST",
      body: "{}",
      headers: { origin: PAGE, "content-type": "application/json" },
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get("access-control-allow-origin")).toBe(PAGE);
    expect(answer.headers.get("access-control-allow-credentials")).toBe("true");
    expect(answer.headers.get("access-control-expose-headers")).toContain("x-total-count");
    expect(answer.headers.get("vary")).toBe("Origin");
  });

  test("a problem carries the headers, too: the page may read what was wrong", async () => {
    const answer = await from(null, "/v1/sessions/nope", { headers: { origin: PAGE } });
    expect(answer.status).toBe(400);
    expect(answer.headers.get("access-control-allow-origin")).toBe(PAGE);
  });

  test.each([
    "https://app.example.com.evil.com",
    "http://app.example.com",
    "https://app.example.com:444",
    "null",
    "https://evil.com",
  ])("%s is not it", async (origin) => {
    const asked = await preflight(origin);
    const read = await from(null, "/v1/agents", { headers: { origin } });
    expect([asked.status, asked.headers.get("access-control-allow-origin")]).toEqual([405, null]);
    expect([read.status, read.headers.get("access-control-allow-origin")]).toEqual([200, null]);
  });
});

describe("how often an address may ask", () => {
  test("past the limit 429 says when to come back; others and later requests are served", async () => {
    nowMs = 1_000_000;
    const answers = [];
    for (let n = 0; n < 4; n += 1) answers.push(await from("10.0.0.1", "/v1/agents"));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
    expect(answers[0]?.headers.get("ratelimit")).toBe('"address";r=2');
    expect(answers[0]?.headers.get("ratelimit-policy")).toBe('"address";q=3;w=60');
    expect(answers[3]?.headers.get("retry-after")).toBe("20");
    expect((await from("10.0.0.2", "/v1/agents")).status).toBe(200);
    nowMs += 19_999;
    expect((await from("10.0.0.1", "/v1/agents")).status).toBe(429);
    nowMs += 1;
    expect((await from("10.0.0.1", "/v1/agents")).status).toBe(200);
  });

  test("both spellings of the base count together; probes do not count", async () => {
    nowMs = 2_000_000;
    for (const path of ["/v1/agents", "/api/v1/agents", "/v1/agents"]) await from("10.0.0.3", path);
    expect((await from("10.0.0.3", "/api/v1/agents")).status).toBe(429);
    expect((await from("10.0.0.3", "/health")).status).toBe(200);
  });

  test("the addresses that are remembered are bounded; the quiet one goes first", () => {
    const limit = createRateLimit({ perMinute: 1, clock, addressesMax: 2 });
    for (const address of ["a", "b", "a", "c"]) limit.take(address);
    expect(limit.take("a").waitSeconds).toBe(60);
    expect(limit.take("b").waitSeconds).toBeNull();
  });
});

describe("from where a request comes", () => {
  const of = (proxies: string[], socket: string, forwarded?: string) => {
    const addresses = createClientAddresses(proxies);
    const request = new Request("http://localhost/", {
      headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
    });
    addresses.note(request, socket);
    return addresses.of(request);
  };

  test.each<[string[], string, string | undefined, string]>([
    [[], "203.0.113.9", "10.9.9.9", "203.0.113.9"],
    [["127.0.0.1"], "127.0.0.1", undefined, "127.0.0.1"],
    [["127.0.0.1"], "127.0.0.1", "203.0.113.9", "203.0.113.9"],
    [["127.0.0.1"], "::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"],
    [["127.0.0.1"], "203.0.113.1", "10.9.9.9", "203.0.113.1"],
    [["127.0.0.1", "10.0.0.0/8"], "127.0.0.1", "6.6.6.6, 203.0.113.9, 10.1.2.3", "203.0.113.9"],
    [["127.0.0.1"], "127.0.0.1", "6.6.6.6, unknown", "127.0.0.1"],
    [["127.0.0.1"], "127.0.0.1", "rubbish, 203.0.113.9", "203.0.113.9"],
    [["::1"], "::1", "2001:DB8:0::1", "2001:db8::1"],
    [["10.0.0.0/8"], "10.0.0.1", "10.0.0.2", "10.0.0.1"],
  ])("proxies %j, socket %s, header %p: %s", (proxies, socket, forwarded, address) => {
    expect(of(proxies, socket, forwarded)).toBe(address);
  });
});
