/**
 * Every reader sees through forks. A random tree of sessions is grown; each session's log is also written down
 * naively, event by event, as a session without a parent. Whatever is asked of both must be answered alike.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { newEventIdHead, newId } from "../../src/base/id.ts";
import { DELTA_TYPES, type Event } from "../../src/contract/event.ts";
import { sessionHead } from "../../src/db/events.ts";
import { createGroupedReader } from "../../src/db/grouped-reader.ts";
import { readHistory, readHistoryPage } from "../../src/db/history.ts";
import { ownLog } from "../../src/db/lineage.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { type LiveServer, openStream, startServer } from "../support/live.ts";
import type { TestDatabase } from "../support/postgres.ts";
import { newSession, ORGANIZATION } from "../support/sessions.ts";

let app: TestApp;
let server: LiveServer;
beforeAll(async () => {
  app = await testApp();
  server = await startServer({ address: app.db.address } as TestDatabase);
});
afterAll(async () => {
  await server.stop();
  await app.close();
});

/** A row of the log as it is written down. */
interface Stored {
  sequence: number;
  id: string;
  type: string;
  ts: string;
  context: object;
  data: object;
  tags: string[] | null;
}
interface Node {
  id: string;
  /** Naive: everything that its log shows. */
  log: Stored[];
  last: number;
}

const TYPES = [
  "input.message",
  "session.activated",
  "turn.started",
  "reason.started",
  "output.message.started",
  "output.message.delta",
  "output.message.delta",
  "reason.thinking.delta",
  "output.message.completed",
  "llm.generation",
  "tool.completed",
  "turn.completed",
  "session.idled",
] as const;

function dataOf(type: string, n: number): object {
  const message = {
    id: newId("message"),
    role: "user",
    content: [{ type: "text", text: `word${n % 7} 50%` }],
  };
  if (type === "input.message") return { message };
  if (type === "output.message.completed") return { message: { ...message, role: "agent" } };
  if (type.endsWith(".delta")) return { turn_id: "t", delta: `${n} ` };
  if (type === "tool.completed")
    return { tool_call_id: `c${n}`, tool_name: `tool${n % 2}`, success: true, result: [] };
  if (type === "llm.generation")
    return {
      messages: [],
      output: {},
      metadata: {
        model: "m",
        success: true,
        usage: { input_tokens: n, output_tokens: 1, estimated_cost_usd: 0.25 },
      },
    };
  return { turn_id: "t" };
}

async function write(sessionId: string, rows: readonly Stored[]): Promise<void> {
  const { sql } = app.db;
  const last = rows.at(-1)?.sequence ?? 0;
  for (const row of rows) {
    await sql`
      insert into events (session_id, sequence, id, type, ts, context, data, tags)
      values (${sessionId}, ${row.sequence}, ${row.id}, ${row.type}, ${row.ts}::text::timestamptz,
              ${JSON.stringify(row.context)}::text::jsonb, ${JSON.stringify(row.data)}::text::jsonb,
              ${row.tags}::text[])`;
  }
  await sql`update sessions set last_sequence = greatest(last_sequence, ${last}) where id = ${sessionId}`;
}

async function grow(node: Node, picks: readonly number[]): Promise<void> {
  const rows = picks.map((pick, index): Stored => {
    const sequence = node.last + 1 + index;
    const type = TYPES[pick % TYPES.length] as string;
    return {
      sequence,
      id: newEventIdHead() + sequence.toString(16).padStart(10, "0"),
      type,
      ts: new Date(Date.UTC(2026, 0, 1) + sequence * 1000).toISOString(),
      context: { turn_id: `turn_${Math.floor(sequence / 9)}`, exec_id: `exec_${Math.floor(sequence / 5)}` },
      data: dataOf(type, sequence),
      tags: pick % 5 === 0 ? ["blue"] : null,
    };
  });
  await write(node.id, rows);
  node.log.push(...rows);
  node.last += rows.length;
}

async function fork(parent: Node, at: number): Promise<Node> {
  const { status, body } = await app.post(`/sessions/${parent.id}/fork`, { at_sequence: at });
  expect(status).toBe(201);
  const log = parent.log.filter(({ sequence }) => sequence <= at);
  // What the fork itself wrote ends an open turn; which turns are open has a test of its own.
  const own = await app.db.sql<(Stored & { ts: Date })[]>`
    select sequence, id, type, ts, context, data, tags from events where session_id = ${body.id} order by sequence`;
  log.push(...own.map((row) => ({ ...row, ts: (row.ts as unknown as Date).toISOString() })));
  return { id: body.id, log, last: at + own.length };
}

/** Removes a delta wherever it was written, as pruning does: whoever shares it has the hole. */
async function prune(nodes: readonly Node[], id: string): Promise<void> {
  await app.db.sql`delete from events where id = ${id}`;
  for (const node of nodes) node.log = node.log.filter((row) => row.id !== id);
}

/** The same log, as a session without a parent. */
async function flatCopy(node: Node): Promise<string> {
  const id = await newSession(app.db);
  await write(id, node.log);
  await app.db.sql`update sessions set last_sequence = ${node.last} where id = ${id}`;
  return id;
}

const action = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ grow: fc.array(fc.nat(1000), { minLength: 1, maxLength: 12 }), of: fc.nat() }),
  },
  { weight: 4, arbitrary: fc.record({ forkAt: fc.nat(), of: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ prune: fc.nat(), of: fc.nat() }) },
);
type Action = { grow?: number[]; forkAt?: number; prune?: number; of: number };

async function tree(actions: readonly Action[]): Promise<Node[]> {
  const root: Node = { id: await newSession(app.db), log: [], last: 0 };
  const nodes = [root];
  await grow(root, [0, 1, 2, 3, 4, 5, 6, 8]);
  for (const one of actions) {
    const node = nodes[one.of % nodes.length] as Node;
    if (one.grow) await grow(node, one.grow);
    if (one.forkAt !== undefined) nodes.push(await fork(node, 1 + (one.forkAt % node.last)));
    if (one.prune !== undefined) {
      const deltas = node.log.filter(({ type }) => type.endsWith(".delta"));
      const gone = deltas[one.prune % Math.max(1, deltas.length)];
      if (gone) await prune(nodes, gone.id);
    }
  }
  return nodes;
}

/** Queries of GET /events that take a different way through the code, around some places of the log. */
function queries(node: Node, places: readonly number[]): string[] {
  const ids = places.map((n) => node.log[n % node.log.length]?.id ?? "");
  const sequences = places.map((n) => n % (node.last + 2));
  return [
    "",
    "?order_desc=true",
    "?limit=3",
    "?limit=1000&exclude=output.message.delta",
    "?types=input.message&types=turn.started",
    "?q=WORD3",
    "?q=50%25&limit=2",
    "?tags=blue",
    "?tool_name=tool1",
    ...ids.flatMap((id) => [`?since_id=${id}`, `?since_id=${id}&limit=2`, `?around=${id}&window=3`]),
    ...sequences.flatMap((n) => [
      `?after_sequence=${n}&limit=4`,
      `?before_sequence=${n}&limit=4`,
      `?before_sequence=${n}&limit=2&q=word&types=input.message`,
      `?turn_id=turn_${Math.floor(n / 9)}`,
      `?exec_id=exec_${Math.floor(n / 5)}`,
      `?from_ts=${new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString()}`,
    ]),
  ];
}

const under = (id: string, value: unknown) =>
  JSON.parse(
    JSON.stringify(value).replaceAll(/"session_id":"session_\w+"/g, `"session_id":"${id}"`),
  ) as unknown;

test("I1, I2, I7: whatever is read of a fork is what a session with the same events would show", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action as fc.Arbitrary<Action>, { minLength: 3, maxLength: 14 }),
      fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
      async (actions, places) => {
        const nodes = await tree(actions);
        const reader = createGroupedReader(app.db, 4);
        for (const node of nodes) {
          const flat = await flatCopy(node);
          for (const path of ["/messages", ...queries(node, places).map((query) => `/events${query}`)]) {
            const [seen, expected] = [
              await app.get(`/sessions/${node.id}${path}`),
              await app.get(`/sessions/${flat}${path}`),
            ];
            expect([path, seen.status, seen.body]).toEqual([
              path,
              expected.status,
              under(node.id, expected.body) as object,
            ]);
            expect(seen.headers.get("x-total-count")).toBe(expected.headers.get("x-total-count"));
          }
          const head = await sessionHead(app.db, ORGANIZATION, node.id);
          if (!head) throw new Error("the session is there");
          expect(head.lastSequence).toBe(node.last);
          for (const place of [0, ...places]) {
            const range = { after: place % (node.last + 1) };
            expect(await readHistory(app.db, head.log, range)).toEqual(
              under(node.id, await readHistory(app.db, ownLog(flat), range)) as Event[],
            );
          }
          const page = { before: null, rowsMax: 1_000, storedBytesMax: 1_000_000 };
          expect(await readHistoryPage(app.db, head.log, page)).toEqual({
            events: await readHistory(app.db, head.log, { after: 0 }),
            isFirst: true,
          });
          const cursors = Array.from({ length: node.last + 2 }, (_, cursor) => cursor);
          const read = await Promise.all(
            cursors.map((cursor) => reader.read(node.id, cursor, head.log.lineage)),
          );
          const naive = cursors.map((cursor) =>
            node.log.filter(({ sequence }) => sequence > cursor).slice(0, 4),
          );
          expect(read.map((events) => events.map(({ id, session_id }) => [id, session_id]))).toEqual(
            naive.map((rows) => rows.map(({ id }) => [id, node.id])),
          );
        }
      },
    ),
    { numRuns: 12 },
  );
}, 60_000);

test("a diff is what each log has after the last event that both show", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action as fc.Arbitrary<Action>, { minLength: 3, maxLength: 14 }),
      async (actions) => {
        const nodes = await tree(actions);
        for (const [index, a] of nodes.entries()) {
          const b = nodes[(index * 7 + 3) % nodes.length] as Node;
          const { body } = await app.get(`/sessions/${a.id}/diff/${b.id}`);
          const shared = body.common_ancestor.sequence;
          const other = new Set(b.log.map(({ id }) => id));
          const parted = a.log.find(({ id }) => !other.has(id))?.sequence ?? Number.POSITIVE_INFINITY;
          const back = b.log.find(({ id }) => !a.log.some((row) => row.id === id))?.sequence;
          // A pruned delta may have been the last one shared: what is left tells the place from above only.
          expect(shared).toBeLessThan(Math.min(parted, back ?? Number.POSITIVE_INFINITY));
          for (const [side, node] of [
            ["a", a],
            ["b", b],
          ] as const) {
            const rows = node.log.filter(({ sequence }) => sequence > shared);
            const kept = rows.filter(({ type }) => !(DELTA_TYPES as readonly string[]).includes(type));
            expect(body[side].map((event: Event) => event.id)).toEqual(kept.map(({ id }) => id));
            const calls = rows.filter(({ type }) => type === "llm.generation");
            expect(body.usage[side]).toMatchObject({
              input_tokens: calls.reduce((sum, { sequence }) => sum + sequence, 0),
              output_tokens: calls.length,
              estimated_cost_usd: calls.length * 0.25,
            });
            const sharedRows = node.log.filter(({ sequence }) => sequence <= shared).map(({ id }) => id);
            expect(sharedRows.every((id) => a.log.some((row) => row.id === id))).toBe(true);
            expect(sharedRows.every((id) => other.has(id))).toBe(true);
          }
        }
      },
    ),
    { numRuns: 12 },
  );
}, 60_000);

test("I2, I7: a stream of a fork resumes at every event, inherited or own, also one that is pruned", async () => {
  const root: Node = { id: await newSession(app.db), log: [], last: 0 };
  await grow(root, [0, 1, 2, 3, 4, 5, 6]);
  const child = await fork(root, 6);
  await grow(child, [0, 1, 2, 4, 5]);
  const grandchild = await fork(child, child.last - 1);
  await grow(grandchild, [5, 8, 11, 12]);
  const pruned = root.log.find(({ type }) => type.endsWith(".delta"));
  if (pruned) await prune([root, child, grandchild], pruned.id);
  const flat = await flatCopy(grandchild);
  const frames = async (session: string, query: string, headers: Record<string, string> = {}) => {
    const stream = await openStream(`${server.url}/v1/sessions/${session}/sse${query}`, { headers });
    const events = await stream.eventsUntil(({ sequence }) => sequence === grandchild.last);
    stream.close();
    return events;
  };
  const ids = [...grandchild.log.slice(0, -1).map(({ id }) => id), pruned?.id ?? ""];
  expect(await frames(grandchild.id, "")).toEqual(under(grandchild.id, await frames(flat, "")) as Event[]);
  for (const id of ids) {
    const expected = under(grandchild.id, await frames(flat, `?since_id=${id}`));
    expect(await frames(grandchild.id, `?since_id=${id}`)).toEqual(expected as Event[]);
    expect(await frames(grandchild.id, "", { "last-event-id": id })).toEqual(expected as Event[]);
  }
  // And goes on live with what the fork itself writes, while its parents write, too.
  const live = await openStream(`${server.url}/v1/sessions/${grandchild.id}/sse?since_id=latest`);
  await live.next();
  for (const node of [root, child, grandchild]) {
    await grow(node, [0, 8]);
    server.hints.publish({ sessions: [node.id] });
  }
  const seen = await live.eventsUntil(({ sequence }) => sequence === grandchild.last);
  expect(seen.map(({ id }) => id)).toEqual(grandchild.log.slice(-2).map(({ id }) => id));
  live.close();

  const foreign = child.log.at(-1)?.id ?? "";
  const refused = await openStream(`${server.url}/v1/sessions/${grandchild.id}/sse?since_id=${foreign}`);
  expect([refused.status, (await refused.json()).code]).toEqual([400, "invalid_cursor"]);
  refused.close();
});
