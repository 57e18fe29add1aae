/** What holds for every request: prefixes, methods, hosts, request ids, and what happens when things break. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isLoopback } from "../../src/api/http/identify.ts";
import { openDb } from "../../src/db/pool.ts";
import { type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

describe("routes", () => {
  test("stand below /v1 and /api/v1 alike", async () => {
    const [a, b] = [await app.get("//v1/harnesses"), await app.get("//api/v1/harnesses")];
    expect([a.status, b.status, b.body]).toEqual([200, 200, a.body]);
    const methods = (prefix: string) =>
      app.app.routes
        .filter(({ path }) => path.startsWith(prefix))
        .map(({ method, path }) => method + path.slice(prefix.length));
    expect(methods("/v1/")).toEqual(methods("/api/v1/"));
  });

  test("a method that a path does not have is 405 and says which it has", async () => {
    const cases: [string, string, string][] = [
      ["PUT", "/agents", "GET, POST"],
      ["POST", "/agents/some-agent", "DELETE, GET, PATCH, PUT"],
      ["DELETE", "/sessions/stats", "DELETE, GET, PATCH"],
      ["POST", "//health", "GET"],
      ["OPTIONS", "/providers", "GET, POST"],
    ];
    for (const [method, path, allow] of cases) {
      const answer = await app.call(method, path);
      if (method === "DELETE") {
        // `stats` is taken for an id by the route of one session.
        expect(answer.body.code).toBe("invalid_id");
        continue;
      }
      expect([method, path, answer.status, answer.headers.get("allow")]).toEqual([method, path, 405, allow]);
      expect(answer.body.code).toBe("method_not_allowed");
    }
  });

  test("an unknown path is 404 with a problem", async () => {
    for (const path of ["/nothing", "//", "//v2/agents", "/agents/a/b/c", "//v1"]) {
      const answer = await app.get(path);
      expect([path, answer.status, answer.body.code]).toEqual([path, 404, "not_found"]);
    }
  });

  test("a slash at the end changes nothing", async () => {
    expect((await app.get("/agents/")).status).toBe(200);
  });
});

describe("X-Request-Id", () => {
  const cases: [what: string, sent: string | null, isEchoed: boolean][] = [
    ["the caller's own is echoed", "trace-1/2:3", true],
    ["of 128 characters, too", "x".repeat(128), true],
    ["one too long is replaced", "x".repeat(129), false],
    ["one with spaces is replaced", "a b", false],
    ["without one there is a new one", null, false],
  ];
  for (const [what, sent, isEchoed] of cases) {
    test(what, async () => {
      for (const path of ["//health", "/agents", "/agents/nobody", "/nothing", "/agents?limit=x"]) {
        const answer = await app.call("GET", path, undefined, sent === null ? {} : { "x-request-id": sent });
        const id = answer.headers.get("x-request-id");
        if (isEchoed) expect(id).toBe(sent);
        else expect(id).toMatch(/^req_[0-9a-f]{32}$/);
      }
    });
  }

  test("is on answers without a body", async () => {
    await app.post("/agents", { name: "x", system_prompt: "x" });
    const answer = await app.call("DELETE", "/agents/x", undefined, { "x-request-id": "r-1" });
    expect([answer.status, answer.headers.get("x-request-id")]).toEqual([204, "r-1"]);
  });
});

describe("who may call a server without authentication", () => {
  const hosts: [host: string, isAllowed: boolean][] = [
    ["localhost", true],
    ["localhost:9000", true],
    ["LOCALHOST.", true],
    ["127.0.0.1:9000", true],
    ["127.1.2.3", true],
    ["[::1]:9000", true],
    ["app.localhost:9000", true],
    ["everruns.test:9000", true],
    ["evil.com", false],
    ["localhost.evil.com", false],
    ["127.0.0.1.evil.com", false],
    ["evil-localhost", false],
    ["everruns.test.evil.com", false],
    ["0.0.0.0", false],
    ["192.168.1.2:9000", false],
    ["[::2]", false],
    ["user@localhost", false],
    ["", false],
  ];
  for (const [host, isAllowed] of hosts) {
    test(`Host ${JSON.stringify(host)}: ${isAllowed ? "yes" : "no"}`, async () => {
      const answer = await app.call("GET", "/agents", undefined, { host });
      expect([answer.status, answer.body.code]).toEqual(
        isAllowed ? [200, undefined] : [403, "forbidden_host"],
      );
    });
  }

  const origins: [origin: string, status: number][] = [
    ["http://localhost:3000", 201],
    ["http://127.0.0.1", 201],
    ["http://[::1]:9000", 201],
    ["https://everruns.test", 201],
    ["https://evil.com", 403],
    ["http://localhost.evil.com", 403],
    ["null", 403],
    ["chrome-extension://abc", 403],
    ["http://localhost@evil.com", 403],
  ];
  for (const [origin, status] of origins) {
    test(`a change from the page ${origin}: ${status}`, async () => {
      const answer = await app.call("POST", "/sessions", {}, { origin });
      expect([answer.status, answer.headers.get("access-control-allow-origin")]).toEqual([status, null]);
    });
  }

  test("reading with an Origin is allowed: without CORS headers the page cannot see it", async () => {
    const answer = await app.call("GET", "/agents", undefined, { origin: "https://evil.com" });
    expect([answer.status, answer.headers.get("access-control-allow-origin")]).toEqual([200, null]);
  });

  test("any Authorization is taken", async () => {
    for (const authorization of ["evr_pat_x", "Bearer evr_pat_x", "ApiKey evr_x", "nonsense"]) {
      expect((await app.call("GET", "/agents", undefined, { authorization })).status).toBe(200);
    }
  });

  test("probes are answered under any name", async () => {
    for (const path of ["//health", "//ready"]) {
      expect((await app.call("GET", path, undefined, { host: "10.0.0.7:9000" })).status).toBe(200);
    }
  });

  const names: [string, boolean][] = [
    ["127.0.0.256", false],
    ["127.0.0", false],
    ["128.0.0.1", false],
    ["1127.0.0.1", false],
    ["127.255.255.255", true],
  ];
  for (const [name, expected] of names) {
    test(`${name} is ${expected ? "" : "not "}loopback`, () => expect(isLoopback(name)).toBe(expected));
  }
});

describe("when things break", () => {
  test("a database that cannot be reached is 503 with Retry-After, and the log says why", async () => {
    const db = openDb({ url: "postgres://nobody@127.0.0.1:1/none" });
    const broken = await testApp({ db, isReady: async () => "the database cannot be reached" });
    try {
      for (const [method, path, body] of [
        ["GET", "/agents", undefined],
        ["POST", "/agents", { name: "a", system_prompt: "x" }],
        ["GET", "//ready", undefined],
      ] as const) {
        const answer = await broken.call(method, path, body);
        expect([path, answer.status, answer.body.code]).toEqual([path, 503, "unavailable"]);
        expect(answer.headers.get("retry-after")).toBe(String(answer.body.retry_after_seconds));
        expect(answer.body.retry_after_seconds).toBeGreaterThan(0);
      }
      expect((await broken.get("//health")).status).toBe(200);
      expect(broken.logged.some((line) => line.includes("could not be served"))).toBe(true);
    } finally {
      await db.close();
      await broken.close();
    }
  });

  test("a bug is 500 with a generic text; the log has the stack under the request's id", async () => {
    const broken = await testApp();
    try {
      await broken.db.sql`alter table agents rename column description to a_secret_name`;
      const answer = await broken.call("GET", "/agents", undefined, { "x-request-id": "find-me" });
      expect([answer.status, answer.body.code]).toEqual([500, "internal_error"]);
      expect(JSON.stringify(answer.body)).not.toMatch(/description|column|select/);
      const line = broken.logged
        .map((text) => JSON.parse(text))
        .find((entry) => entry.request_id === "find-me");
      expect(line).toMatchObject({ level: "error", method: "GET", path: "/v1/agents" });
      expect(line.error.message).toContain("does not exist");
    } finally {
      await broken.close();
    }
  });
});

describe("the server on a socket", () => {
  test("a body that announces more than is allowed is refused before it is read", async () => {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => app.app.fetch(request) });
    try {
      const answer = await fetch(`${server.url}v1/agents`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: new Uint8Array(17 * 1024 * 1024),
      });
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([
        413,
        "payload_too_large",
      ]);
      const chunked = await fetch(`${server.url}v1/agents`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: new ReadableStream({
          start(controller) {
            for (let part = 0; part < 20; part += 1) controller.enqueue(new Uint8Array(1024 * 1024).fill(32));
            controller.close();
          },
        }),
      });
      expect([chunked.status, ((await chunked.json()) as { code: string }).code]).toEqual([
        413,
        "payload_too_large",
      ]);
      expect((await fetch(`${server.url}health`, { method: "HEAD" })).status).toBe(200);
    } finally {
      await server.stop(true);
    }
  });
});
