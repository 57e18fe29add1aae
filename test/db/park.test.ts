import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LeaseLostError } from "../../src/base/errors.ts";
import { acceptMessage } from "../../src/db/accept.ts";
import { claimRuns } from "../../src/db/claim.ts";
import { parkRun } from "../../src/db/park.ts";
import { transaction } from "../../src/db/tx.ts";
import { cancelWaits, dueWaits, settledWith, settleWaits, waitsOfTurn } from "../../src/db/waits.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, ORGANIZATION, readLog, send } from "../support/sessions.ts";
import { completedCalls, parkDirectly, typesOf } from "../support/waiting.ts";

describe("parking", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase({ connections: 16 });
  });
  afterAll(() => database.drop());

  const wait = {
    kind: "client_tool" as const,
    toolCallId: "call_1",
    toolName: "tool",
    effect: null,
    arguments: { text: "NUL \0 and half a pair \ud800" },
    argumentsHash: "hash",
    reason: null,
    toolFields: {},
    timeoutMs: 60_000,
  };
  const parking = { waits: [wait], events: [], seenInputSequence: null, act: null };
  const claimed = async (session: string) => {
    const [run] = (await claimRuns(database.db, { workerId: "w", slots: 100, leaseMs: 60_000 })).filter(
      (one) => one.session_id === session,
    );
    if (!run) throw new Error("not claimed");
    return { runId: run.id, sessionId: session, epoch: run.lease_epoch };
  };
  const stateOf = async (session: string) => {
    const [row] = await database.db.sql`
      select r.state, r.attempt, s.status, s.last_sequence, (select count(*) from waits w where w.run_id = r.id) as waits
        from runs r join sessions s on s.id = r.session_id where s.id = ${session}`;
    return row;
  };
  const answer = (runId: string, session: string, toolCallId: string) =>
    settledWith({ runId, sessionId: session, kind: "client_tool", toolCallId }, "settled", {
      ok: true,
      text: "answered",
    });

  test("I5: under an old epoch, or when the lease has run out, nothing is written", async () => {
    const session = await newSession(database.db);
    await send(database.db, session, "hello");
    const lease = await claimed(session);
    const before = await stateOf(session);
    await expect(parkRun(database.db, { ...lease, epoch: lease.epoch - 1 }, parking)).rejects.toThrow(
      LeaseLostError,
    );
    await database.db.sql`update runs set lease_expires_at = now() where id = ${lease.runId}`;
    await expect(parkRun(database.db, lease, parking)).rejects.toThrow(LeaseLostError);
    expect(await stateOf(session)).toEqual(before);
  });

  test("a worker that parked a run can write nothing more for it", async () => {
    const session = await newSession(database.db);
    await send(database.db, session, "hello");
    const lease = await claimed(session);
    expect(await parkRun(database.db, lease, parking)).toEqual({ outcome: "parked" });
    expect(await stateOf(session)).toMatchObject({
      state: "waiting",
      attempt: 1,
      status: "waitingfortoolresults",
      waits: 1,
    });
    await expect(parkRun(database.db, lease, parking)).rejects.toThrow(LeaseLostError);
  });

  test("is withheld by a message that the model has not seen, in both orders", async () => {
    for (let n = 0; n < 10; n += 1) {
      const session = await newSession(database.db);
      const first = await send(database.db, session, "hello");
      const lease = await claimed(session);
      const seen = { ...parking, seenInputSequence: (first as { sequence: number }).sequence };
      const park = () => parkRun(database.db, lease, seen);
      const say = () => send(database.db, session, "wait");
      const [said, parked] =
        n % 2 === 0
          ? await Promise.all([say(), park()])
          : await Promise.all([park(), say()]).then(([p, s]) => [s, p] as const);
      const state = await stateOf(session);
      if (parked.outcome === "withheld") {
        expect(said.outcome).toBe("steered");
        expect(parked.lastInputSequence).toBe((said as { sequence: number }).sequence);
        expect(state).toMatchObject({ state: "running", waits: 0 });
      } else {
        expect(said.outcome).toBe("resumed");
        expect(state).toMatchObject({ state: "queued", status: "active", waits: 1 });
        expect(completedCalls(await readLog(database.db, session))).toMatchObject([{ status: "cancelled" }]);
      }
    }
  });

  test("a repeated message does not cancel anything", async () => {
    const session = await newSession(database.db);
    await parkDirectly(database.db, session, [{ kind: "client_tool", toolCallId: "call_1" }]);
    const [row] = await database.db.sql`select turn_id from accepted_messages where session_id = ${session}`;
    expect(row).toBeUndefined();
    const first = await send(database.db, session, "stop", { clientMessageId: "m1" });
    expect(first.outcome).toBe("resumed");
    const before = await readLog(database.db, session);
    expect(await send(database.db, session, "stop", { clientMessageId: "m1" })).toMatchObject({
      outcome: "duplicate",
    });
    expect(await readLog(database.db, session)).toEqual(before);
  });

  test("a message that would rather be refused leaves the run parked", async () => {
    const session = await newSession(database.db);
    await parkDirectly(database.db, session, [{ kind: "client_tool", toolCallId: "call_1" }]);
    expect(await send(database.db, session, "hm", { delivery: "reject" })).toMatchObject({ outcome: "busy" });
    expect(await stateOf(session)).toMatchObject({ state: "waiting" });
  });

  test("many messages at once to a parked run: one resumes it, the others join", async () => {
    const session = await newSession(database.db);
    await parkDirectly(database.db, session, [{ kind: "client_tool", toolCallId: "call_1" }]);
    const sent = await Promise.all(Array.from({ length: 20 }, (_, n) => send(database.db, session, `m${n}`)));
    const outcomes = sent.map((one) => one.outcome).sort();
    expect(outcomes).toEqual(["resumed", ...Array.from({ length: 19 }, () => "steered" as const)]);
    const log = await readLog(database.db, session);
    expect(log.map((event) => event.sequence)).toEqual(log.map((_, index) => index + 1));
    expect(completedCalls(log)).toHaveLength(1);
    expect(typesOf(log).filter((type) => type === "act.completed")).toHaveLength(1);
  });

  test("many results at once: each call is settled once, the act once, and the run resumed once", async () => {
    const session = await newSession(database.db);
    const ids = Array.from({ length: 16 }, (_, n) => `call_${n}`);
    const runId = await parkDirectly(
      database.db,
      session,
      ids.map((toolCallId) => ({ kind: "client_tool" as const, toolCallId })),
    );
    const settled = await Promise.all(
      [...ids, ...ids].map((id) => settleWaits(database.db.sql, [answer(runId, session, id)])),
    );
    const hits = settled.flat();
    expect(hits.flatMap((run) => run.toolCallIds).sort()).toEqual([...ids].sort());
    expect(hits.filter((run) => run.isResumed)).toHaveLength(1);
    const log = await readLog(database.db, session);
    expect(log.map((event) => event.sequence)).toEqual(log.map((_, index) => index + 1));
    expect(typesOf(log).filter((type) => type === "act.completed")).toHaveLength(1);
    expect(log.at(-1)?.data).toMatchObject({ success_count: 16, error_count: 0 });
    const steps = await database.db
      .sql`select status, result from steps where run_id = ${runId} and kind = 'tool'`;
    expect(steps).toHaveLength(16);
    expect(await stateOf(session)).toMatchObject({ state: "queued", status: "active" });
  });

  test("one statement settles the waits of many sessions", async () => {
    const sessions = await Promise.all(Array.from({ length: 12 }, () => newSession(database.db)));
    const runs: string[] = [];
    for (const session of sessions) {
      runs.push(await parkDirectly(database.db, session, [{ kind: "client_tool", toolCallId: "call_1" }]));
    }
    const all = sessions.map((session, n) => answer(runs[n] as string, session, "call_1"));
    const [a, b] = await Promise.all([
      settleWaits(database.db.sql, all),
      settleWaits(database.db.sql, [...all].reverse()),
    ]);
    expect([...a, ...b].map((run) => run.sessionId).sort()).toEqual([...sessions].sort());
  });

  test("a foreign organization sees and cancels nothing (I12)", async () => {
    const session = await newSession(database.db);
    await parkDirectly(database.db, session, [{ kind: "client_tool", toolCallId: "call_1" }]);
    const foreign = { organizationId: `org_${"f".repeat(32)}`, sessionId: session };
    expect(await waitsOfTurn(database.db, { ...foreign, kind: "client_tool", toolCallIds: [] })).toBeNull();
    expect(await transaction(database.db, (sql) => cancelWaits(sql, foreign))).toBeNull();
    const message = { id: `message_${"0".repeat(32)}`, role: "user" as const, content: [], created_at: "" };
    const input = {
      message,
      controls: null,
      metadata: null,
      tags: null,
      clientMessageId: null,
      priority: 0,
      preview: "",
    };
    expect(await acceptMessage(database.db, { ...input, ...foreign, delivery: "steer" })).toEqual({
      outcome: "not_found",
    });
    const own = { organizationId: ORGANIZATION, sessionId: session };
    expect(await waitsOfTurn(database.db, { ...own, kind: "client_tool", toolCallIds: [] })).toMatchObject({
      waits: [{ toolCallId: "call_1", isPending: true }],
    });
  });
});

describe("100,000 parked runs", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    // One connection: what it has read is counted when it says so.
    database = await testDatabase({ connections: 1 });
    const { sql } = database.db;
    await sql`
      insert into sessions (id, organization_id, harness_id, workspace_id, owner_principal_id, status, active_run_id)
      select 'session_' || lpad(to_hex(n), 32, '0'), ${ORGANIZATION}, 'harness_00000000000000000000000000000002',
             'wsp_' || lpad(to_hex(n), 32, '0'), 'p', 'waitingfortoolresults', 'turn_' || lpad(to_hex(n), 32, '0')
        from generate_series(1, 100000) n`;
    await sql`
      insert into runs (id, organization_id, session_id, state, waiting_on, input_message_id, input_sequence)
      select active_run_id, organization_id, id, 'waiting', 'client_tools', 'm', 1 from sessions`;
    await sql`
      insert into waits (run_id, kind, tool_call_id, id, organization_id, session_id, tool_name, arguments, expires_at)
      select id, 'client_tool', 'call_1', 'wait_' || id, organization_id, session_id, 'tool', '{}', now() + interval '5 minutes'
        from runs`;
    await sql`analyze`;
  });
  afterAll(() => database.drop());

  const planOf = async (statement: string) => {
    const rows = await database.db.sql.unsafe(`explain (format text) ${statement}`);
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  };

  test("are in no index that a claim reads", async () => {
    const { sql } = database.db;
    const sizes = await sql<{ name: string; pages: number }[]>`
      select relname as name, pg_relation_size(oid) / 8192 as pages
        from pg_class where relname in ('runs_queued', 'runs_running', 'runs_leased_by') order by relname`;
    expect(sizes).toHaveLength(3);
    for (const { name, pages } of sizes) expect([name, pages]).toEqual([name, pages <= 2 ? pages : -1]);
    const plan = await planOf(
      "select id from runs where state = 'queued' and organization_id = 'o' and available_at <= now() order by priority desc, available_at, id limit 50",
    );
    expect(plan).toContain("runs_queued");
    expect(plan).not.toContain("Seq Scan");
  });

  test("are not read by the look for waits that are due", async () => {
    const plan = await planOf(
      "select * from waits where status = 'pending' and expires_at <= now() order by expires_at limit 200",
    );
    expect(plan).toContain("waits_due");
    expect(plan).not.toContain("Seq Scan");
    expect(await dueWaits(database.db, 200)).toEqual([]);
  });

  test("are settled and claimed without reading each other", async () => {
    const { sql } = database.db;
    const id = "7".padStart(32, "0");
    const before = await rowsRead();
    const settlement = settledWith(
      { runId: `turn_${id}`, sessionId: `session_${id}`, kind: "client_tool", toolCallId: "call_1" },
      "settled",
      { ok: true, text: "x" },
    );
    expect(await settleWaits(sql, [settlement])).toMatchObject([{ isResumed: true }]);
    const [run] = await claimRuns(database.db, { workerId: "w", slots: 50, leaseMs: 60_000 });
    expect(run?.id).toBe(`turn_${id}`);
    expect((await rowsRead()) - before).toBeLessThan(100);
  });

  /** Rows of the three big tables that were read so far, by whatever way. */
  async function rowsRead(): Promise<number> {
    const { sql } = database.db;
    await sql`select pg_stat_force_next_flush()`;
    const [row] = await sql<{ count: number }[]>`
      select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint as count
        from pg_stat_user_tables where relname in ('runs', 'waits', 'sessions')`;
    return row?.count ?? 0;
  }
});
