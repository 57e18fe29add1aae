/**
 * `./everruns bench [part …] [--seed N] [--quick] [--out FILE]`: what the engine reaches on this machine, beside what
 * it is meant to reach. A full run writes scripts/bench/RESULTS.md; a quick one takes every part at a tiny size, which
 * shows that the bench works and nothing else, and writes only where --out says. Nothing is asserted about time: tests
 * check truth, this prints.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureBloat, measureOrganizations } from "./bench/bloat.ts";
import { measureCancel } from "./bench/cancel.ts";
import { measureKill } from "./bench/kill.ts";
import { describeMachine, load, type Machine } from "./bench/machine.ts";
import { measureSync } from "./bench/meter.ts";
import { measurePast } from "./bench/past.ts";
import { type Ceiling, measureCeiling, NO_CEILING } from "./bench/pgbench.ts";
import { measureFullTable, measureQueue } from "./bench/queue.ts";
import { createReport, toMarkdown } from "./bench/report.ts";
import { measureResume } from "./bench/resume.ts";
import { openStage, type Stage } from "./bench/stage.ts";
import { measureStatements } from "./bench/statements.ts";
import { measureSteps } from "./bench/steps.ts";
import { measureStreams } from "./bench/streams.ts";
import { measureTurnStatements } from "./bench/turn-statements.ts";
import { measureTurns } from "./bench/turns.ts";

const RESULTS = join(import.meta.dir, "bench/RESULTS.md");
const SEED = 20_261_122;

/** In this order; the ceiling first, because the shares of it are rows, too. */
const PARTS = {
  steps: (stage: Stage, ceiling: Ceiling) => measureSteps(stage, ceiling),
  queue: (stage: Stage, ceiling: Ceiling) => measureQueue(stage, ceiling),
  turns: (stage: Stage, ceiling: Ceiling) => measureTurns(stage, ceiling),
  past: (stage: Stage) => measurePast(stage),
  streams: (stage: Stage) => measureStreams(stage),
  cancel: (stage: Stage) => measureCancel(stage),
  kill: (stage: Stage) => measureKill(stage),
  resume: (stage: Stage) => measureResume(stage),
  full: (stage: Stage) => measureFullTable(stage),
  organizations: (stage: Stage) => measureOrganizations(stage),
  bloat: (stage: Stage) => measureBloat(stage),
} as const;
type Part = keyof typeof PARTS;

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  if (options === null) {
    console.error(
      `usage: everruns bench [ceiling ${Object.keys(PARTS).join(" ")}] [--seed N] [--quick] [--out FILE]`,
    );
    return 2;
  }
  const { asked, seed, isQuick } = options;
  const isWhole = asked.length === 0;
  const machine = describeMachine();
  const loadBefore = load();
  const start = performance.now();
  const progress = showProgress();
  const report = createReport((line) => {
    progress.clear();
    console.log(line);
  });
  const stage = await openStage(report, { seed, isQuick });
  let isInterrupted = false;
  const interrupt = () => {
    isInterrupted = true;
    void stage.close().finally(() => process.exit(130));
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, interrupt);
  try {
    const server = await settings(stage);
    console.log(heading(machine, server, { seed, loadBefore }).join("\n"));
    const needsCeiling =
      isWhole || asked.some((name) => ["ceiling", "steps", "queue", "turns"].includes(name));
    measureSync(stage);
    progress.at("ceiling");
    let ceiling = needsCeiling ? await measureCeiling(stage) : NO_CEILING;
    const isAsked = (...names: string[]) => isWhole || asked.some((name) => names.includes(name));
    if (isAsked("ceiling", "steps")) {
      ceiling = { ...ceiling, writerStepsPerSecond: await measureStatements(stage) };
    }
    if (isAsked("ceiling", "turns")) {
      ceiling = { ...ceiling, turnsPerSecond: await measureTurnStatements(stage) };
    }
    for (const name of Object.keys(PARTS) as Part[]) {
      if (!isWhole && !asked.includes(name)) continue;
      progress.at(name);
      await PARTS[name](stage, ceiling);
    }
    const seconds = Math.round((performance.now() - start) / 1000);
    const missed = report.rows().filter((row) => row.isMet === false).length;
    const met = report.rows().filter((row) => row.isMet === true).length;
    console.log(`\n${met} goals met, ${missed} missed, in ${seconds} s`);
    const out = options.out ?? (isWhole && !isQuick ? RESULTS : null);
    if (out !== null) {
      const lines = heading(machine, server, { seed, loadBefore });
      writeFileSync(out, resultsText(lines, { seconds, met, missed }, toMarkdown(report.rows())));
      console.log(`written to ${out}`);
    }
    return 0;
  } catch (error) {
    if (isInterrupted) return 130;
    throw error;
  } finally {
    progress.stop();
    await stage.close();
  }
}

/** On a terminal a line says which part is under way and for how long; elsewhere nothing. */
function showProgress() {
  const isTerminal = process.stderr.isTTY;
  const start = performance.now();
  let part = "starting";
  const clear = () => void (isTerminal && process.stderr.write("\r\x1b[K"));
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - start) / 1000);
    if (isTerminal) process.stderr.write(`\r\x1b[K  ${part} … ${seconds} s`);
  }, 1_000);
  return {
    at(name: string) {
      part = name;
    },
    clear,
    stop() {
      clearInterval(timer);
      clear();
    },
  };
}

interface Options {
  asked: string[];
  seed: number;
  isQuick: boolean;
  /** Where to write the tables; null is the usual place, and only after a full run. */
  out: string | null;
}

/** @returns null when they cannot be understood */
function readOptions(args: readonly string[]): Options | null {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { seed: { type: "string" }, quick: { type: "boolean" }, out: { type: "string" } },
    });
    const seed = values.seed === undefined ? SEED : Number(values.seed);
    if (!Number.isInteger(seed)) return null;
    if (!positionals.every((name) => name === "ceiling" || name in PARTS)) return null;
    return { asked: positionals, seed, isQuick: values.quick ?? false, out: values.out ?? null };
  } catch {
    return null;
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
cores of one machine, so every figure includes what it costs to ask for it. "Anything else" among the processors was
not the bench's: other programs, and what a hypervisor took away. Where it is high, the figure is too low.

\`\`\`
${lines.join("\n")}
result      ${run.met} goals met, ${run.missed} missed, in ${run.seconds} s
\`\`\`

${tables}`;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
