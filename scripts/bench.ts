/**
 * `./everruns bench [part …] [--seed N]`: what the engine reaches on this machine, beside what it is meant to reach.
 * A full run also writes scripts/bench/RESULTS.md. Nothing is asserted about time: tests check truth, this prints.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { measureKill } from "./bench/kill.ts";
import { describeMachine, load, type Machine } from "./bench/machine.ts";
import { type Ceiling, measureCeiling } from "./bench/pgbench.ts";
import { measureFullTable, measureQueue } from "./bench/queue.ts";
import { createReport, toMarkdown } from "./bench/report.ts";
import { measureResume } from "./bench/resume.ts";
import { openStage, type Stage } from "./bench/stage.ts";
import { measureSteps } from "./bench/steps.ts";
import { measureStreams } from "./bench/streams.ts";
import { measureTurns } from "./bench/turns.ts";

const RESULTS = join(import.meta.dir, "bench/RESULTS.md");
const SEED = 20_261_122;

/** In this order; the ceiling first, because the shares of it are rows, too. */
const PARTS = {
  steps: (stage: Stage, ceiling: Ceiling) => measureSteps(stage, ceiling),
  queue: (stage: Stage, ceiling: Ceiling) => measureQueue(stage, ceiling),
  turns: (stage: Stage) => measureTurns(stage),
  streams: (stage: Stage) => measureStreams(stage),
  kill: (stage: Stage) => measureKill(stage),
  resume: (stage: Stage) => measureResume(stage),
  full: (stage: Stage) => measureFullTable(stage),
} as const;
type Part = keyof typeof PARTS;

async function main(args: readonly string[]): Promise<number> {
  const seedAt = args.indexOf("--seed");
  const seed = seedAt < 0 ? SEED : Number(args[seedAt + 1]);
  const asked = args.filter((_, index) => seedAt < 0 || (index !== seedAt && index !== seedAt + 1));
  const unknown = asked.filter((name) => name !== "ceiling" && !(name in PARTS));
  if (unknown.length > 0 || !Number.isInteger(seed)) {
    console.error(`usage: everruns bench [ceiling ${Object.keys(PARTS).join(" ")}] [--seed N]`);
    return 2;
  }
  const isWhole = asked.length === 0;
  const machine = describeMachine();
  const loadBefore = load();
  const start = performance.now();
  const report = createReport((line) => console.log(line));
  const stage = await openStage(report, seed);
  let isInterrupted = false;
  const interrupt = () => {
    isInterrupted = true;
    void stage.close().finally(() => process.exit(130));
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, interrupt);
  try {
    const server = await settings(stage);
    console.log(heading(machine, server, { seed, loadBefore }).join("\n"));
    const needsCeiling = isWhole || asked.some((name) => ["ceiling", "steps", "queue"].includes(name));
    const none = { stepsPerSecond: null, runsPerSecond: null };
    const ceiling = needsCeiling ? await measureCeiling(stage) : none;
    for (const name of Object.keys(PARTS) as Part[]) {
      if (isWhole || asked.includes(name)) await PARTS[name](stage, ceiling);
    }
    const seconds = Math.round((performance.now() - start) / 1000);
    const missed = report.rows().filter((row) => row.isMet === false).length;
    const met = report.rows().filter((row) => row.isMet === true).length;
    console.log(`\n${met} goals met, ${missed} missed, in ${seconds} s`);
    if (isWhole) {
      const lines = heading(machine, server, { seed, loadBefore });
      writeFileSync(RESULTS, resultsText(lines, { seconds, met, missed }, toMarkdown(report.rows())));
      console.log(`written to ${RESULTS}`);
    }
    return 0;
  } catch (error) {
    if (isInterrupted) return 130;
    throw error;
  } finally {
    await stage.close();
  }
}

const SHOWN = [
  "server_version",
  "fsync",
  "synchronous_commit",
  "full_page_writes",
  "shared_buffers",
  "max_connections",
  "wal_sync_method",
];

/** @throws Error when the server is not durable: its figures would be worth nothing */
async function settings(stage: Stage): Promise<string> {
  const { db, drop } = await stage.database();
  const rows = await db.sql<{ name: string; value: string }[]>`
    select name, current_setting(name) as value from unnest(${SHOWN}::text[]) name`;
  await drop();
  const values = new Map(rows.map((row) => [row.name, row.value]));
  for (const name of ["fsync", "synchronous_commit"]) {
    if (values.get(name) !== "on") throw new Error(`${name} is ${values.get(name)}`);
  }
  const { server_version, ...rest } = Object.fromEntries(values);
  return `PostgreSQL ${server_version}, ${Object.entries(rest)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ")}`;
}

function heading(machine: Machine, server: string, run: { seed: number; loadBefore: string }): string[] {
  return [
    `commit      ${machine.commit}`,
    `date        ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
    `machine     ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGib} GiB, ${machine.kernel}`,
    `programs    Bun ${machine.bun}; ${server}`,
    `load        ${run.loadBefore} before the run (1, 5, 15 minutes); seed ${run.seed}`,
  ];
}

function resultsText(
  lines: readonly string[],
  run: { seconds: number; met: number; missed: number },
  tables: string,
): string {
  return `# What the engine reaches

Written by \`./everruns bench\`; made again by it, never by hand. Load generator, servers and PostgreSQL share the
cores of one machine, so every figure includes what it costs to ask for it. "Processors used" says which of them was
busy: where the sum comes near the number of cores, the machine is the bound; where one process comes near 1.0, that
process is; where neither, waiting is (a commit's disk sync, a round trip). "Anything else" was not the bench's: other programs,
and what a hypervisor took away. Where it is high, the figure is too low.

\`\`\`
${lines.join("\n")}
result      ${run.met} goals met, ${run.missed} missed, in ${run.seconds} s
\`\`\`

${tables}`;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
