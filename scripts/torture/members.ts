/** The processes under torture: each is started again when it has ended, and has one trouble at a time. */
import { appendFileSync, openSync } from "node:fs";
import { join } from "node:path";

export interface Member {
  name: string;
  kind: "worker" | "server";
  /** Where a server listens, also while it is down. */
  url: string;
  /** Whether it is up and nothing is being done to it. */
  isFree(): boolean;
  /** kill -9; another is started after the pause. */
  kill(pauseMs: number): Promise<void>;
  /** SIGTERM; another is started when it has ended. */
  drain(): Promise<void>;
  /** SIGSTOP, and SIGCONT after so long. */
  sleep(ms: number): Promise<void>;
  /** Ends it for good, in order. */
  end(): Promise<void>;
}

/** From when to when a process was stopped, in Unix milliseconds. */
export interface Sleep {
  pid: number;
  fromMs: number;
  toMs: number;
}

export interface Members {
  all: readonly Member[];
  sleeps: readonly Sleep[];
  /** Processes that ended by themselves or badly, and not because the database was away: what they said last. */
  oddEnds: readonly string[];
  /** How often a process was started again because it had found no database. */
  restarts(): number;
}

const PAUSE_AFTER_FAILED_START_MS = 300;

export function startMembers(options: {
  executable: string;
  env: Record<string, string>;
  directory: string;
  workers: number;
  servers: readonly number[];
}): Members {
  const sleeps: Sleep[] = [];
  const oddEnds: string[] = [];
  let restarts = 0;

  const start = (name: string, kind: Member["kind"], env: Record<string, string>, url: string): Member => {
    const logFile = join(options.directory, `${name}.log`);
    let isEnding = false;
    let trouble: "kill" | "drain" | "sleep" | null = null;
    let pauseMs = 0;
    let child: Bun.Subprocess | null = null;

    const launch = () => {
      const log = openSync(logFile, "a");
      appendFileSync(log, `--- ${new Date().toISOString()} started\n`);
      const own = Bun.spawn([options.executable, kind === "server" ? "serve" : "worker"], {
        cwd: options.directory,
        env: { ...options.env, ...env },
        stdio: ["ignore", log, log],
      });
      child = own;
      return own;
    };
    const live = async () => {
      while (!isEnding) {
        const own = launch();
        const code = await own.exited;
        child = null;
        const said = await lastWords(logFile);
        appendFileSync(logFile, `--- ${new Date().toISOString()} ended: ${own.signalCode ?? code}\n`);
        if (trouble === null && !isEnding) {
          // A program that finds no database at its start says so and ends: whoever runs it starts it again.
          if (/cannot use the database|database_unreachable|cannot be reached/.test(said)) restarts += 1;
          else oddEnds.push(`${name} ended by itself (${own.signalCode ?? code}): ${said}`);
          pauseMs = PAUSE_AFTER_FAILED_START_MS;
        }
        if (trouble === "drain" && own.signalCode !== null) {
          // One that has said nothing yet was not up: it does not know of signals.
          if (said !== "") oddEnds.push(`${name} was to drain and ended by ${own.signalCode}: ${said}`);
        }
        trouble = null;
        if (!isEnding) await Bun.sleep(pauseMs);
        pauseMs = 0;
      }
    };
    const life = live();
    const ended = async () => {
      const own = child;
      if (own) await own.exited;
    };
    return {
      name,
      kind,
      url,
      isFree: () => child !== null && trouble === null,
      async kill(pause) {
        trouble = "kill";
        pauseMs = pause;
        child?.kill("SIGKILL");
        await ended();
      },
      async drain() {
        trouble = "drain";
        child?.kill("SIGTERM");
        await ended();
      },
      async sleep(ms) {
        const own = child;
        if (!own) return;
        trouble = "sleep";
        const fromMs = Date.now();
        own.kill("SIGSTOP");
        await Bun.sleep(ms);
        const toMs = Date.now();
        own.kill("SIGCONT");
        sleeps.push({ pid: own.pid, fromMs, toMs });
        if (trouble === "sleep") trouble = null;
      },
      async end() {
        isEnding = true;
        child?.kill("SIGCONT");
        child?.kill("SIGTERM");
        await life;
      },
    };
  };

  const workers = Array.from({ length: options.workers }, (_, n) =>
    start(`worker-${n + 1}`, "worker", {}, ""),
  );
  const servers = options.servers.map((port, n) =>
    start(`server-${n + 1}`, "server", { PORT: String(port) }, `http://127.0.0.1:${port}`),
  );
  return { all: [...workers, ...servers], sleeps, oddEnds, restarts: () => restarts };
}

async function lastWords(file: string): Promise<string> {
  const text = await Bun.file(file).text();
  return text
    .slice(text.lastIndexOf(" started\n") + 9)
    .slice(-1_500)
    .trim();
}
