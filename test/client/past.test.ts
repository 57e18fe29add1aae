/** The past of a session, longer than a page. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createClient } from "../../src/client/client.ts";
import { pastEvents } from "../../src/client/past.ts";
import { limits } from "../../src/contract/limits.ts";
import { turnEvents, turnIdOf } from "./support/events.ts";
import { type ContractServer, startContractServer } from "./support/server.ts";

let server: ContractServer;
let session: string;
beforeAll(() => {
  server = startContractServer();
  session = server.createSession();
  const chunks = Array.from({ length: 2 * limits.eventsPageMax }, (_, at) => `${at} `);
  server.append(session, turnEvents({ turnId: turnIdOf(1), input: "go", reasons: [{ chunks }] }));
});
afterAll(() => server.stop());

const read = async () => {
  const client = createClient({ baseUrl: server.url, apiKey: null });
  return (await Array.fromAsync(pastEvents(client, session, { fromTs: "2026-01-01T00:00:00Z" }))).map(
    ({ sequence }) => sequence,
  );
};

test("is read page by page, to its end", async () => {
  const asked: string[] = [];
  server.intercept(({ url }) => {
    const query = new URL(url).searchParams;
    asked.push(query.toString());
    const [after, limit] = [Number(query.get("after_sequence")), Number(query.get("limit"))];
    const data = server.log(session).filter(({ sequence }) => sequence > after);
    return Response.json({ data: data.slice(0, limit), total: data.length, offset: 0, limit });
  });
  const all = server.log(session).map(({ sequence }) => sequence);
  expect(all.length).toBeGreaterThan(2 * limits.eventsPageMax);
  expect(await read()).toEqual(all);
  expect(asked.map((query) => /after_sequence=(\d+)/.exec(query)?.[1])).toEqual(["0", "1000", "2000"]);
  expect(asked.every((query) => query.includes("from_ts=2026-01-01"))).toBe(true);
});

test("ends with a server that knows no cursor, too", async () => {
  const data = server.log(session).slice(0, limits.eventsPageMax);
  server.intercept(() => Response.json({ data, total: data.length, offset: 0, limit: data.length }));
  expect(await read()).toEqual(data.map(({ sequence }) => sequence));
});
