/** Webhooks, and the deliveries to them: an outbox that is written with what it tells, and emptied by any worker. */
import { sealPlace } from "../../base/seal.ts";
import { assignments } from "../assign.ts";
import type { Db } from "../pool.ts";

export interface WebhookRow {
  id: string;
  url: string;
  enabled: boolean;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = ["id", "url", "enabled", "created_at", "updated_at"] as const;

/** Where a webhook's secret is sealed for. */
export const webhookSecretPlace = (organizationId: string, id: string): string =>
  sealPlace({ tenant: organizationId, table: "task_webhooks", row: id, column: "secret_sealed" });

/** @returns null when the organization has as many as it may */
export async function createWebhook(
  { sql }: Db,
  input: {
    id: string;
    organizationId: string;
    url: string;
    secretSealed: string;
    enabled: boolean;
    webhooksMax: number;
  },
): Promise<WebhookRow | null> {
  const rows = await sql<WebhookRow[]>`
    insert into task_webhooks (id, organization_id, url, secret_sealed, enabled)
    select ${input.id}, ${input.organizationId}, ${input.url}, ${input.secretSealed}, ${input.enabled}::boolean
     where (select count(*) from task_webhooks where organization_id = ${input.organizationId}) < ${input.webhooksMax}
    returning ${sql(COLUMNS)}`;
  return rows[0] ?? null;
}

/** Oldest first. */
export async function listWebhooks({ sql }: Db, organizationId: string): Promise<WebhookRow[]> {
  return await sql<WebhookRow[]>`
    select ${sql(COLUMNS)} from task_webhooks where organization_id = ${organizationId} order by created_at, id`;
}

export async function findWebhook(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<WebhookRow | null> {
  const rows = await sql<WebhookRow[]>`
    select ${sql(COLUMNS)} from task_webhooks where id = ${id} and organization_id = ${organizationId}`;
  return rows[0] ?? null;
}

/** Changes what is named; undefined stays. */
export async function updateWebhook(
  { sql }: Db,
  organizationId: string,
  id: string,
  changes: {
    url?: string | undefined;
    enabled?: boolean | undefined;
    secret_sealed?: string | undefined;
  },
): Promise<WebhookRow | null> {
  const set = assignments(sql, changes, {});
  const rows = await sql<WebhookRow[]>`
    update task_webhooks set ${set === null ? sql`updated_at = updated_at` : sql`${set}, updated_at = now()`}
     where id = ${id} and organization_id = ${organizationId}
    returning ${sql(COLUMNS)}`;
  return rows[0] ?? null;
}

/** With what was still to be delivered to it. */
export async function deleteWebhook({ sql }: Db, organizationId: string, id: string): Promise<boolean> {
  const rows = await sql`
    delete from task_webhooks where id = ${id} and organization_id = ${organizationId} returning id`;
  return rows.length > 0;
}

export interface Delivery {
  id: string;
  organization_id: string;
  webhook_id: string;
  url: string;
  secret_sealed: string;
  body: string;
  /** This one included. */
  attempts: number;
}

/** Deliveries that are due and that nobody else has in hand. They are the caller's for `leaseMs`. */
export async function claimDeliveries(
  { sql }: Db,
  input: { limit: number; leaseMs: number },
): Promise<Delivery[]> {
  return await sql<Delivery[]>`
    with due as (
      select d.id from webhook_deliveries d
       where d.next_attempt_at <= now()
       order by d.next_attempt_at
       limit ${input.limit}
         for update skip locked
    )
    update webhook_deliveries d
       set attempts = d.attempts + 1, next_attempt_at = now() + ${input.leaseMs} * interval '1 millisecond'
      from due, task_webhooks w
     where d.id = due.id and w.id = d.webhook_id
    returning d.id, d.organization_id, d.webhook_id, w.url, w.secret_sealed, d.body, d.attempts`;
}

export type Delivered =
  | { outcome: "delivered" }
  | { outcome: "failed"; error: string }
  | { outcome: "again"; error: string; inMs: number };

/** What became of a try. Another one that has begun meanwhile decides itself. */
export async function settleDelivery(
  { sql }: Db,
  { id, attempts }: Pick<Delivery, "id" | "attempts">,
  result: Delivered,
): Promise<void> {
  const error = result.outcome === "delivered" ? null : result.error;
  const inMs = result.outcome === "again" ? result.inMs : null;
  const outcome = result.outcome === "again" ? null : result.outcome;
  await sql`
    update webhook_deliveries
       set next_attempt_at = now() + ${inMs}::float8 * interval '1 millisecond', outcome = ${outcome},
           last_error = ${error}, done_at = case when ${outcome}::text is not null then now() end
     where id = ${id} and attempts = ${attempts} and outcome is null`;
}

/** The receiver wants nothing more. */
export async function disableWebhook({ sql }: Db, id: string): Promise<void> {
  await sql`update task_webhooks set enabled = false, updated_at = now() where id = ${id}`;
}

/** @returns how many rows went */
export async function pruneDeliveries({ sql }: Db, keepDays: number): Promise<number> {
  const rows = await sql`
    delete from webhook_deliveries
     where id in (select id from webhook_deliveries
                   where done_at < now() - ${keepDays} * interval '1 day' limit 1000)
    returning id`;
  return rows.length;
}
