/** A platform in which runs are parked: the API and a worker on one database, and sessions that wait. */
import { z } from "zod";
import { defineTool } from "../../src/capabilities/tool.ts";
import type { CapabilityConfig, ToolDefinition } from "../../src/contract/common.ts";
import type { Event, EventOf } from "../../src/contract/event.ts";
import { type ParkedAct, parkRun, type WaitWrite } from "../../src/db/park.ts";
import type { DatabaseAddress, Db } from "../../src/db/pool.ts";
import { settledWith, settleWaits, waitsOfTurn } from "../../src/db/waits.ts";
import { type Answer, type TestApp, testApp } from "./app.ts";
import { seedModel, startEngine, type TestEngine } from "./engine.ts";
import { script } from "./scripts.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, readLog, send } from "./sessions.ts";

export const clientTool = (name: string, more: Partial<ToolDefinition> = {}): ToolDefinition => ({
  type: "client_side",
  name,
  description: `The client's ${name}.`,
  parameters: { type: "object", properties: {} },
  ...more,
});

export interface Waiting {
  app: TestApp;
  engine: TestEngine;
  /** What the server's own tools were called with. */
  ran: { tool: string; input: unknown }[];
  startEngine(options?: Parameters<typeof startEngine>[1]): Promise<TestEngine>;
  /** A session whose model calls these tools, and then answers "Done."; resolves when its run waits. */
  waiting(
    calls: readonly { name: string; arguments?: object }[],
    layer?: { tools?: readonly ToolDefinition[]; capabilities?: readonly CapabilityConfig[] },
  ): Promise<{ session: string; turnId: string; callIds: string[] }>;
  results(session: string, results: readonly object[]): Promise<Answer>;
  run(session: string): Promise<Record<string, unknown>>;
  status(session: string): Promise<string>;
  close(): Promise<void>;
}

const at = (address: DatabaseAddress) => ({ address }) as Parameters<typeof startEngine>[0];

export async function startWaiting(): Promise<Waiting> {
  const app = await testApp();
  await seedModel(app.db);
  const ran: Waiting["ran"] = [];
  const serverTool = (name: string, effect: "pure" | "at_most_once") =>
    defineTool({
      name,
      displayName: name,
      description: name,
      effect,
      input: z.object({ amount: z.number().optional() }),
      run: async (input) => {
        ran.push({ tool: name, input });
        return `${name} ran`;
      },
    });
  const tools = [serverTool("charge", "at_most_once"), serverTool("look", "pure")];
  const start: Waiting["startEngine"] = (options = {}) =>
    startEngine(at(app.db.address), { tools, ...options });
  const { sql } = app.db;
  const self: Waiting = {
    app,
    engine: await start(),
    ran,
    startEngine: start,
    async waiting(calls, layer = {}) {
      const session = await newSession(app.db, null, layer);
      const message = `Go.\n${script([{ tool_calls: calls }, { text: "Done." }])}`;
      const accepted = await send(app.db, session, message);
      self.engine.hint();
      const events = await logOnce(app.db, session, (log) =>
        log.some((event) => event.type === "act.started"),
      );
      for (;;) {
        const [row] = await sql`select state from runs where session_id = ${session}`;
        if (row?.state === "waiting") break;
        await Bun.sleep(2);
      }
      const started = events.find((event) => event.type === "act.started");
      const callIds = started?.data.tool_calls.map((call) => call.id) ?? [];
      return { session, turnId: (accepted as { turnId: string }).turnId, callIds };
    },
    results: (session, results) => app.post(`/sessions/${session}/tool-results`, { tool_results: results }),
    async run(session) {
      const [row] = await sql`select * from runs where session_id = ${session}`;
      return row as Record<string, unknown>;
    },
    async status(session) {
      return (await app.get(`/sessions/${session}`)).body.status;
    },
    async close() {
      await self.engine.stop();
      await app.close();
    },
  };
  return self;
}

export const completedCalls = (events: readonly Event[]): EventOf<"tool.completed">["data"][] =>
  events.flatMap((event) => (event.type === "tool.completed" ? [event.data] : []));

export const typesOf = (events: readonly Event[]): string[] => events.map((event) => event.type);

/** Parks the run of a new message as the engine does, without an engine. @returns the run's id */
export async function parkDirectly(
  db: Db,
  session: string,
  waits: readonly (Pick<WaitWrite, "kind" | "toolCallId"> & Partial<WaitWrite>)[],
  act: ParkedAct | null = { succeeded: 0, failed: 0, open: 0, elapsedMs: 0 },
): Promise<string> {
  await send(db, session, "Wait.");
  const [run] = await db.sql<{ id: string; lease_epoch: number }[]>`
    update runs set state = 'running', lease_epoch = lease_epoch + 1, attempt = attempt + 1, lease_owner = 'test',
                    lease_expires_at = now() + interval '1 hour'
     where session_id = ${session} and state = 'queued' returning id, lease_epoch`;
  if (!run) throw new Error("there is no queued run");
  const lease = { runId: run.id, sessionId: session, epoch: run.lease_epoch };
  await parkRun(db, lease, {
    waits: waits.map((wait) => ({
      toolName: "tool",
      effect: null,
      arguments: {},
      argumentsHash: "hash",
      reason: wait.kind === "approval" ? "the test says so" : null,
      toolFields: {},
      timeoutMs: 3_600_000,
      ...wait,
    })),
    events: [],
    seenInputSequence: null,
    act,
  });
  return run.id;
}

/** The whole log once the session is idle; until then answers every call of a client-side tool, one at a time. */
export async function answeredLog(db: Db, session: string, hint: () => void): Promise<Event[]> {
  for (;;) {
    const events = await readLog(db, session);
    if (isIdle(events)) return events;
    const turn = await waitsOfTurn(db, {
      organizationId: ORGANIZATION,
      sessionId: session,
      kind: "client_tool",
      toolCallIds: [],
    });
    const wait = turn?.waits.find((one) => one.isPending);
    if (wait) {
      await settleWaits(db.sql, [settledWith(wait, "settled", { ok: true, text: "opened" })]);
      hint();
    } else await Bun.sleep(5);
  }
}
