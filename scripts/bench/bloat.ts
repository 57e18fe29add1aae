/**
 * What makes a claim slow besides the size of the queue: row versions that a long transaction of somebody else keeps
 * from being removed, and many organizations.
 */
import { type Claim, claimRuns } from "../../src/db/claim.ts";
import type { Db } from "../../src/db/pool.ts";
import { createWriter } from "../../src/db/writer.ts";
import { count, latencyText } from "./report.ts";
import { queueRuns } from "./rows.ts";
import type { Stage } from "./stage.ts";
import { analyze, eachClaimed, endingWrite } from "./steps.ts";

const SLOTS = 50;

/** Claims, works off and claims again while a repeatable-read transaction is open: nothing dead can be removed. */
export async function measureBloat(stage: Stage): Promise<void> {
  stage.report.part("A queue while somebody's transaction stays open");
  const database = await stage.database();
  try {
    const { db } = database;
    const runs = stage.pick(5_000, 200);
    await drain(db, stage.pick(1_000, 100));
    await analyze(database);
    await db.transactions.begin("isolation level repeatable read", async (sql) => {
      await sql`select count(*) from runs`;
      for (let round = 1; round <= stage.pick(4, 2); round += 1) {
        const times = await drain(db, runs);
        // What autovacuum does: it can remove none of them, and says how many there are.
        await analyze(database);
        stage.report.add({
          what: `claim of ${SLOTS}, ${count(runs * round)} runs worked off since a transaction was opened and stays open`,
          measured: latencyText(times),
          goal: null,
          isMet: null,
          note: `${await sizeOf(db)}, of which vacuum may remove nothing; ${times.length} claims`,
        });
      }
    });
    await analyze(database);
    const times = await drain(db, runs);
    stage.report.add({
      what: `claim of ${SLOTS}, after it was closed and the tables were vacuumed`,
      measured: latencyText(times),
      goal: null,
      isMet: null,
      note: `${await sizeOf(db)}; ${times.length} claims`,
    });
  } finally {
    await database.drop();
  }
}

/** @returns how long each claim took, in milliseconds */
async function drain(db: Db, runs: number): Promise<number[]> {
  await queueRuns(db, runs, "go");
  const times: number[] = [];
  const writer = createWriter({ db, onWritten: () => {} });
  await eachClaimed(
    async (slots) => {
      const start = performance.now();
      const claimed = await claimRuns(db, { workerId: "bench", slots, leaseMs: 3_600_000 });
      if (claimed.length > 0) times.push(performance.now() - start);
      return claimed;
    },
    SLOTS,
    (run) =>
      writer.write(
        { runId: run.id, sessionId: run.session_id, epoch: run.lease_epoch },
        { events: [], ending: endingWrite(run.id) },
      ),
  );
  return times;
}

/** The statistics of dead rows lag and count twice what a vacuum meets; sizes are exact. */
async function sizeOf({ sql }: Db): Promise<string> {
  const rows = await sql<{ rows: number; bytes: number; indexes: number }[]>`
    select (select count(*) from runs) as rows, pg_relation_size('runs') as bytes, pg_indexes_size('runs') as indexes`;
  const [{ rows: runs, bytes, indexes } = { rows: 0, bytes: 0, indexes: 0 }] = rows;
  const mib = (size: number) => `${(size / 2 ** 20).toFixed(1)} MiB`;
  return `${count(runs)} runs in ${mib(bytes)} and ${mib(indexes)} of indexes`;
}

/** The same queue of the same length, spread over one organization and over many. */
export async function measureOrganizations(stage: Stage): Promise<void> {
  stage.report.part("A queue of many organizations");
  for (const organizations of stage.pick([1, 100, 1_000], [1, 10])) {
    const database = await stage.database();
    try {
      const { db } = database;
      const claims = stage.pick(60, 3);
      await queueRuns(db, Math.max(organizations * 2, claims * SLOTS * 2), "go");
      await spread(db, organizations);
      await analyze(database);
      const turns: NonNullable<Claim["turns"]> = { time: 0, servedUntil: new Map(), after: "" };
      const times: number[] = [];
      for (let n = 0; n < claims; n += 1) {
        const start = performance.now();
        const claimed = await claimRuns(db, { workerId: "bench", slots: SLOTS, leaseMs: 3_600_000, turns });
        times.push(performance.now() - start);
        if (claimed.length === 0) throw new Error("the queue ran dry");
      }
      stage.report.add({
        what: `claim of ${SLOTS}, ${count(organizations)} ${organizations === 1 ? "organization" : "organizations"} in the queue`,
        measured: latencyText(times),
        goal: null,
        isMet: null,
        note: `${claims} claims by one worker; what it took stays leased`,
      });
    } finally {
      await database.drop();
    }
  }
}

/** Hands the sessions and their runs out to organizations, each the same number. */
async function spread({ sql }: Db, organizations: number): Promise<void> {
  if (organizations === 1) return;
  await sql.unsafe(`
    set local session_replication_role = replica;
    insert into organizations (id, name)
    select 'org_b' || lpad(to_hex(n), 31, '0'), 'Bench ' || n from generate_series(1, ${organizations}) n;
    update runs set organization_id = 'org_b' || lpad(to_hex(1 + place % ${organizations}), 31, '0')
      from (select id, row_number() over (order by id) as place from runs) numbered where numbered.id = runs.id;
    update sessions set organization_id = runs.organization_id from runs where runs.session_id = sessions.id;`);
}
