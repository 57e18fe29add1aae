/**
 * Circuit breakers, one a provider and model, shared by all processes. A change is decided by the caller from the
 * row as it stands and written only if the row is still the one that it was decided on; the times are the database's.
 * No row is a closed breaker without failures.
 */
import { isId } from "../../base/id.ts";
import type { Db } from "../pool.ts";

/** Which breaker; `model` is the vendor's name of the model. */
export interface BreakerKey {
  organizationId: string;
  providerId: string;
  model: string;
}

export interface Breaker {
  state: "closed" | "open" | "half_open";
  /** Why it is not closed; null when it is. */
  reason: "failures" | "rate_limited" | "operator" | null;
  /** Failures in a row while closed. */
  failureCount: number;
  /** Probes that succeeded. */
  successCount: number;
  /** Times that it opened without closing in between. */
  trips: number;
  /** The first failure of those counted. */
  windowStartedAt: Date | null;
  lastFailureAt: Date | null;
  /** When it was closed last. */
  openedAt: Date | null;
  /** From when a probe may go; null while an operator holds it open. */
  halfOpenAt: Date | null;
  /** When the permit of the probe under way ends; null when there is none. */
  probeExpiresAt: Date | null;
}

export const CLOSED_BREAKER: Breaker = {
  state: "closed",
  reason: null,
  failureCount: 0,
  successCount: 0,
  trips: 0,
  windowStartedAt: null,
  lastFailureAt: null,
  openedAt: null,
  halfOpenAt: null,
  probeExpiresAt: null,
};

/** What a caller of the model needs to know, in times from now: no clock of this process is compared with another's. */
export interface BreakerView {
  state: Breaker["state"];
  reason: Breaker["reason"];
  failure_count: number;
  /** Milliseconds until a probe may go; null when closed or held open by an operator. */
  wait_ms: number | null;
  /** Milliseconds since it opened; 0 when closed. */
  open_ms: number;
}

export const CLOSED_VIEW: BreakerView = {
  state: "closed",
  reason: null,
  failure_count: 0,
  wait_ms: null,
  open_ms: 0,
};

export function viewOf(breaker: Breaker, now: Date): BreakerView {
  const until = breaker.probeExpiresAt ?? breaker.halfOpenAt;
  const isClosed = breaker.state === "closed";
  return {
    state: breaker.state,
    reason: breaker.reason,
    failure_count: breaker.failureCount,
    wait_ms: isClosed || until === null ? null : Math.max(0, until.getTime() - now.getTime()),
    open_ms: isClosed || breaker.openedAt === null ? 0 : now.getTime() - breaker.openedAt.getTime(),
  };
}

/** As loaded together with a turn's configuration: see `loadTurnConfig`. Needs `b` for the row. */
export const selectBreakerView = ({ sql }: Pick<Db, "sql">) => sql`
  case when b.provider_id is not null then jsonb_build_object(
    'state', b.state, 'reason', b.reason, 'failure_count', b.failure_count,
    'wait_ms', case when b.state <> 'closed' then
      greatest(0, extract(epoch from coalesce(b.probe_expires_at, b.half_open_at) - now()) * 1000)::int end,
    'open_ms', case when b.state = 'closed' then 0
                    else greatest(0, extract(epoch from now() - b.opened_at) * 1000)::bigint end
  ) end`;

interface BreakerRow {
  now: Date;
  version: number | null;
  state: Breaker["state"];
  reason: Breaker["reason"];
  failure_count: number;
  success_count: number;
  trips: number;
  window_started_at: Date | null;
  last_failure_at: Date | null;
  opened_at: Date | null;
  half_open_at: Date | null;
  probe_expires_at: Date | null;
}

function toBreaker(row: BreakerRow): Breaker {
  if (row.version === null) return CLOSED_BREAKER;
  return {
    state: row.state,
    reason: row.reason,
    failureCount: row.failure_count,
    successCount: row.success_count,
    trips: row.trips,
    windowStartedAt: row.window_started_at,
    lastFailureAt: row.last_failure_at,
    openedAt: row.opened_at,
    halfOpenAt: row.half_open_at,
    probeExpiresAt: row.probe_expires_at,
  };
}

async function readBreaker({ sql }: Db, key: BreakerKey): Promise<BreakerRow> {
  const rows = await sql<BreakerRow[]>`
    select now() as now, b.version, b.state, b.reason, b.failure_count, b.success_count, b.trips,
           b.window_started_at, b.last_failure_at, b.opened_at, b.half_open_at, b.probe_expires_at
      from (select) one
      left join circuit_breakers b
        on b.provider_id = ${key.providerId} and b.model_id = ${key.model} and b.organization_id = ${key.organizationId}`;
  return rows[0] as BreakerRow;
}

export async function loadBreakerView(db: Db, key: BreakerKey): Promise<BreakerView> {
  const row = await readBreaker(db, key);
  return viewOf(toBreaker(row), row.now);
}

/** How often a change that others overtook is decided anew. */
const CHANGE_TRIES_MAX = 8;

export interface BreakerChange {
  /** What stands now. */
  view: BreakerView;
  before: Breaker;
  /** null when there was nothing to change. */
  after: Breaker | null;
}

/**
 * Changes a breaker as `decide` says, given the row and the database's time; null leaves it as it is. Of several
 * processes that decide on the same row one writes, the others decide anew.
 *
 * @returns null when the provider does not exist, or others were quicker again and again
 */
export async function changeBreaker(
  db: Db,
  key: BreakerKey,
  decide: (breaker: Breaker, now: Date) => Breaker | null,
): Promise<BreakerChange | null> {
  for (let tries = 0; tries < CHANGE_TRIES_MAX; tries += 1) {
    const row = await readBreaker(db, key);
    const before = toBreaker(row);
    const after = decide(before, row.now);
    if (after === null) return { view: viewOf(before, row.now), before, after };
    if (await writeBreaker(db, key, after, row.version ?? 0)) {
      return { view: viewOf(after, row.now), before, after };
    }
  }
  return null;
}

async function writeBreaker({ sql }: Db, key: BreakerKey, next: Breaker, version: number): Promise<boolean> {
  const rows = await sql`
    insert into circuit_breakers as b (
      provider_id, model_id, organization_id, state, reason, failure_count, success_count, trips,
      window_started_at, last_failure_at, opened_at, half_open_at, probe_expires_at)
    select p.id, ${key.model}, p.organization_id, ${next.state}, ${next.reason}, ${next.failureCount}::int,
           ${next.successCount}::int, ${next.trips}::int, ${next.windowStartedAt}::timestamptz,
           ${next.lastFailureAt}::timestamptz, ${next.openedAt}::timestamptz, ${next.halfOpenAt}::timestamptz,
           ${next.probeExpiresAt}::timestamptz
      from providers p where p.id = ${key.providerId} and p.organization_id = ${key.organizationId}
    on conflict (provider_id, model_id) do update
       set state = excluded.state, reason = excluded.reason, failure_count = excluded.failure_count,
           success_count = excluded.success_count, trips = excluded.trips,
           window_started_at = excluded.window_started_at, last_failure_at = excluded.last_failure_at,
           opened_at = excluded.opened_at, half_open_at = excluded.half_open_at,
           probe_expires_at = excluded.probe_expires_at, version = b.version + 1, updated_at = now()
     where b.version = ${version}
    returning version`;
  return rows.length > 0;
}

// ---- for operators

/** `prov_…:model`, as the routes name a breaker. */
export function breakerKeyText(providerId: string, model: string): string {
  return `${providerId}:${model}`;
}

/** @returns null when the text is not a breaker's key */
export function parseBreakerKey(text: string): { providerId: string; model: string } | null {
  const at = text.indexOf(":");
  const providerId = text.slice(0, Math.max(0, at));
  const model = text.slice(at + 1);
  return at > 0 && isId("prov", providerId) && model !== "" ? { providerId, model } : null;
}

export interface ListedBreaker {
  provider_id: string;
  model_id: string;
  state: Breaker["state"];
  failure_count: number;
  success_count: number;
  last_failure_at: Date | null;
  opened_at: Date | null;
  half_open_at: Date | null;
  updated_at: Date;
}

const LISTED = [
  "provider_id",
  "model_id",
  "state",
  "failure_count",
  "success_count",
  "last_failure_at",
  "opened_at",
  "half_open_at",
  "updated_at",
] as const;

/** The breakers of an organization, the one that changed last first. */
export async function listBreakers({ sql }: Db, organizationId: string): Promise<ListedBreaker[]> {
  return sql<ListedBreaker[]>`
    select ${sql(LISTED)} from circuit_breakers
     where organization_id = ${organizationId} order by updated_at desc, provider_id, model_id`;
}

export async function findBreaker({ sql }: Db, key: BreakerKey): Promise<ListedBreaker | null> {
  const rows = await sql<ListedBreaker[]>`
    select ${sql(LISTED)} from circuit_breakers
     where provider_id = ${key.providerId} and model_id = ${key.model} and organization_id = ${key.organizationId}`;
  return rows[0] ?? null;
}

/** Opens a breaker until an operator closes it, whether or not it has a row. @returns false: no such provider */
export async function forceBreakerOpen(db: Db, key: BreakerKey): Promise<boolean> {
  const changed = await changeBreaker(db, key, (breaker, now) => ({
    ...breaker,
    state: "open",
    reason: "operator",
    openedAt: breaker.state === "closed" ? now : breaker.openedAt,
    halfOpenAt: null,
    probeExpiresAt: null,
  }));
  return changed !== null;
}

/** Closes a breaker whatever it knows of its provider. @returns false when there is none */
export async function forceBreakerClosed({ sql }: Db, key: BreakerKey): Promise<boolean> {
  const rows = await sql`
    update circuit_breakers
       set state = 'closed', reason = null, failure_count = 0, trips = 0, window_started_at = null, opened_at = null,
           half_open_at = null, probe_expires_at = null, version = version + 1, updated_at = now()
     where provider_id = ${key.providerId} and model_id = ${key.model} and organization_id = ${key.organizationId}
    returning 1`;
  return rows.length > 0;
}

/** Forgets a breaker: closed, and without a past. @returns false when there was none */
export async function deleteBreaker({ sql }: Db, key: BreakerKey): Promise<boolean> {
  const rows = await sql`
    delete from circuit_breakers
     where provider_id = ${key.providerId} and model_id = ${key.model} and organization_id = ${key.organizationId}
    returning 1`;
  return rows.length > 0;
}
