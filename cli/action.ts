/**
 * Wraps a command: what it may use, what becomes of its errors, and how signals reach it.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 129/130/143 stopped by a second signal. A failure is
 * one line on stderr that begins with `everruns:`; a list of wrong settings is the exception and has one line each.
 */

import { describeError, RetryableError, TerminalError, UserError } from "../src/base/errors.ts";
import { ClientError } from "../src/client/errors.ts";
import { type Out, terminalOf } from "./terminal.ts";

/** The world as a command sees it. Everything in it is handed in, so that a test can hand in another. */
export interface CommandContext {
  env: Readonly<Record<string, string | undefined>>;
  out: Out;
  err: Out;
  /** Aborts at the first SIGINT, SIGTERM or SIGHUP; the second one ends the program on the spot. */
  signal: AbortSignal;
}

/** Wrong usage that commander could not see: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Runs a command to its end and ends the program. @param command resolves to the exit code, nothing means 0 */
export async function runCommand(
  command: (context: CommandContext) => Promise<number | undefined>,
): Promise<never> {
  const stop = new AbortController();
  for (const [name, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    // The terminal was closed: stop as cleanly as on the others.
    ["SIGHUP", 129],
  ] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(code);
      stop.abort();
    });
  }
  quietWhenNobodyReads(process.stdout);
  quietWhenNobodyReads(process.stderr);
  const context: CommandContext = {
    env: process.env,
    out: terminalOf(process.stdout, process.env),
    err: terminalOf(process.stderr, process.env),
    signal: stop.signal,
  };
  let code: number;
  try {
    code = (await command(context)) ?? 0;
  } catch (error) {
    // Ctrl+C at a question: whoever pressed it knows.
    const isLeft = error instanceof Error && error.name === "AbortError";
    if (!isLeft) context.err.line(context.err.paint.red("everruns: ") + explain(error, process.env));
    code = isLeft ? 130 : exitCodeOf(error);
  }
  await flushed(process.stdout);
  await flushed(process.stderr);
  process.exit(code);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return 2;
  if (error instanceof UserError && error.code.startsWith("config_")) return 2;
  return 1;
}

/** What a person reads about a failure, without the `everruns:`. Bugs come with their stack when asked for. */
export function explain(error: unknown, env: CommandContext["env"]): string {
  if (error instanceof ClientError) {
    const hint = hintFor(error, env);
    return hint === null ? describeError(error) : `${describeError(error).replace(/\.$/, "")}; ${hint}`;
  }
  const isExpected = [UserError, RetryableError, TerminalError, UsageError].some(
    (kind) => error instanceof kind,
  );
  if (isExpected) return describeError(error);
  if (env.EVERRUNS_DEBUG && error instanceof Error) return error.stack ?? error.message;
  return `${describeError(error)} (unexpected; EVERRUNS_DEBUG=1 shows where)`;
}

function hintFor(error: ClientError, env: CommandContext["env"]): string | null {
  if (error.status === 401) {
    return env.EVERRUNS_API_KEY
      ? "the server does not accept the key in EVERRUNS_API_KEY"
      : "set EVERRUNS_API_KEY to a key of this server, or sign in with everruns login";
  }
  if (error.status >= 500 && error.requestId)
    return `the server's log has more under request ${error.requestId}`;
  return null;
}

/** `everruns run … | head -1`: the reader has what it wanted. */
function quietWhenNobodyReads(stream: NodeJS.WriteStream): void {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
}

/** All of it: an empty write is answered at once in Bun 1.4.5, whatever a slow reader has not taken yet. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.end(() => resolve()));
}
