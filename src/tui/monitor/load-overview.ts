/** What the overview reads. A part that the caller may not see is left out. */
import type { Client, Page } from "../../client/client.ts";
import type { HealthResponse } from "../../contract/durable.ts";
import type { CircuitBreakersListResponse, Run, RunStatus } from "../../contract/run.ts";
import type { SessionStatsResponse } from "../../contract/session.ts";
import { allowed } from "./load.ts";
import type { Overview, Recent } from "./state.ts";

const ROWS = 100;
const DEAD_SHOWN = 12;
const WAITING_SHOWN = 5;
const RECENT_MINUTES = 5;
const MINUTE_MS = 60_000;
const ENDED = ["completed", "failed", "sealed", "cancelled"] as const;

export async function loadOverview(client: Client): Promise<Overview> {
  const startMs = performance.now();
  const notReady = await client.notReady();
  const latencyMs = performance.now() - startMs;
  const runs = (status: readonly RunStatus[], limit: number, offset = 0) =>
    client.request<Page<Run>>("GET", "/runs", { query: { status, limit, offset } });
  const [health, stats, approvals, queued, running, waiting, ended, breakers] = await Promise.all([
    allowed(client.request<HealthResponse>("GET", "/durable/health")),
    allowed(client.request<SessionStatsResponse>("GET", "/sessions/stats")),
    client.listApprovals({ status: "pending", limit: ROWS }),
    runs(["queued"], 1),
    runs(["running"], 1),
    runs(["waiting"], ROWS),
    runs(ENDED, ROWS),
    allowed(client.request<CircuitBreakersListResponse>("GET", "/durable/circuit-breakers")),
  ]);
  // Lists are newest first: the oldest is the last of them all.
  const oldest = queued.total > 1 ? (await runs(["queued"], 1, queued.total - 1)).data[0] : queued.data[0];
  const pending =
    approvals.total > ROWS
      ? (
          await client.request<typeof approvals>("GET", "/approvals", {
            query: { status: "pending", limit: WAITING_SHOWN, offset: approvals.total - WAITING_SHOWN },
          })
        ).data
      : approvals.data;
  const oldestFirst = pending.toReversed();
  return {
    latencyMs,
    notReady,
    health,
    sessions:
      stats === null
        ? null
        : {
            active: stats.active,
            waitingfortoolresults: stats.waiting_for_tool_results,
            idle: stats.idle,
            started: stats.started,
          },
    approvals: {
      total: approvals.total,
      oldestAt: oldestFirst[0]?.requested_at ?? null,
      oldest: oldestFirst.slice(0, WAITING_SHOWN),
    },
    runs: { queued: queued.total, running: running.total, waiting: waiting.total },
    waiting: countBy(waiting.data, (run) => run.waiting_on ?? "something"),
    oldestQueuedAt: oldest?.queued_at ?? null,
    deadRuns: ended.data
      .filter(({ status }) => status === "failed" || status === "sealed")
      .sort((a, b) => endOf(b) - endOf(a))
      .slice(0, DEAD_SHOWN),
    openBreakers:
      breakers === null
        ? null
        : breakers.data.filter(({ state }) => state !== "closed").map(({ key }) => key),
    recent: recentOf(ended.data, { isAll: ended.total <= ended.data.length, nowMs: Date.now() }),
  };
}

/**
 * PURE: what the runs that ended lately came to.
 *
 * @param runs  that have ended, newest first
 * @param isAll  there are no others; otherwise nothing is known of the time before the first of them ended
 */
export function recentOf(runs: readonly Run[], { isAll, nowMs }: { isAll: boolean; nowMs: number }): Recent {
  const firstMs = isAll ? 0 : Math.min(nowMs, ...runs.map(endOf));
  const sinceMs = Math.max(nowMs - RECENT_MINUTES * MINUTE_MS, firstMs);
  const recent = runs.filter((run) => endOf(run) >= sinceMs);
  const count = (status: RunStatus) => recent.filter((run) => run.status === status).length;
  return {
    minutes: Math.max(1_000, nowMs - sinceMs) / MINUTE_MS,
    ended: {
      completed: count("completed"),
      failed: count("failed"),
      sealed: count("sealed"),
      cancelled: count("cancelled"),
    },
    tokens: sum(recent, ({ usage }) => (usage?.input_tokens ?? 0) + (usage?.output_tokens ?? 0)),
    costUsd: sum(recent, (run) => run.cost_usd ?? 0),
  };
}

const endOf = (run: Run) => Date.parse(run.finished_at ?? "") || 0;

function countBy<T>(items: readonly T[], key: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[key(item)] = (counts[key(item)] ?? 0) + 1;
  return counts;
}

const sum = <T>(items: readonly T[], of: (item: T) => number) =>
  items.reduce((total, item) => total + of(item), 0);
