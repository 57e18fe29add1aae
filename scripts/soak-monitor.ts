/**
 * `bun scripts/soak-monitor.ts [--minutes 10] [--rate 3] [--executable dist/everruns]`: the monitor of the executable in
 * a real terminal (tmux) beside a server under load: sessions are made, turns run with the simulated model, some fail,
 * some wait for a person; meanwhile somebody walks through every view. Prints the memory and the CPU time of the
 * monitor and what it wrote to the terminal, and ends with 1 when the memory did not stay flat.
 */
import { existsSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { openTerminal, type Terminal } from "../test/tui/support/tmux.ts";
import { type MeasuredServer, withServer } from "./measured-server.ts";
import { cpuSecondsOf, pidOf, rssMbOf } from "./process-figures.ts";

interface Options {
  minutes: number;
  /** Sessions that are begun in a second. */
  rate: number;
  executable: string | null;
}

interface Sample {
  seconds: number;
  rssMb: number;
  /** Percent of one core, since the sample before. */
  cpuPercent: number;
  /** To the terminal, in a second. */
  bytesPerSecond: number;
  sessions: number;
}

const SAMPLE_SECONDS = 10;
const STEP_MS = 2_000;
/** Of the second half, above the first: what a garbage collector leaves lying about. */
const GROWTH_MAX = 1.25;

/** What is typed, a step every two seconds, round and round. */
const WALK: readonly (readonly string[])[] = [
  ["2"],
  ["3"],
  ["Enter"],
  ["Tab"],
  ["Up", "Up", "Enter"],
  ["Escape"],
  ["Tab"],
  ["Tab"],
  ["Escape"],
  ["4"],
  ["s"],
  ["S"],
  ["/", "!", "d", "o", "n", "e", "Enter"],
  ["C-a"],
  ["Escape"],
  ["Enter"],
  ["Enter"],
  ["Escape"],
  ["5"],
  ["6"],
  ["Enter"],
  ["7"],
  ["8"],
  ["9"],
  ["y"],
  ["Escape"],
  ["?"],
  ["1"],
];

const SCRIPTS = [
  { steps: [{ text: "All is done. ".repeat(40) }] },
  {
    steps: [
      {
        thinking: "Let me see.",
        text: "A note.",
        tool_calls: [{ name: "write_file", arguments: { path: "/a.md", content: "a" } }],
      },
      { text: "Written. 日本語 👩‍💻" },
    ],
  },
  { steps: [{ error: { code: "provider_quota_exhausted", times: 9 } }] },
  { rate: 50, steps: [{ text: "Word by word by word. ".repeat(30) }] },
];
/** Every so many sessions one waits for a person. */
const APPROVAL_EVERY = 50;
const CAPABILITIES = ["session_file_system"];
const APPROVED = [...CAPABILITIES, { ref: "tool_approval", config: { mode: "protective" } }];

const soak = ({ minutes, rate, executable }: Options): Promise<number> =>
  withServer(executable, async ({ program, directory, url, post }) => {
    const load = new AbortController();
    const made = { sessions: 0 };
    const loading = makeSessions(post, { rate, signal: load.signal, made });
    const terminal = openTerminal([program, "monitor", "--api-url", url], { columns: 120, rows: 40 });
    try {
      await terminal.until("to decide");
      const pid = pidOf(`monitor --api-url ${url}$`);
      const written = join(directory, "written");
      terminal.record(written);
      return report(await watch({ minutes, pid, written, terminal, made }));
    } finally {
      load.abort();
      await loading;
      terminal.close();
    }
  });

async function makeSessions(
  post: MeasuredServer["post"],
  { rate, signal, made }: { rate: number; signal: AbortSignal; made: { sessions: number } },
): Promise<void> {
  while (!signal.aborted) {
    const startMs = performance.now();
    const number = made.sessions;
    const isAsking = number % APPROVAL_EVERY === 0;
    const script = SCRIPTS[isAsking ? 1 : number % SCRIPTS.length];
    const text = `Load ${number}, please.\n\`\`\`llmsim\n${JSON.stringify(script)}\n\`\`\``;
    try {
      const { id } = await post("/sessions", {
        title: `Load ${number}`,
        capabilities: isAsking ? APPROVED : CAPABILITIES,
      });
      await post(`/sessions/${id}/messages`, { message: { content: [{ type: "text", text }] } });
      made.sessions += 1;
    } catch (error) {
      if (!signal.aborted) console.error(`a session could not be made: ${error}`);
    }
    await Bun.sleep(Math.max(0, 1_000 / rate - (performance.now() - startMs)));
  }
}

async function watch(run: {
  minutes: number;
  pid: number;
  written: string;
  terminal: Terminal;
  made: { sessions: number };
}): Promise<Sample[]> {
  const { pid, written, terminal, made } = run;
  const samples: Sample[] = [];
  const startMs = performance.now();
  let before = { atMs: startMs, cpuSeconds: cpuSecondsOf(pid) };
  let step = 0;
  while (performance.now() - startMs < run.minutes * 60_000) {
    terminal.press(...(WALK[step % WALK.length] ?? []));
    step += 1;
    await Bun.sleep(STEP_MS);
    const nowMs = performance.now();
    if (nowMs - before.atMs < SAMPLE_SECONDS * 1_000) continue;
    const cpuSeconds = cpuSecondsOf(pid);
    const seconds = (nowMs - before.atMs) / 1_000;
    const bytes = existsSync(written) ? statSync(written).size : 0;
    if (bytes > 0) truncateSync(written, 0);
    const sample = {
      seconds: Math.round((nowMs - startMs) / 1_000),
      rssMb: rssMbOf(pid),
      cpuPercent: (100 * (cpuSeconds - before.cpuSeconds)) / seconds,
      bytesPerSecond: bytes / seconds,
      sessions: made.sessions,
    };
    samples.push(sample);
    before = { atMs: nowMs, cpuSeconds };
    console.log(lineOf(sample));
  }
  return samples;
}

const lineOf = ({ seconds, rssMb, cpuPercent, bytesPerSecond, sessions }: Sample) =>
  `${String(seconds).padStart(6)} s  ${rssMb.toFixed(1).padStart(7)} MB  ${cpuPercent.toFixed(1).padStart(5)} % CPU  ${Math.round(
    bytesPerSecond,
  )
    .toString()
    .padStart(6)} B/s  ${sessions} sessions`;

function report(samples: readonly Sample[]): number {
  const half = Math.floor(samples.length / 2);
  const [early, late] = [samples.slice(0, half), samples.slice(half)];
  if (early.length === 0 || late.length === 0) {
    console.error("too short: two samples are needed, --minutes 1");
    return 1;
  }
  const mean = (of: readonly Sample[], read: (sample: Sample) => number) =>
    of.reduce((sum, sample) => sum + read(sample), 0) / of.length;
  const growth = mean(late, ({ rssMb }) => rssMb) / mean(early, ({ rssMb }) => rssMb);
  for (const [name, at] of [
    ["start", 0],
    ["middle", half],
    ["end", samples.length - 1],
  ] as const) {
    const sample = samples[at];
    if (sample) console.log(`${name.padEnd(6)} ${lineOf(sample)}`);
  }
  console.log(
    `mean   ${mean(samples, ({ cpuPercent }) => cpuPercent).toFixed(1)} % CPU, ${Math.round(mean(samples, ({ bytesPerSecond }) => bytesPerSecond))} B/s to the terminal; ` +
      `memory of the second half ${((growth - 1) * 100).toFixed(1)} % above the first`,
  );
  if (growth <= GROWTH_MAX) return 0;
  console.error("the memory did not stay flat");
  return 1;
}

function optionsOf(args: readonly string[]): Options | null {
  const options: Options = { minutes: 10, rate: 3, executable: null };
  for (let at = 0; at < args.length; at += 2) {
    const [name, value = ""] = [args[at], args[at + 1]];
    if (name === "--minutes" && Number(value) > 0) options.minutes = Number(value);
    else if (name === "--rate" && Number(value) > 0) options.rate = Number(value);
    else if (name === "--executable" && existsSync(value)) options.executable = value;
    else return null;
  }
  return options;
}

if (import.meta.main) {
  const options = optionsOf(process.argv.slice(2));
  if (options === null) {
    console.error(
      "usage: bun scripts/soak-monitor.ts [--minutes N] [--rate SESSIONS_A_SECOND] [--executable PATH]",
    );
    process.exit(2);
  }
  process.exit(await soak(options));
}
