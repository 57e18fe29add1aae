import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { claimRuns, newTurns } from "../../src/db/claim.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, ORGANIZATION, send } from "../support/sessions.ts";

describe("who runs next", () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await testDatabase({ connections: 12 });
  });
  afterEach(() => database.drop());

  /** Organizations of these weights, each with so many queued runs; those of the first are the oldest. */
  const organizations = async (weights: readonly number[], runsEach: number): Promise<string[]> => {
    const ids = weights.map((_, index) => `org_${String(index + 2).padStart(32, "0")}`);
    await database.db.sql`
      insert into organizations (id, name, weight)
      select id, 'o', weight from unnest(${ids}::text[], ${[...weights]}::float8[]) as o(id, weight)`;
    for (const id of ids) await queue(id, runsEach);
    return ids;
  };
  const queue = async (
    organization: string,
    count: number,
    options: { priority?: number; dueInMs?: number } = {},
  ): Promise<string[]> => {
    const ids = Array.from({ length: count }, () => newId("turn"));
    await database.db.sql`
      with session as (
        insert into sessions (id, organization_id, harness_id, workspace_id, owner_principal_id)
        select replace(id, 'turn_', 'session_'), ${organization}, 'harness_00000000000000000000000000000002', id, 'p'
          from unnest(${ids}::text[]) id
      )
      insert into runs (id, organization_id, session_id, input_message_id, input_sequence, priority, available_at)
      select id, ${organization}, replace(id, 'turn_', 'session_'), 'm', 1, ${options.priority ?? 0},
             clock_timestamp() + (${options.dueInMs ?? 0} + place * 0.001) * interval '1 millisecond'
        from unnest(${ids}::text[]) with ordinality as t(id, place)`;
    return ids;
  };
  const end = (ids: readonly string[]) =>
    database.db.sql`
      update runs set state = 'completed', lease_owner = null, lease_expires_at = null, finished_at = now()
       where id = any (${[...ids]}::text[])`;
  const claim = (slots: number, turns = newTurns()) =>
    claimRuns(database.db, { workerId: "worker-test", slots, leaseMs: 60_000, turns });
  const tally = (runs: readonly { organization_id: string }[]) => {
    const counts = new Map<string, number>();
    for (const run of runs) counts.set(run.organization_id, (counts.get(run.organization_id) ?? 0) + 1);
    return counts;
  };

  test("two organizations share one claim by weight, whoever queued first", async () => {
    const [heavy = "", light = ""] = await organizations([3, 1], 60);
    const counts = tally(await claim(40));
    expect(Math.abs((counts.get(heavy) ?? 0) - 30)).toBeLessThanOrEqual(1);
    expect(Math.abs((counts.get(light) ?? 0) - 10)).toBeLessThanOrEqual(1);
  });

  for (const isHeld of [true, false]) {
    test(`claims of one slot share by weight, when the runs ${isHeld ? "last" : "end at once"}`, async () => {
      const [heavy = "", light = ""] = await organizations([3, 1], 60);
      const turns = newTurns();
      const taken = [];
      for (let n = 0; n < 40; n += 1) {
        const runs = await claim(1, turns);
        taken.push(...runs);
        if (!isHeld) await end(runs.map((run) => run.id));
      }
      const counts = tally(taken);
      expect(Math.abs((counts.get(heavy) ?? 0) - 30)).toBeLessThanOrEqual(1);
      expect(Math.abs((counts.get(light) ?? 0) - 10)).toBeLessThanOrEqual(1);
    });
  }

  test("a tenant with thousands of queued runs makes no other wait", async () => {
    const [crowd = ""] = await organizations([1], 5_000);
    const turns = newTurns();
    await claim(10, turns);
    const [late = ""] = await queue(ORGANIZATION, 1);
    expect((await claim(1, turns)).map((run) => run.id)).toEqual([late]);
    expect((await claim(1, turns)).map((run) => run.organization_id)).toEqual([crowd]);
  });

  test("fifty organizations of different weights share by weight, one slot at a time", async () => {
    const weights = Array.from({ length: 50 }, (_, index) => 1 + (index % 3));
    const ids = await organizations(weights, 8);
    const turns = newTurns();
    const taken = [];
    for (let n = 0; n < 198; n += 1) {
      const runs = await claim(1, turns);
      taken.push(...runs);
      await end(runs.map((run) => run.id));
    }
    const counts = tally(taken);
    // The weights sum up to 99: two rounds.
    for (const [index, id] of ids.entries()) {
      expect(Math.abs((counts.get(id) ?? 0) - 2 * (weights[index] ?? 0))).toBeLessThanOrEqual(1);
    }
  });

  test("more organizations than one claim looks at take turns, and what is not due yet is in nobody's way", async () => {
    const ids = await organizations(new Array(450).fill(1), 0);
    await database.db.sql`
      with session as (
        insert into sessions (id, organization_id, harness_id, workspace_id, owner_principal_id)
        select 'session_' || o.id, o.id, 'harness_00000000000000000000000000000002', o.id, 'p'
          from organizations o where o.id <> ${ORGANIZATION}
      )
      insert into runs (id, organization_id, session_id, input_message_id, input_sequence, available_at)
      select 'turn_' || o.id, o.id, 'session_' || o.id, 'm', 1,
             now() + case when o.id <= ${ids[224] ?? ""} then interval '1 hour' else interval '-1 second' end
        from organizations o where o.id <> ${ORGANIZATION}`;
    const taken = await claim(300);
    expect(new Set(taken.map((run) => run.organization_id))).toEqual(new Set(ids.slice(225)));
  });

  test("within an organization: priority first, then age", async () => {
    const old = await queue(ORGANIZATION, 2);
    const young = await queue(ORGANIZATION, 2);
    const urgent = await queue(ORGANIZATION, 2, { priority: 5 });
    await queue(ORGANIZATION, 1, { priority: 9, dueInMs: 3_600_000 });
    const taken: string[] = [];
    for (let n = 0; n < 6; n += 1) taken.push(...(await claim(1)).map((run) => run.id));
    expect(taken).toEqual([...urgent, ...old, ...young]);
    expect(await claim(1)).toEqual([]);
  });

  test("a session that is sent message after message starves no other", async () => {
    const eager = await newSession(database.db);
    await send(database.db, eager, "one");
    const waiting = await queue(ORGANIZATION, 3);
    const taken: string[] = [];
    const turns = newTurns();
    for (let n = 0; n < 5; n += 1) {
      const [run] = await claim(1, turns);
      if (!run) throw new Error("nothing to claim");
      taken.push(run.session_id === eager ? "eager" : run.id);
      await end([run.id]);
      if (run.session_id !== eager) continue;
      await database.db.sql`update sessions set status = 'idle', active_run_id = null where id = ${eager}`;
      await send(database.db, eager, "and another");
    }
    expect(taken).toEqual(["eager", ...waiting, "eager"]);
  });

  test("many workers that claim at once take each run exactly once, and none comes back with nothing (I3)", async () => {
    await organizations([1, 2, 3, 4], 120);
    const claims = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        claimRuns(database.db, { workerId: `worker-${n}`, slots: 20, leaseMs: 60_000 }),
      ),
    );
    const rest = await claim(480);
    const ids = [...claims.flat(), ...rest].map((run) => run.id);
    expect(ids).toHaveLength(480);
    expect(new Set(ids).size).toBe(480);
    expect(claims.filter((runs) => runs.length === 0)).toEqual([]);
  });

  test("a heartbeat and a step change nothing that an index holds, or asks of its rows", async () => {
    // Such an update writes to no index and leaves no row behind that only a vacuum removes (HOT).
    const changed = {
      runs: /lease_expires_at|iterations|tokens|cost_usd|takeovers|retries/,
      sessions: /last_sequence|last_input_sequence|active_run_id|tokens|cost_usd|updated_at/,
      workers: /heartbeat_at|load/,
    };
    for (const [table, columns] of Object.entries(changed)) {
      const rows = await database.db.sql<{ indexdef: string }[]>`
        select indexdef from pg_indexes where tablename = ${table}`;
      expect(rows.length).toBeGreaterThan(0);
      expect(rows.map((row) => row.indexdef).filter((definition) => columns.test(definition))).toEqual([]);
    }
  });
});
