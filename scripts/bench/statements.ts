/**
 * Our own statements, driven by pgbench: what the database alone can do with them, without our processes. Each is
 * taken from the code that sends it, by calling that code with a database that only remembers what it was asked.
 */

import { writeGroup } from "../../src/db/_write-group.ts";
import { type AcceptInput, acceptMessage } from "../../src/db/accept.ts";
import { claimRuns } from "../../src/db/claim.ts";
import type { Db } from "../../src/db/pool.ts";
import { runPgbench } from "./pgbench.ts";
import { count } from "./report.ts";
import { messageTo, newSessions, queueRuns } from "./rows.ts";
import type { BenchDatabase, Stage } from "./stage.ts";
import { analyze, STEPS, stepWrite } from "./steps.ts";

export interface Statement {
  text: string;
  values: unknown[];
}

/**
 * @param options.isFirst  the first statement is meant: the code sends another one because nothing came back
 * @throws Error when the code sent more than one statement
 */
export async function capture(
  ask: (db: Db) => Promise<unknown>,
  options: { isFirst?: boolean } = {},
): Promise<Statement> {
  const seen: Statement[] = [];
  const sql = async (strings: readonly string[], ...values: unknown[]) => {
    seen.push({ text: strings.reduce((text, part, index) => `${text}$${index}${part}`), values });
    return [];
  };
  await ask({ sql } as unknown as Db);
  const [statement, ...more] = seen;
  if (!statement || (more.length > 0 && !options.isFirst))
    throw new Error(`${seen.length} statements instead of one`);
  return statement;
}

/**
 * A function in the database that runs the statement with the next of the given values, so that pgbench can call it.
 *
 * @returns the script to give to pgbench
 */
export async function install(
  { db }: BenchDatabase,
  name: string,
  calls: readonly Statement[],
): Promise<string> {
  const [first] = calls;
  if (!first) throw new Error("no calls");
  const table = `bench_${name}`;
  await db.transactions.begin(async (sql) => {
    await sql.unsafe(`prepare ${table} as ${first.text}`);
    const rows = await sql<{ types: string[] }[]>`
      select parameter_types::text[] as types from pg_prepared_statements where name = ${table}`;
    await sql.unsafe(`deallocate ${table}`);
    const columns = (rows[0]?.types ?? []).map((type, index) => `p${index + 1} ${type}`);
    await sql.unsafe(`create table ${table} (${["n int primary key", ...columns].join(", ")})`);
    await sql.unsafe(`create sequence ${table}_n`);
    await sql.unsafe(`
      create function ${table}() returns int language plpgsql as $bench$
      declare
        call ${table};
        at int := 1 + (nextval('${table}_n') - 1) % ${calls.length};
        returned record;
        returned_count int := 0;
      begin
        select * into strict call from ${table} where n = at;
        for returned in ${first.text.replaceAll(/\$(\d+)/g, "call.p$1")} loop
          returned_count := returned_count + 1;
        end loop;
        return returned_count;
      end $bench$`);
  });
  const all = calls.map(({ values }, index) => ({
    n: index + 1,
    ...Object.fromEntries(values.map((value, at) => [`p${at + 1}`, value])),
  }));
  for (let at = 0; at < all.length; at += 200) {
    await db.sql.unsafe(
      `insert into ${table} select * from jsonb_populate_recordset(null::${table}, $1::text::jsonb)`,
      [JSON.stringify(all.slice(at, at + 200))],
    );
  }
  return `select ${table}();`;
}

/** @returns steps/s of the grouped writer's statement with 25 runs in each; null without pgbench */
export async function measureStatements(stage: Stage): Promise<number | null> {
  if (stage.pgbench === null) return null;
  stage.report.part("The ceiling of our own statements: the same text, sent by pgbench");
  await accept(stage);
  for (const slots of stage.pick([1, 50], [50])) await claim(stage, slots);
  let ofWorker: number | null = null;
  for (const size of stage.pick([25, 50, 200], [25])) {
    const perSecond = await write(stage, size);
    ofWorker ??= perSecond;
  }
  return ofWorker;
}

async function accept(stage: Stage): Promise<void> {
  const database = await stage.database();
  try {
    const clients = 50;
    const perClient = stage.pick(60, 2);
    const sessions = await newSessions(database.db, clients * perClient);
    const inputs: AcceptInput[] = sessions.map((session) => messageTo(session, "go"));
    const calls = await Promise.all(
      inputs.map((input) => capture((db) => acceptMessage(db, input), { isFirst: true })),
    );
    const script = await install(database, "accept", calls);
    await analyze(database);
    const tps = await runPgbench(stage, database, script, { clients, transactions: perClient });
    const rows = await database.db.sql<{ runs: number }[]>`select count(*) as runs from runs`;
    if (rows[0]?.runs !== sessions.length) throw new Error(`${rows[0]?.runs} messages were accepted`);
    add(
      stage,
      "accept: a message, its run, its two events, its session",
      `${count(tps)} messages/s`,
      clients,
    );
  } finally {
    await database.drop();
  }
}

async function claim(stage: Stage, slots: number): Promise<void> {
  const database = await stage.database();
  try {
    const clients = slots === 1 ? 50 : 2;
    const perClient = stage.pick(slots === 1 ? 60 : 40, 2);
    await queueRuns(database.db, clients * perClient * slots, "go");
    const call = await capture((db) => claimRuns(db, { workerId: "pgbench", slots, leaseMs: 3_600_000 }));
    const script = await install(database, "claim", [call]);
    await analyze(database);
    const tps = await runPgbench(stage, database, script, { clients, transactions: perClient });
    // Claims that meet leave each other what they look at, so some come back with less than they asked for.
    const rows = await database.db.sql<{ each: number }[]>`
      select count(*)::float8 / ${clients * perClient}::int as each from runs where state = 'running'`;
    const each = rows[0]?.each ?? 0;
    add(stage, `claim of ${slots}, which got ${each.toFixed(1)}`, `${count(tps * each)} runs/s`, clients);
  } finally {
    await database.drop();
  }
}

async function write(stage: Stage, size: number): Promise<number> {
  const database = await stage.database();
  try {
    const clients = 2;
    const runs = stage.pick(1_200, 100);
    await queueRuns(database.db, runs, "go");
    const held = await claimRuns(database.db, { workerId: "pgbench", slots: runs, leaseMs: 3_600_000 });
    if (held.length !== runs) throw new Error(`${held.length} of ${runs} runs were claimed`);
    const calls: Statement[] = [];
    for (let step = 1; step <= STEPS; step += 1) {
      for (let at = 0; at < runs; at += size) {
        const group = held.slice(at, at + size).map((run) => ({
          lease: { runId: run.id, sessionId: run.session_id, epoch: run.lease_epoch },
          write: stepWrite(run.id, step),
        }));
        calls.push(await capture((db) => writeGroup(db, group)));
      }
    }
    const script = await install(database, "write", calls);
    await analyze(database);
    const tps = await runPgbench(stage, database, script, {
      clients,
      transactions: calls.length / clients,
    });
    const rows = await database.db.sql<{ steps: number }[]>`select count(*) as steps from steps`;
    if (rows[0]?.steps !== runs * STEPS) throw new Error(`${rows[0]?.steps} steps were stored`);
    add(
      stage,
      `grouped writer, ${size} runs a statement, four events a step`,
      `${count(tps * size)} steps/s`,
      clients,
    );
    return tps * size;
  } finally {
    await database.drop();
  }
}

function add(stage: Stage, what: string, measured: string, clients: number): void {
  stage.report.add({
    what,
    measured,
    goal: null,
    isMet: null,
    note: `${clients} clients, one statement a transaction, its values laid ready in a table`,
  });
}
