/**
 * `bun scripts/measure-chat.ts [--rate 200] [--seconds 5] [--past 0] [--executable dist/everruns]`: what the chat of the
 * executable costs while an answer streams into a real terminal (tmux, 100 × 30): bytes to the terminal, frames, and
 * CPU time of the chat's process, beside a server with the simulated model. `--past` turns stand in the session before.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startProcess } from "../test/support/processes.ts";
import { openTerminal, type Terminal } from "../test/tui/support/tmux.ts";
import { build } from "./build.ts";
import { cpuSecondsOf, pidOf, rssMbOf } from "./process-figures.ts";

interface Options {
  /** Tokens a second. */
  rate: number;
  seconds: number;
  /** Turns before the one that is measured. */
  past: number;
  executable: string | null;
}

const WORDS =
  "The **quick** brown fox jumps over the lazy dog, and `nobody` has seen it come back since.\n\n- one thing\n- another\n\n";

async function measure({ rate, seconds, past, executable }: Options): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "everruns-measure-"));
  // As root the database runs under another user, who has to be able to enter.
  chmodSync(directory, 0o755);
  const program = executable ?? join(directory, "everruns");
  if (executable === null) await build({ output: program, level: "fast" });
  const server = startProcess([program, "serve", "--port", "0", "--data-dir", join(directory, "data")], {
    cwd: directory,
  });
  let terminal: Terminal | null = null;
  try {
    const url = (await server.shown(/listens on (http:\/\/\S+:[1-9]\d*)/))[1] ?? "";
    const post = poster(url);
    const session = await post("/sessions", {});
    for (let turn = 0; turn < past; turn += 1)
      await say(post, session.id, { rate: 0, steps: [{ text: WORDS }] });
    const env = { EVERRUNS_CONFIG: join(directory, "config.json") };
    terminal = openTerminal([program, "chat", session.id, "--api-url", url], { columns: 100, rows: 30, env });
    await terminal.until(past === 0 ? "started" : "idle");
    const pid = pidOf(`chat ${session.id} --api-url ${url}$`);
    const written = join(directory, "written");
    terminal.record(written);
    // As many words as the model says in this time; the simulated one counts them as a driver does.
    const text = `${WORDS.repeat(200)
      .split(/(?<=\s)/)
      .slice(0, rate * seconds)
      .join("")} The end.`;
    const before = { cpuSeconds: cpuSecondsOf(pid), atMs: performance.now() };
    await say(post, session.id, { rate, steps: [{ text }] });
    await terminal.until(/The end\.[\s\S]*idle/);
    const took = (performance.now() - before.atMs) / 1_000;
    const cpu = cpuSecondsOf(pid) - before.cpuSeconds;
    const output = readFileSync(written, "latin1");
    const tokens = rate * seconds;
    const frames = output.split("\u001b[?2026h").length - 1;
    const clears = output.split("\u001b[2J").length - 1;
    console.log(
      [
        `${tokens} words at ${rate} a second, ${took.toFixed(1)} s, after ${past} turns`,
        `${(output.length / 1024).toFixed(1)} KB to the terminal, ${(output.length / tokens).toFixed(1)} bytes a word`,
        `${frames} frames, ${(frames / took).toFixed(1)} a second, each in one synchronized update; ${clears} times cleared`,
        `${((100 * cpu) / took).toFixed(1)} % of a core, ${rssMbOf(pid).toFixed(0)} MB`,
      ].join("\n"),
    );
  } finally {
    terminal?.close();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

type Post = (path: string, body: unknown) => Promise<{ id: string }>;

function poster(url: string): Post {
  return async (path, body) => {
    const answer = await fetch(`${url}/api/v1${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`the server did not take it: ${await answer.text()}`);
    return (await answer.json()) as { id: string };
  };
}

/** Sends a message and waits for the end of its turn. */
async function say(post: Post, session: string, script: object): Promise<void> {
  const text = `Go on.\n\`\`\`llmsim\n${JSON.stringify(script)}\n\`\`\``;
  const content = [{ type: "text", text }];
  await post(`/sessions/${session}/messages?wait=true&timeout_seconds=120`, { message: { content } });
}

function optionsOf(args: readonly string[]): Options {
  const wordOf = (name: string) => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? undefined : args[at + 1];
  };
  const numberOf = (name: string, absent: number) => {
    const value = Number(wordOf(name) ?? absent);
    if (!(value >= 0)) throw new Error(`--${name} takes a number`);
    return value;
  };
  return {
    rate: numberOf("rate", 200),
    seconds: numberOf("seconds", 5),
    past: numberOf("past", 0),
    executable: wordOf("executable") ?? null,
  };
}

if (import.meta.main) await measure(optionsOf(process.argv.slice(2)));
