/**
 * The ceiling: the same work as plain SQL, one statement a transaction, driven by pgbench against the same server.
 * pgbench costs next to nothing, so this is what the database can do without grouping. It writes no events.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { count } from "./report.ts";
import { FILL, newSessions, ORGANIZATION, queueRuns } from "./rows.ts";
import type { BenchDatabase, Stage } from "./stage.ts";

/** Each null without pgbench. */
export interface Ceiling {
  stepsPerSecond: number | null;
  runsPerSecond: number | null;
  /** Our grouped writer's statement alone, 25 runs in each: two under way at once are 50 slots. */
  writerStepsPerSecond: number | null;
  /** By our clients: what the database alone can do of our turns' statements with as many at a time. Empty without pgbench. */
  turnsPerSecond: ReadonlyMap<number, number>;
}

export const NO_CEILING: Ceiling = {
  stepsPerSecond: null,
  runsPerSecond: null,
  writerStepsPerSecond: null,
  turnsPerSecond: new Map(),
};

/** What the goals were set against: the same script on the machine of that time. */
const REFERENCE_STEPS_PER_SECOND = 11_040;

/** A throughput goal, and the same goal in proportion to what the database reaches on this machine. */
export function throughputGoal(
  ceiling: Ceiling,
  goal: { perSecond: number; unit: string },
  measured: number,
): { goal: string; isMet: boolean; here: { goal: string; isMet: boolean } | null } {
  const text = (perSecond: number) => `≥ ${count(perSecond)} ${goal.unit}`;
  const { stepsPerSecond } = ceiling;
  const scaled =
    stepsPerSecond === null ? null : (goal.perSecond * stepsPerSecond) / REFERENCE_STEPS_PER_SECOND;
  return {
    goal: text(goal.perSecond),
    isMet: measured >= goal.perSecond,
    here: scaled === null ? null : { goal: text(scaled), isMet: measured >= scaled },
  };
}

/** @returns null without a ceiling */
export function shareOf(measured: number, ceiling: number | null, of: string): string | null {
  return ceiling === null ? null : `${Math.round((100 * measured) / ceiling)} % of ${of} (${count(ceiling)})`;
}

const CLIENTS = 50;
const STEPS = ["reason_1", "tool_1", "reason_2", "tool_2", "reason_3", "tool_3"];

const CLAIM = `
update runs set state = 'running', lease_epoch = lease_epoch + 1, attempt = attempt + 1, lease_owner = 'pgbench',
       lease_expires_at = now() + interval '30 s', started_at = now()
 where id = (select id from runs where state = 'queued' and available_at <= now()
              order by priority desc, available_at, id limit 1 for no key update skip locked)
returning id as run, lease_epoch as epoch \\gset
`;
const CHECKPOINT = (step: string) => `
insert into steps (run_id, name, kind, status, attempt, result, started_at, finished_at)
select id, '${step}', '${step.split("_")[0]}', 'settled', 1, '{"text": "${FILL}"}', now(), now()
  from runs where id = :run and lease_epoch = :epoch and state = 'running' and lease_expires_at > now();
`;
const DONE = `
update runs set state = 'completed', lease_owner = null, lease_expires_at = null, finished_at = now()
 where id = :run and lease_epoch = :epoch and state = 'running';
`;

/** Transactions a second of one script. @throws Error without pgbench */
export async function runPgbench(
  { pgbench }: Stage,
  database: BenchDatabase,
  script: string,
  options: { clients: number; transactions?: number; seconds?: number },
): Promise<number> {
  if (pgbench === null) throw new Error("no pgbench on the PATH");
  const directory = mkdtempSync(join(tmpdir(), "everruns-pgbench-"));
  try {
    const file = join(directory, "script.sql");
    writeFileSync(file, script);
    const bound = options.transactions
      ? ["-t", String(options.transactions)]
      : ["-T", String(options.seconds)];
    const clients = ["-c", String(options.clients), "-j", "2"];
    const child = Bun.spawnSync(
      [pgbench, ...["-n", "-M", "prepared", "-f", file, ...clients, ...bound, database.url]],
      // As our own connections have it.
      { env: { ...process.env, PGOPTIONS: "-c plan_cache_mode=force_generic_plan" } },
    );
    const found = /^tps = ([\d.]+)/m.exec(child.stdout.toString())?.[1];
    if (found === undefined) throw new Error(`pgbench failed:\n${child.stderr.toString()}`);
    return Number(found);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export async function measureCeiling(stage: Stage): Promise<Ceiling> {
  const { report } = stage;
  if (stage.pgbench === null) return NO_CEILING;
  report.part("The ceiling: plain SQL by pgbench, one statement a transaction, no events");
  const database = await stage.database();
  try {
    const how = `${CLIENTS} clients`;
    const steps = `${CLAIM}${STEPS.map(CHECKPOINT).join("")}${DONE}`;
    const perClient = stage.pick(40, 2);
    // Our queue's index begins with the organization; this plain claim knows none and would sort the whole queue.
    await database.db.sql.unsafe(
      "create index bench_due on runs (priority desc, available_at, id) where state = 'queued'",
    );
    // Once to warm up, once to measure.
    await queueRuns(database.db, CLIENTS * perClient * 2, "go");
    await runPgbench(stage, database, steps, { clients: CLIENTS, transactions: perClient });
    await database.db.sql.unsafe("vacuum analyze");
    const runTps = await runPgbench(stage, database, steps, { clients: CLIENTS, transactions: perClient });
    const noopPerClient = stage.pick(100, 2);
    await queueRuns(database.db, CLIENTS * noopPerClient, "go");
    const noopTps = await runPgbench(stage, database, `${CLAIM}${DONE}`, {
      clients: CLIENTS,
      transactions: noopPerClient,
    });
    await database.db.sql.unsafe("drop index bench_due");
    const [session] = await newSessions(database.db, 1);
    const enqueue = `
      insert into runs (id, organization_id, session_id, input_message_id, input_sequence)
      values ('turn_' || replace(gen_random_uuid()::text, '-', ''), '${ORGANIZATION}', '${session}', 'message_1', 1);`;
    const seconds = stage.pick(3, 1);
    const enqueueTps = await runPgbench(stage, database, enqueue, { clients: CLIENTS, seconds });
    const checkpoint = `
      insert into steps (run_id, name, kind, status, attempt, result, started_at, finished_at)
      select id, gen_random_uuid()::text, 'reason', 'settled', 1, '{"text": "${FILL}"}', now(), now()
        from (select id from runs limit 1) r;`;
    const checkpointTps = await runPgbench(stage, database, checkpoint, { clients: CLIENTS, seconds });
    const add = (what: string, tps: number, times: number, unit: string) =>
      report.add({
        what,
        measured: `${count(tps * times)} ${unit}`,
        goal: null,
        isMet: null,
        note: `${how}, prepared statements`,
      });
    add("claim + 6 checkpoints of 1 KB + done", runTps, 6, "steps/s");
    add("claim + done", noopTps, 1, "runs/s");
    add("enqueue (the run's row alone)", enqueueTps, 1, "runs/s");
    add("checkpoint insert, 1 KB", checkpointTps, 1, "steps/s");
    return { ...NO_CEILING, stepsPerSecond: runTps * 6, runsPerSecond: noopTps };
  } finally {
    await database.drop();
  }
}
