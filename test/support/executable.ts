/** The built executable, run as a person would: alone in a directory, with an environment of its own. */

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

export interface RunResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd: string;
  /** The whole environment; nothing of ours is added. */
  env?: Record<string, string>;
}

/** Built by scripts/test.ts for runs that include test/e2e. */
export function executablePath(): string {
  const path = process.env.EVERRUNS_TEST_EXECUTABLE;
  if (!path) throw new Error("no executable: run the tests with `./everruns test test/e2e`");
  return path;
}

/** Runs one command to its end. */
export async function runExecutable(args: readonly string[], options: RunOptions): Promise<RunResult> {
  const child = Bun.spawn([executablePath(), ...args], {
    cwd: options.cwd,
    env: options.env ?? {},
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/**
 * Starts `serve` on a free port and waits until it is healthy.
 * @throws Error with what it printed when it ends instead
 */
export async function serveExecutable(args: readonly string[], options: RunOptions): Promise<RunningServer> {
  const child = Bun.spawn([executablePath(), "serve", "--port", "0", ...args], {
    cwd: options.cwd,
    env: options.env ?? {},
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let printed = "";
  const url = Promise.withResolvers<string>();
  const listen = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      printed += decoder.decode(bytes, { stream: true });
      const found = /http:\/\/[^\s:/"]+:[1-9]\d*/.exec(printed)?.[0];
      if (found) url.resolve(found);
    }
  };
  const ended = Promise.all([listen(child.stdout), listen(child.stderr), child.exited]);
  ended.then(() => url.reject(new Error(`serve ended with exit code ${child.exitCode}:\n${printed}`)));
  const address = await url.promise;
  while (!(await isHealthy(address))) {
    if (child.exitCode !== null) throw new Error(`serve ended with exit code ${child.exitCode}:\n${printed}`);
    await Bun.sleep(20);
  }
  const end = async (signal: "SIGTERM" | "SIGKILL") => {
    child.kill(signal);
    await ended;
    return child.exitCode ?? -1;
  };
  return {
    url: address,
    pid: child.pid,
    output: () => printed,
    stop: () => end("SIGTERM"),
    kill: async () => void (await end("SIGKILL")),
  };
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`)).ok;
  } catch {
    return false;
  }
}
