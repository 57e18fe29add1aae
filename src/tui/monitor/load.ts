/** What the monitor reads, all of it from the public API. A part that the caller may not see is left out. */
import type { Client } from "../../client/client.ts";
import { ClientError } from "../../client/errors.ts";
import { summaryOf } from "../../client/event-line.ts";
import type { Item, Resource } from "../../client/resources.ts";
import type { HealthResponse } from "../../contract/durable.ts";
import type { CircuitBreakersListResponse, Run } from "../../contract/run.ts";
import type { SessionStatsResponse } from "../../contract/session.ts";
import type { Overview } from "./state.ts";

const LIST_MAX = 100;
const DEAD_SHOWN = 8;
const EVENTS_SHOWN = 200;
const MINUTE_MS = 60_000;

interface Listed<T = Item> {
  data: T[];
  total?: number;
}

export async function loadList(
  client: Client,
  resource: Resource,
): Promise<{ items: Item[]; total: number }> {
  const query = {
    ...(resource.isPaged ? { limit: LIST_MAX } : {}),
    // An inbox: what is decided waits for nobody.
    ...(resource.name === "approvals" ? { status: "pending" } : {}),
  };
  const { data, total = data.length } = await client.request<Listed>("GET", resource.path, { query });
  return { items: data, total };
}

export async function loadOverview(client: Client): Promise<Overview> {
  const runs = (status: string, limit: number, offset = 0) =>
    client.request<Listed<Run> & { total: number }>("GET", "/runs", { query: { status, limit, offset } });
  const [health, stats, approvals, queued, failed, sealed, completed, breakers] = await Promise.all([
    allowed(client.request<HealthResponse>("GET", "/durable/health")),
    allowed(client.request<SessionStatsResponse>("GET", "/sessions/stats")),
    client.listApprovals({ status: "pending", limit: LIST_MAX }),
    runs("queued", 1),
    runs("failed", DEAD_SHOWN),
    runs("sealed", DEAD_SHOWN),
    runs("completed", LIST_MAX),
    allowed(client.request<CircuitBreakersListResponse>("GET", "/durable/circuit-breakers")),
  ]);
  // Lists are newest first: the oldest is the last of them all.
  const oldest = queued.total > 1 ? (await runs("queued", 1, queued.total - 1)).data[0] : queued.data[0];
  const since = Date.now() - MINUTE_MS;
  const recent = completed.data.filter((run) => Date.parse(run.finished_at ?? "") >= since);
  const newestFirst = (a: Run, b: Run) => Date.parse(b.finished_at ?? "") - Date.parse(a.finished_at ?? "");
  return {
    health,
    sessions:
      stats === null
        ? null
        : {
            active: stats.active,
            waiting: stats.waiting_for_tool_results,
            idle: stats.idle,
            new: stats.started,
          },
    pendingApprovals: approvals.total,
    oldestApproval: approvals.data.at(-1)?.requested_at ?? null,
    queuedRuns: queued.total,
    oldestQueued: oldest?.queued_at ?? null,
    deadRuns: [...failed.data, ...sealed.data].sort(newestFirst).slice(0, DEAD_SHOWN),
    openBreakers: (breakers?.data ?? [])
      .filter((breaker) => breaker.state !== "closed")
      .map((breaker) => breaker.key),
    perMinute: {
      turns: recent.length,
      tokens: sum(recent, (run) => (run.usage?.input_tokens ?? 0) + (run.usage?.output_tokens ?? 0)),
      costUsd: sum(recent, (run) => run.cost_usd ?? 0),
    },
  };
}

/** What Enter shows: the object; of a session what happened in it, and `isLog`: the newest stands at the end. */
export async function loadDetail(
  client: Client,
  resource: Resource,
  item: Item,
): Promise<{ lines: string[]; isLog: boolean }> {
  const id = String(item.id ?? "");
  if (resource.name !== "sessions") {
    const path = `${resource.path}/${encodeURIComponent(id)}`;
    return {
      lines: linesOf(resource.isReadable ? await client.request<Item>("GET", path) : item),
      isLog: false,
    };
  }
  const [session, events] = await Promise.all([
    client.getSession(id),
    client.listEvents(id, { limit: EVENTS_SHOWN, exclude: ["output.message.delta"] }),
  ]);
  const { status, title, agent_id, usage } = session;
  const lines = events.map((event) => {
    const text = summaryOf(event).replace(/\s+/g, " ");
    return `${String(event.sequence).padStart(6)}  ${event.ts.slice(11, 19)}Z  ${event.type.padEnd(24)} ${text}`;
  });
  return { lines: [...linesOf({ id, status, title, agent_id, usage }), "", ...lines], isLog: true };
}

function linesOf(item: Item): string[] {
  const fields = Object.entries(item).filter(
    ([name, value]) => value !== null && value !== undefined && !/_url$|^ui_link$|^allowed_/.test(name),
  );
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  return fields.flatMap(([name, value]) => {
    const lines = (typeof value === "string" ? value : JSON.stringify(value)).split("\n");
    return lines.map((line, at) => `${(at === 0 ? name : "").padEnd(width)}  ${line}`);
  });
}

/** null for what the caller may not see, or this server does not have. */
async function allowed<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ClientError && (error.status === 403 || error.status === 404)) return null;
    throw error;
  }
}

const sum = <T>(items: readonly T[], of: (item: T) => number) =>
  items.reduce((total, item) => total + of(item), 0);
