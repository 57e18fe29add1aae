/** Runs the command line as a person would: another process, its streams and its exit code. */
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Running {
  process: Bun.Subprocess<"pipe" | "ignore", "pipe", "pipe">;
  /** Resolves when stdout, or stderr, has shown the text. Rejects when the program ends without it. */
  shown(text: string, stream?: "stdout" | "stderr"): Promise<void>;
  finished: Promise<Finished>;
}

export interface StartOptions {
  env?: Record<string, string>;
  stdin?: string;
}

export function startCli(args: readonly string[], options: StartOptions = {}): Running {
  const child = Bun.spawn([process.execPath, "--no-env-file", join(ROOT, "cli/everruns.ts"), ...args], {
    cwd: ROOT,
    // Nothing of the caller's environment but what a program needs to start: no keys, no server, no colours.
    env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", ...options.env },
    stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  return {
    process: child as Running["process"],
    shown: (text, stream = "stdout") => (stream === "stdout" ? stdout : stderr).shown(text),
    finished: (async () => ({
      stdout: await stdout.whole,
      stderr: await stderr.whole,
      code: await child.exited,
    }))(),
  };
}

export function runCli(args: readonly string[], options: StartOptions = {}): Promise<Finished> {
  return startCli(args, options).finished;
}

function collect(stream: ReadableStream<Uint8Array>) {
  let text = "";
  let isOver = false;
  let waiting: { text: string; resolve(): void; reject(error: Error): void }[] = [];
  const settle = () => {
    for (const each of waiting) {
      if (text.includes(each.text)) each.resolve();
      else if (isOver) each.reject(new Error(`"${each.text}" was never shown, only: ${text}`));
    }
    waiting = isOver ? [] : waiting.filter((each) => !text.includes(each.text));
  };
  const whole = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      text += decoder.decode(chunk, { stream: true });
      settle();
    }
    isOver = true;
    settle();
    return text;
  })();
  return {
    whole,
    shown: (wanted: string) =>
      new Promise<void>((resolve, reject) => {
        waiting.push({ text: wanted, resolve, reject });
        settle();
      }),
  };
}
