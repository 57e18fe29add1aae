/** PURE: is anything broken? In one line, on every screen, and in sentences. */

import { age } from "../../client/age.ts";
import { cut } from "../markdown.ts";
import { marks, type Paint } from "../theme.ts";
import { cellText, dollars } from "./columns.ts";
import type { MonitorState, Overview, Recent } from "./state.ts";

const QUEUE_OLD_SECONDS = 30;
const ERRORS_MANY_PERCENT = 20;
const ENDED_FEW = 5;
const SLOW_SECONDS = 5;
const LATENCY_LONG_MS = 2_000;
const FULL_PERCENT = 100;

export interface Problem {
  /** Which part of the line it is about. */
  part: "api" | "db" | "workers" | "queue" | "errors" | "breakers";
  sentence: string;
}

/** What somebody should look at, worst first. */
export function problemsOf({
  latencyMs,
  notReady,
  health,
  openBreakers,
  runs,
  oldestQueuedAt,
  recent,
}: Overview): Problem[] {
  const oldSeconds = oldestQueuedAt === null ? 0 : (Date.now() - Date.parse(oldestQueuedAt)) / 1000;
  const percent = errorPercent(recent);
  const problems: (Problem | false)[] = [
    latencyMs >= LATENCY_LONG_MS && {
      part: "api",
      sentence: `the server took ${tookText(latencyMs)} to answer`,
    },
    notReady !== null && { part: "db", sentence: `the server is not ready: ${cellText(notReady)}` },
    health?.active_workers === 0 && {
      part: "workers",
      sentence:
        health.total_workers === 0
          ? "there is no worker: everruns worker starts one"
          : "no worker takes runs: they drain or have stopped; everruns worker starts one",
    },
    oldSeconds > QUEUE_OLD_SECONDS && {
      part: "queue",
      sentence: `${counted(runs.queued, "run")} queued, the oldest for ${age(oldestQueuedAt)}`,
    },
    health !== null &&
      health.active_workers > 0 &&
      health.load_percentage >= FULL_PERCENT && {
        part: "workers",
        sentence: "every slot of every worker is taken",
      },
    percent >= ERRORS_MANY_PERCENT &&
      endedOf(recent) >= ENDED_FEW && {
        part: "errors",
        sentence: `${percent} % of the runs that ended in the last ${minutesText(recent)} failed`,
      },
    (openBreakers?.length ?? 0) > 0 && {
      part: "breakers",
      sentence: `${counted(openBreakers?.length ?? 0, "breaker")} not closed: ${cellText((openBreakers ?? []).join(", "))}`,
    },
  ];
  return problems.filter((problem) => problem !== false);
}

const endedOf = ({ ended }: Recent) => ended.completed + ended.failed + ended.sealed;

/** Of the runs that ended with or without an answer; those that somebody cancelled do not count. */
export function errorPercent(recent: Recent): number {
  const all = endedOf(recent);
  return all === 0 ? 0 : Math.round((100 * (recent.ended.failed + recent.ended.sealed)) / all);
}

export const minutesText = ({ minutes }: Recent): string =>
  minutes >= 1 ? `${Math.round(minutes)} min` : `${Math.round(minutes * 60)} s`;

export const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;

/** `✓ api 3ms  db ok  workers 2/2  queue 0  …`; every part as wide as it will ever be. */
export function verdictLine(state: MonitorState, width: number, paint: Paint): string {
  const { trouble, readSince, overview } = state;
  if (trouble !== null) {
    const since = trouble.since.toISOString();
    return paint.red(
      cut(
        `${marks.failure} since ${since.slice(11, 19)}Z, ${age(since)}: ${cellText(trouble.reason)}; trying again`,
        width,
      ),
    );
  }
  const waitedSeconds = readSince === null ? 0 : (Date.now() - readSince.getTime()) / 1000;
  if (waitedSeconds > SLOW_SECONDS) {
    return paint.yellow(cut(`! the server has not answered for ${Math.floor(waitedSeconds)}s`, width));
  }
  if (overview === null) return paint.dim(cut(`${marks.pending} loading`, width));
  const broken = new Set(problemsOf(overview).map(({ part }) => part));
  const isWell = broken.size === 0;
  const line = `${isWell ? marks.success : "!"} ${partsOf(overview)
    .map(([part, text]) => `${text}${part !== null && broken.has(part) ? "!" : " "}`)
    .join(" ")}`;
  return (isWell ? paint.green : paint.yellow)(cut(line, width));
}

function partsOf(overview: Overview): [Problem["part"] | null, string][] {
  const { latencyMs, notReady, health, runs, oldestQueuedAt, recent, openBreakers } = overview;
  const workers = health === null ? "?" : `${health.active_workers}/${health.total_workers}`;
  const queue = `${runs.queued}${oldestQueuedAt === null ? "" : ` ${age(oldestQueuedAt)}`}`;
  const open = openBreakers === null ? "?" : String(openBreakers.length);
  return [
    ["api", `api ${tookText(latencyMs).padEnd(4)}`],
    ["db", `db ${notReady === null ? "ok" : "no"}`],
    ["workers", `workers ${workers.padEnd(4)}`],
    ["queue", `queue ${queue.padEnd(7)}`],
    ["errors", `errors ${`${errorPercent(recent)}%`.padEnd(4)}`],
    [null, `${dollars(recent.costUsd / recent.minutes)}/m`.padEnd(9)],
    ["breakers", `open ${open}`],
  ];
}

/** `7ms`, `0.4s`, `12s`: four columns. */
function tookText(ms: number): string {
  if (ms < 99.5) return `${Math.round(ms)}ms`;
  return ms < 9_950 ? `${(ms / 1000).toFixed(1)}s` : `${Math.round(ms / 1000)}s`;
}
