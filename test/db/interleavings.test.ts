/**
 * Random interleavings of everything that changes a run's state, on the real statements: messages, claims by two
 * workers, writes under fresh and stale leases, ends, cancellations, lost heartbeats, hand-backs, the reaper. After
 * each step the tables are what a model of a page predicts, and I1 to I6 hold. In the second test the steps meet:
 * there is nothing to predict then, and all the more to hold.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LeaseLostError } from "../../src/base/errors.ts";
import type { Event, NewEvent } from "../../src/contract/event.ts";
import { cancelTurn } from "../../src/db/cancel.ts";
import { claimRuns } from "../../src/db/claim.ts";
import { parkRun, type WaitWrite } from "../../src/db/park.ts";
import { promoteNext } from "../../src/db/queue.ts";
import { heartbeat, releaseRun } from "../../src/db/runs.ts";
import { settledWith, settleWaits, waitsOfTurn } from "../../src/db/waits.ts";
import { buryWorkers } from "../../src/db/workers.ts";
import { createWriter, type LeaseRef, type StepWrite, type Writer } from "../../src/db/writer.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, ORGANIZATION, readLog, send } from "../support/sessions.ts";
import { type Command, command, type Outcome, SESSIONS, WORKERS } from "./support/commands.ts";
import { emptyModel, isOpen, type Model, predict, type RunModel } from "./support/model.ts";

const LEASE_MS = 600_000;
/** Commands between two looks at the logs, which take longer than all the rest. */
const LOOK_EVERY = 5;
/** They take five seconds on a machine that has nothing else to do. */
const PROPERTY_MS_MAX = 120_000;

describe("random interleavings", () => {
  let database: TestDatabase;
  let writers: Writer[];
  /** Each parking is for a call of its own. */
  let parkings = 0;
  const leases: (LeaseRef & { worker: string })[] = [];
  let ids: string[] = [];

  beforeAll(async () => {
    database = await testDatabase({ connections: 8 });
    writers = WORKERS.map(() => createWriter({ db: database.db, onWritten: () => {} }));
    for (const id of WORKERS) {
      await database.db.sql`insert into workers (id, hostname, pid, version, concurrency, lock_key)
                            values (${id}, 'here', 1, 'test', 1, 1)`;
    }
  });
  afterEach(async () => void (await database.db.sql`delete from sessions`));
  afterAll(() => database.drop());

  const begin = async () => {
    // Runs of earlier sequences would be claimed by this one's workers.
    await database.db.sql`delete from sessions`;
    leases.length = 0;
    ids = [];
    for (let n = 0; n < SESSIONS; n += 1) ids.push(await newSession(database.db));
  };
  const leaseAt = (back: number) => leases.at(-1 - (back % Math.max(1, leases.length)));
  const writerOf = (held: { worker: string }) =>
    writers[WORKERS.indexOf(held.worker as (typeof WORKERS)[number])] as Writer;

  async function perform(one: Command): Promise<Outcome> {
    const { db } = database;
    switch (one.do) {
      case "send": {
        const { delivery, clientId } = one;
        const sent = await send(db, ids[one.session] ?? "", "hello", {
          delivery,
          ...(clientId === null ? {} : { clientMessageId: clientId }),
        });
        if (!("sequence" in sent)) return { ...sent };
        const { outcome, turnId, sequence } = sent;
        const { interruptedTurnId, position, isPromoted } = { ...NOTHING_MORE, ...sent };
        return {
          outcome,
          turnId,
          sequence,
          ...(interruptedTurnId === undefined ? {} : { interruptedTurnId }),
          ...(position === undefined ? {} : { position, isPromoted }),
        };
      }
      case "claim": {
        const id = WORKERS[one.worker] ?? "";
        const claimed = await claimRuns(db, { workerId: id, slots: one.slots, leaseMs: LEASE_MS });
        for (const run of claimed) {
          leases.push({ runId: run.id, sessionId: run.session_id, epoch: run.lease_epoch, worker: id });
        }
        return {
          claimed: claimed.map((run) => ({ id: run.id, epoch: run.lease_epoch, attempt: run.attempt })),
        };
      }
      case "step": {
        const held = leaseAt(one.lease);
        if (!held) return {};
        return await written(() =>
          writerOf(held).write(held, { events: [progress], steps: [stepOf(one.name, one.isPending)] }),
        );
      }
      case "end": {
        const held = leaseAt(one.lease);
        if (!held) return {};
        const seen = { all: Number.MAX_SAFE_INTEGER, none: 0, any: null }[one.seen];
        return await written(() =>
          writerOf(held).write(held, {
            events: [progress],
            ending: {
              state: one.state,
              events: [terminal(held.runId, one.state), idled(held.runId)],
              errorCode: null,
              error: null,
              finalMessageId: null,
              outputPreview: null,
              seenInputSequence: seen,
            },
          }),
        );
      }
      case "cancel": {
        const { outcome } = await cancelTurn(db, {
          organizationId: ORGANIZATION,
          sessionId: ids[one.session] ?? "",
          reason: "a test",
          now: new Date(),
        });
        return { outcome };
      }
      case "promote":
        return {
          promoted: (await promoteNext(db.sql, [ids[one.session] ?? ""])).map(({ turnId }) => turnId),
        };
      case "release": {
        const held = leaseAt(one.lease);
        if (!held) return {};
        const delayMs = one.isDelayed ? 600_000 : 0;
        return { isHeld: await releaseRun(db, held, { delayMs, isRetry: one.isRetry }) };
      }
      case "park": {
        const held = leaseAt(one.lease);
        if (!held) return {};
        parkings += 1;
        const parking = {
          waits: [{ ...wait, toolCallId: callOf(parkings) }],
          events: [progress],
          seenInputSequence: one.isNewerSeen ? null : 0,
          act: null,
        };
        try {
          return { outcome: (await parkRun(db, held, parking)).outcome };
        } catch (error) {
          if (error instanceof LeaseLostError) return { outcome: "lost" };
          throw error;
        }
      }
      case "answer": {
        const turn = await waitsOfTurn(db, {
          organizationId: ORGANIZATION,
          sessionId: ids[one.session] ?? "",
          kind: "client_tool",
          toolCallIds: [],
        });
        const open = (turn?.waits ?? []).filter((each) => each.isPending);
        const settled = await settleWaits(
          db.sql,
          open.map((each) => settledWith(each, "settled", { ok: true, text: "answered" })),
        );
        return {
          resumed: settled.filter((each) => each.isResumed).length,
          callIds: open.map((each) => each.toolCallId),
        };
      }
      case "heartbeat": {
        const held = leaseAt(one.lease);
        if (!held) return {};
        return { isHeld: (await heartbeat(db, { leases: [held], leaseMs: LEASE_MS })).has(held.runId) };
      }
      case "expire":
        await db.sql`update runs set lease_expires_at = now() - interval '1 second'
                      where session_id = ${ids[one.session] ?? ""} and state = 'running'`;
        return {};
      case "bury": {
        const id = WORKERS[one.worker] ?? "";
        const freed = await buryWorkers(db, [id]);
        await db.sql`update workers set status = 'running' where id = ${id}`;
        return { freed };
      }
    }
  }

  /** The tables in the model's words. */
  async function tables(): Promise<Model> {
    const { sql } = database.db;
    const sessions = await sql<
      {
        id: string;
        active: string | null;
        last: number;
        input: number;
        queue: string[];
        queue_length: number;
      }[]
    >`
      select id, active_run_id as active, last_sequence as last, last_input_sequence as input, queue_length,
             array(select turn_id from queued_messages q where q.session_id = sessions.id order by position) as queue
        from sessions where id = any (${ids}) order by array_position(${ids}, id)`;
    const remembered = await sql<{ session_id: string; client: string; turn: string; sequence: number }[]>`
      select session_id, client_message_id as client, turn_id as turn, sequence from accepted_messages
       where session_id = any (${ids}) order by client_message_id`;
    const runs = await sql<
      (Omit<RunModel, "session" | "steps"> & {
        id: string;
        session_id: string;
        steps: Record<string, string>;
      })[]
    >`
      select id, session_id, state, lease_epoch as epoch, attempt, takeovers, retries, lease_owner as worker,
             (select tool_call_id from waits w where w.run_id = runs.id and w.status = 'pending') as "waitsFor",
             coalesce(lease_expires_at <= now(), false) as "isExpired",
             state = 'queued' and available_at > now() as "isDelayed",
             (select coalesce(jsonb_object_agg(name, status), '{}') from steps where run_id = runs.id) as steps
        from runs where session_id = any (${ids})`;
    for (const row of sessions) expect(row.queue_length).toBe(row.queue.length);
    return {
      sessions: sessions.map((row) => ({
        queue: row.queue,
        activeRun: row.active,
        lastSequence: row.last,
        lastInputSequence: row.input,
        remembered: new Map(
          remembered
            .filter((one) => one.session_id === row.id)
            .map((one) => [one.client, { turnId: one.turn, sequence: one.sequence }]),
        ),
      })),
      runs: new Map(
        runs.map(({ id, session_id, steps, ...run }) => [
          id,
          {
            ...run,
            session: ids.indexOf(session_id),
            steps: new Map(Object.entries(steps)) as RunModel["steps"],
          },
        ]),
      ),
    };
  }

  /** I1, I2, I3, I6 and that a settled step stays as it is (I4). @param seen  the logs and steps of the last look */
  async function holds(seen: { logs: Event[][]; settled: Map<string, string> }): Promise<void> {
    const { sql } = database.db;
    const { sessions, runs } = await tables();
    const ends = new Map<string, string[]>();
    for (const [at, id] of ids.entries()) {
      const log = await readLog(database.db, id);
      expect(log.map((event) => event.sequence)).toEqual(log.map((_, index) => index + 1));
      expect(sessions[at]?.lastSequence).toBe(log.length);
      expect(log.slice(0, seen.logs[at]?.length ?? 0)).toEqual(seen.logs[at] ?? []);
      seen.logs[at] = log;
      for (const event of log) {
        const end = /^turn\.(completed|failed|cancelled|sealed)$/.exec(event.type)?.[1];
        const turn = event.context.turn_id ?? "";
        if (end) ends.set(turn, [...(ends.get(turn) ?? []), end]);
      }
      const own = [...runs].filter(([, run]) => run.session === at);
      const open = own.filter(([, run]) => isOpen(run));
      expect(open.filter(([, run]) => run.state !== "queued").length).toBeLessThanOrEqual(1);
      expect(open.map(([id]) => id)).toEqual(open.length === 0 ? [] : [sessions[at]?.activeRun ?? ""]);
      if (open.length === 0) expect(sessions[at]?.activeRun).toBeNull();
    }
    for (const [id, run] of runs) expect(ends.get(id) ?? []).toEqual(isOpen(run) ? [] : [run.state]);
    const steps = await sql<{ key: string; row: string }[]>`
      select run_id || ' ' || name as key, to_jsonb(steps)::text as row from steps
       where status = 'settled' and run_id = any (${[...runs.keys()]})`;
    for (const { key, row } of steps) {
      expect(row).toBe(seen.settled.get(key) ?? row);
      seen.settled.set(key, row);
    }
  }

  const seed = Math.floor(Math.random() * 2 ** 31);

  test(
    "one after the other are what the model predicts, and I1 to I6 hold after each",
    async () => {
      console.log(`interleavings: seed ${seed}`);
      await fc.assert(
        fc.asyncProperty(fc.array(command, { minLength: 20, maxLength: 40 }), async (commands) => {
          await begin();
          const model = emptyModel();
          const seen = { logs: [], settled: new Map() };
          for (const [at, one] of commands.entries()) {
            // The lease is chosen before a claim of this very step makes a newer one.
            const handed = [...leases];
            const actual = await perform(one);
            const after = leases.splice(0, leases.length, ...handed);
            const held = "lease" in one ? leaseAt(one.lease) : undefined;
            expect(actual).toEqual(predict(model, one, actual, { held, waitsFor: callOf(parkings) }));
            leases.splice(0, leases.length, ...after);
            expect(await tables()).toEqual(model);
            if (at % LOOK_EVERY === 0 || at === commands.length - 1) await holds(seen);
          }
        }),
        { seed, numRuns: 60 },
      );
    },
    PROPERTY_MS_MAX,
  );

  test(
    "that meet leave I1 to I6 as they are, and nobody waits for a lock in a circle",
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(command, { minLength: 2, maxLength: 6 }), { minLength: 3, maxLength: 8 }),
          async (bursts) => {
            await begin();
            const seen = { logs: [], settled: new Map() };
            for (const burst of bursts) {
              await Promise.all(burst.map(perform));
              await holds(seen);
            }
          },
        ),
        { seed, numRuns: 80 },
      );
    },
    PROPERTY_MS_MAX,
  );
});

/** @throws what is not the loss of the lease, so that a deadlock or a broken constraint fails the test */
async function written(write: () => Promise<{ isEnded: boolean }>): Promise<Outcome> {
  try {
    return { outcome: "written", isEnded: (await write()).isEnded };
  } catch (error) {
    if (error instanceof LeaseLostError) return { outcome: "lost" };
    throw error;
  }
}

const callOf = (parking: number) => `call_${parking}`;

/** What only some answers to a message have. */
const NOTHING_MORE: { interruptedTurnId?: string; position?: number; isPromoted?: boolean } = {};

const wait: Omit<WaitWrite, "toolCallId"> = {
  kind: "client_tool",
  toolName: "test",
  effect: null,
  arguments: {},
  argumentsHash: "hash",
  reason: null,
  toolFields: {},
  timeoutMs: null,
};

const progress: NewEvent = {
  type: "tool.progress",
  data: { tool_call_id: "call_1", tool_name: "test", message: "on" },
};
const idled = (turnId: string): NewEvent => ({ type: "session.idled", data: { turn_id: turnId } });

function terminal(turnId: string, state: "completed" | "failed"): NewEvent {
  const context = { turn_id: turnId };
  return state === "completed"
    ? { type: "turn.completed", context, data: { turn_id: turnId, iterations: 1 } }
    : { type: "turn.failed", context, data: { turn_id: turnId, error: "no" } };
}

function stepOf(name: string, isPending: boolean): StepWrite {
  return {
    name,
    kind: name.startsWith("reason") ? "reason" : "tool",
    toolName: null,
    effect: null,
    status: isPending ? "pending" : "settled",
    attempt: 1,
    result: null,
    usage: null,
    error: null,
    durationMs: 1,
  };
}
