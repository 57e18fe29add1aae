/**
 * `bun scripts/measure-chat.ts [--rate 200] [--seconds 5] [--past 0] [--executable dist/everruns]`: what the chat of the
 * executable costs while an answer streams into a real terminal (tmux, 100 × 30): bytes to the terminal, frames, and
 * CPU time of the chat's process, beside a server with the simulated model. `--past` turns stand in the session before.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openTerminal } from "../test/tui/support/tmux.ts";
import { type MeasuredServer, withServer } from "./measured-server.ts";
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

const measure = ({ rate, seconds, past, executable }: Options): Promise<void> =>
  withServer(executable, async ({ program, directory, url, post }) => {
    const session = await post("/sessions", {});
    for (let turn = 0; turn < past; turn += 1)
      await say(post, session.id, { rate: 0, steps: [{ text: WORDS }] });
    const env = { EVERRUNS_CONFIG: join(directory, "config.json") };
    const terminal = openTerminal([program, "chat", session.id, "--api-url", url], {
      columns: 100,
      rows: 30,
      env,
    });
    try {
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
      terminal.close();
    }
  });

/** Sends a message and waits for the end of its turn. */
async function say(post: MeasuredServer["post"], session: string, script: object): Promise<void> {
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
