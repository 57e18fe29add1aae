import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { type ManualClock, manualClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { type ClaimedRun, claimRuns } from "../../src/db/claim.ts";
import type { Db } from "../../src/db/pool.ts";
import { createLeaseKeeper, type LeaseKeeper } from "../../src/engine/lease.ts";
import { until } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, send } from "../support/sessions.ts";

/** Of the keeper's clock; the database's leases are far longer, so that only the keeper's reasons count. */
const LEASE_MS = 30_000;

type Network = "works" | "refuses" | "hangs";

describe("the leases of a worker", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
  });
  afterAll(() => database.drop());
  const keepers: LeaseKeeper[] = [];
  afterEach(async () => {
    for (const keeper of keepers.splice(0)) await keeper.stop();
  });

  async function holding(count = 1) {
    const clock = manualClock();
    const state: { network: Network; beats: number } = { network: "works", beats: 0 };
    const sql = new Proxy(database.db.sql, {
      apply(target, self, args) {
        state.beats += 1;
        if (state.network === "refuses") return Promise.reject(new Error("the database is out of reach"));
        if (state.network === "hangs") return new Promise(() => {});
        return Reflect.apply(target, self, args) as unknown;
      },
    });
    const db: Db = { ...database.db, sql };
    const keeper = createLeaseKeeper({ db, clock, log: silentLog, leaseMs: LEASE_MS });
    keepers.push(keeper);
    await keeper.start();
    for (let n = 0; n < count; n += 1) await send(database.db, await newSession(database.db), "hello");
    const runs = await claimRuns(database.db, { workerId: "worker-test", slots: 1000, leaseMs: 3_600_000 });
    const leases = runs.map((run) => keeper.hold(run, clock.monotonicMs()));
    return { clock, state, keeper, leases, lease: leases[0] as (typeof leases)[number] };
  }
  /** Moves the clock in steps of a second; answers of the database get time to come in between. */
  const pass = async (clock: ManualClock, ms: number) => {
    for (let at = 0; at < ms; at += 1_000) {
      await clock.advance(Math.min(1_000, ms - at));
      await Bun.sleep(2);
    }
  };

  test("are kept as long as heartbeats are confirmed, with one statement a third for all of them", async () => {
    const { clock, state, leases } = await holding(5);
    await pass(clock, 3 * LEASE_MS);
    expect(leases.map((lease) => lease.signal.aborted)).toEqual(leases.map(() => false));
    expect(state.beats).toBe(9);
  });

  for (const network of ["refuses", "hangs"] as const) {
    test(`are left before they end when the database ${network}, and not before they have to be`, async () => {
      const { clock, state, lease } = await holding();
      await pass(clock, LEASE_MS);
      state.network = network;
      // The last confirmed heartbeat was sent within a third of now.
      await pass(clock, LEASE_MS * (0.8 - 0.34));
      expect(lease.signal.aborted).toBe(false);
      await pass(clock, LEASE_MS * 0.4);
      expect(lease.signal.aborted).toBe(true);
      expect(lease.signal.reason).toBe("lost");
    });
  }

  test("survive a heartbeat that failed, if the next is confirmed", async () => {
    const { clock, state, lease } = await holding();
    state.network = "refuses";
    await pass(clock, LEASE_MS / 2);
    state.network = "works";
    await pass(clock, LEASE_MS);
    expect(lease.signal.aborted).toBe(false);
  });

  test("are lost when another claim has been made, one by one", async () => {
    const { clock, leases } = await holding(2);
    const [taken, kept] = leases;
    await database.db.sql`update runs set lease_epoch = lease_epoch + 1 where id = ${taken?.runId ?? ""}`;
    await pass(clock, LEASE_MS / 2);
    await until(() => taken?.signal.aborted === true);
    expect(taken?.signal.reason).toBe("lost");
    expect(kept?.signal.aborted).toBe(false);
  });

  test("are asked for at once by `confirm`", async () => {
    const { keeper, lease } = await holding();
    await database.db.sql`update runs set lease_epoch = lease_epoch + 1 where id = ${lease.runId}`;
    await keeper.confirm();
    expect(lease.signal.aborted).toBe(true);
  });

  test("abort with the reason given, and are no longer held", async () => {
    for (const reason of ["cancelled", "drained"] as const) {
      const { keeper, lease } = await holding();
      expect(keeper.held().map((one) => one.runId)).toContain(lease.runId);
      keeper.lose(lease.runId, reason);
      expect(lease.signal.reason).toBe(reason);
      expect(keeper.held().map((one) => one.runId)).not.toContain(lease.runId);
    }
  });

  test("a later claim of the same run ends the earlier one, and outlives its letting go", async () => {
    const { keeper, lease } = await holding();
    const again = {
      id: lease.runId,
      session_id: lease.sessionId,
      lease_epoch: lease.epoch + 1,
    } as ClaimedRun;
    const later = keeper.hold(again, 0);
    expect(lease.signal.reason).toBe("lost");
    keeper.drop(lease);
    expect(keeper.held()).toEqual([later]);
    keeper.drop(later);
    expect(keeper.held()).toEqual([]);
  });

  test("end silently when the run is done", async () => {
    const { clock, state, keeper, lease } = await holding();
    keeper.drop(lease);
    await pass(clock, 2 * LEASE_MS);
    expect(lease.signal.aborted).toBe(false);
    expect(state.beats).toBe(0);
  });
});
