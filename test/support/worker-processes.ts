/** The other end of worker-process.ts. */
import { join } from "node:path";
import type { DatabaseAddress } from "../../src/db/pool.ts";
import type { WorkerCommand, WorkerReport } from "./worker-process.ts";

export interface WorkerProcess {
  pid: number;
  /** Resolves with the process's answer, or null when it died of the command, or before it answered. */
  tell(command: WorkerCommand): Promise<WorkerReport | null>;
  signal(name: NodeJS.Signals): void;
  /** Resolves when it is gone, with the signal that ended it. */
  ended: Promise<unknown>;
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

export function startWorkerProcess(address: DatabaseAddress): WorkerProcess {
  const child = Bun.spawn(
    [process.execPath, "--no-env-file", join(import.meta.dir, "worker-process.ts"), JSON.stringify(address)],
    { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
  );
  const answers = lines(child.stdout);
  return {
    pid: child.pid,
    async tell(command) {
      child.stdin.write(`${JSON.stringify(command)}\n`);
      await child.stdin.flush();
      const { value } = await answers.next();
      return value === undefined ? null : (JSON.parse(value) as WorkerReport);
    },
    signal: (name) => child.kill(name),
    ended: child.exited.then(() => child.signalCode),
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const whole = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = whole.pop() ?? "";
    yield* whole;
  }
  return undefined;
}
