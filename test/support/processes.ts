/** Other processes: started with an environment of their own, listened to while they run, ended for good. */

export interface Finished {
  /** 128 + the signal's number when a signal ended it. */
  code: number;
  stdout: string;
  stderr: string;
}

export interface StartedProcess {
  pid: number;
  /** What it has printed so far, stdout and stderr together, as they came. */
  output(): string;
  /** Resolves when the output matches; rejects with all of it when the process ends without. */
  shown(pattern: RegExp): Promise<RegExpExecArray>;
  finished: Promise<Finished>;
  isRunning(): boolean;
  signal(name: NodeJS.Signals): void;
  /** Sends the signal (SIGTERM) and waits for its end. Idempotent. */
  stop(name?: NodeJS.Signals): Promise<Finished>;
  /** kill -9, and waits for its end. */
  kill(): Promise<void>;
}

export interface StartOptions {
  cwd: string;
  /** The whole environment; nothing of ours is added. */
  env?: Record<string, string>;
}

export function startProcess(command: readonly string[], options: StartOptions): StartedProcess {
  const child = Bun.spawn([...command], {
    cwd: options.cwd,
    env: options.env ?? {},
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let output = "";
  let waiting: { pattern: RegExp; resolve(found: RegExpExecArray): void; reject(error: Error): void }[] = [];
  const look = (isOver: boolean) => {
    waiting = waiting.filter(({ pattern, resolve, reject }) => {
      const found = pattern.exec(output);
      if (found) resolve(found);
      else if (isOver) reject(new Error(`${command.join(" ")} ended without ${pattern}, only:\n${output}`));
      return !found && !isOver;
    });
  };
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of stream) {
      const piece = decoder.decode(bytes, { stream: true });
      text += piece;
      output += piece;
      look(false);
    }
    return text;
  };
  let isRunning = true;
  const finished = (async () => {
    const [stdout, stderr, code] = await Promise.all([
      collect(child.stdout),
      collect(child.stderr),
      child.exited,
    ]);
    isRunning = false;
    look(true);
    return { code, stdout, stderr };
  })();
  const stop = (name: NodeJS.Signals = "SIGTERM") => {
    if (child.exitCode === null && child.signalCode === null) child.kill(name);
    return finished;
  };
  return {
    pid: child.pid,
    output: () => output,
    shown: (pattern) =>
      new Promise((resolve, reject) => {
        waiting.push({ pattern, resolve, reject });
        look(!isRunning);
      }),
    finished,
    isRunning: () => isRunning,
    signal: (name) => child.kill(name),
    stop,
    kill: async () => void (await stop("SIGKILL")),
  };
}
