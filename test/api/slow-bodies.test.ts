/** Bodies that never end hold nobody else up. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { openAccess } from "../../src/api/access/access.ts";
import { identifyByCredential } from "../../src/api/access/authenticate.ts";
import { readBytes } from "../../src/api/http/body.ts";
import { systemClock } from "../../src/base/clock.ts";
import { newId } from "../../src/base/id.ts";
import { bearer, makeToken, makeUser } from "../support/callers.ts";
import { type LiveServer, startServer } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

let database: TestDatabase;
let server: LiveServer;
beforeAll(async () => {
  database = await testDatabase();
  const access = openAccess({ jwtKey: new Uint8Array(32), clock: systemClock });
  server = await startServer(database, { identify: (db) => identifyByCredential(db, access) });
});
afterAll(async () => {
  await server.stop();
  await database.drop();
});

/** A body of which nothing but the beginning is sent. @returns closes the connection */
async function stall(path: string, headers: Record<string, string>, length = 1_100_000): Promise<() => void> {
  const { hostname, port, host } = new URL(server.url);
  const lines = { host, "content-type": "application/json", "content-length": String(length), ...headers };
  const socket = connect(Number(port), hostname);
  await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
  await new Promise<void>((resolve) =>
    socket.write(`POST ${path} HTTP/1.1\r\n${head.join("")}\r\n{`, () => resolve()),
  );
  return () => socket.destroy();
}

async function someone() {
  const organizationId = newId("org");
  await database.db.sql`insert into organizations (id, name) values (${organizationId}, 'Test')`;
  const user = await makeUser(database.db, { organizationId });
  const { token } = await makeToken(database.db, user.id, { organizationIds: [organizationId] });
  return bearer(token);
}
const upload = async (headers: Record<string, string>) => {
  const response = await fetch(`${server.url}/api/v1/agents`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({
      name: "large",
      system_prompt: "x".repeat(1_000_000),
      description: "y".repeat(9_000),
      tags: Array.from({ length: 50 }, (_, at) => `${at}`.repeat(40)),
      initial_files: [{ path: "/a", content: "z".repeat(100_000) }],
    }),
  });
  return response.status;
};

describe("while bodies do not end", () => {
  test("of nobody in particular, they are refused at once when they say that they are large", async () => {
    const response = await fetch(`${server.url}/api/v1/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email: "a@example.com", password: "x".repeat(1_100_000) }),
    });
    expect(response.status).toBe(413);
    const close = await Promise.all(Array.from({ length: 8 }, () => stall("/api/v1/auth/login", {})));
    expect(await upload(await someone())).toBe(201);
    for (const each of close) each();
  });

  test("of one organization, another one is served", async () => {
    const [theirs, ours] = [await someone(), await someone()];
    const close = await Promise.all(Array.from({ length: 8 }, () => stall("/api/v1/agents", theirs)));
    expect(await upload(ours)).toBe(201);
    for (const each of close) each();
  });

  test("and are huge, those that are not are taken in beside them", async () => {
    const [theirs, ours] = [await someone(), await someone()];
    const [path, length] = ["/api/v1/workspaces/wsp_0198c0de4f2a7c3e9b1a5d6e7f8091a2/fs/a", 120_000_000];
    const close = await Promise.all(Array.from({ length: 8 }, () => stall(path, theirs, length)));
    expect([await upload(theirs), await upload(ours)]).toEqual([201, 201]);
    for (const each of close) each();
  });
});

describe("a body", () => {
  const bodyOf = (pull: (controller: ReadableStreamDefaultController<Uint8Array>) => void) =>
    new Request("http://localhost/", { method: "POST", body: new ReadableStream<Uint8Array>({ pull }) });

  test("that stops coming is given up", async () => {
    let isFirst = true;
    const request = bodyOf((controller) => {
      if (isFirst) controller.enqueue(new Uint8Array(10));
      isFirst = false;
      return isFirst ? undefined : new Promise(() => {});
    });
    expect(readBytes(request, 1_000, { bytesPerSecondMin: 1_000_000, graceMs: 10 })).rejects.toMatchObject({
      name: "RetryableError",
      message: "the body took too long to arrive",
    });
  });

  test("that comes at the pace that is asked for is read to its end", async () => {
    let left = 20;
    const request = bodyOf((controller) => {
      left -= 1;
      if (left === 0) return controller.close();
      controller.enqueue(new Uint8Array(10));
      return Bun.sleep(2);
    });
    expect(await readBytes(request, 1_000, { bytesPerSecondMin: 1, graceMs: 10 })).toHaveLength(190);
  });
});
