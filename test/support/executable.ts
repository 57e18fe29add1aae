/** The built executable, run as a person would: alone in a directory, with an environment of its own. */
import { type Finished, type StartedProcess, type StartOptions, startProcess } from "./processes.ts";

export interface RunningServer {
  /** Where it listens, without a closing slash. */
  url: string;
  pid: number;
  /** What it has printed so far, stdout and stderr together. */
  output(): string;
  /** SIGTERM; resolves with its exit code. */
  stop(): Promise<number>;
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

export type RunResult = Finished;
export type RunOptions = StartOptions;

/** Built by scripts/test.ts for runs that include test/e2e. */
export function executablePath(): string {
  const path = process.env.EVERRUNS_TEST_EXECUTABLE;
  if (!path) throw new Error("no executable: run the tests with `./everruns test test/e2e`");
  return path;
}

/** Runs one command to its end. */
export function runExecutable(args: readonly string[], options: RunOptions): Promise<RunResult> {
  return startExecutable(args, options).finished;
}

/** Starts one command and leaves it running. */
export function startExecutable(args: readonly string[], options: RunOptions): StartedProcess {
  return startProcess([executablePath(), ...args], options);
}

/**
 * Starts `serve`, on a free port unless `args` say otherwise, and waits until it is healthy.
 * @throws Error with what it printed when it ends instead
 */
export async function serveExecutable(args: readonly string[], options: RunOptions): Promise<RunningServer> {
  const server = startExecutable(["serve", "--port", "0", ...args], options);
  const url = (await server.shown(/listens on (http:\/\/\S+:[1-9]\d*)/))[1] ?? "";
  while (!(await isHealthy(url))) {
    if (!server.isRunning()) throw new Error(`serve ended:\n${server.output()}`);
    await Bun.sleep(20);
  }
  return {
    url,
    pid: server.pid,
    output: server.output,
    stop: async () => (await server.stop()).code,
    kill: server.kill,
  };
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`)).ok;
  } catch {
    return false;
  }
}
