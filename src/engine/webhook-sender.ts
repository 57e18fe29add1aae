/**
 * Empties the outbox of webhooks. Every worker looks; a delivery that one has in hand the others pass over until its
 * time is up, so that one whose sender died is sent again: at least once, under one `webhook-id`.
 */
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { webhookHeaders } from "../base/webhook-signature.ts";
import type { PostWebhook } from "../capabilities/webhook-post.ts";
import type { Db } from "../db/pool.ts";
import {
  claimDeliveries,
  type Delivered,
  type Delivery,
  disableWebhook,
  pruneDeliveries,
  settleDelivery,
  webhookSecretPlace,
} from "../db/tasks/webhooks.ts";

const LOOK_MS = 1_000;
const DELIVERIES_PER_LOOK = 10;
/** Longer than a request may take. */
const LEASE_MS = 60_000;
const PRUNE_MS = 3_600_000;
const KEEP_DAYS = 7;
const GONE = 410;

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** Waits between the tries: about two days in all. */
export const RETRY_AFTER_MS = [
  ...[5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE],
  ...[HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR],
] as const;

export interface WebhookSending {
  post: PostWebhook;
  /** Opens a secret that was sealed for a place. */
  open(sealed: string, place: string): string;
}

export function createWebhookSender(
  deps: { db: Db; clock: Clock; log: Log; random?: () => number } & WebhookSending,
) {
  const { db, clock, log } = deps;
  let prunedAtMs = Number.NEGATIVE_INFINITY;

  const deliver = async (delivery: Delivery, signal: AbortSignal) => {
    const { id, body, organization_id, webhook_id } = delivery;
    const secret = deps.open(delivery.secret_sealed, webhookSecretPlace(organization_id, webhook_id));
    const headers = webhookHeaders(secret, { id, body, at: clock.now() });
    const answer = await deps.post({ url: delivery.url, body, headers }, signal);
    const result = resultOf(answer, delivery.attempts, deps.random ?? Math.random);
    // Before the delivery is settled: whoever is killed between leaves one that is tried, and answered, once more.
    if ("status" in answer && answer.status === GONE) await disableWebhook(db, webhook_id);
    await settleDelivery(db, delivery, result);
    if (result.outcome === "failed") log.warn("a webhook was given up", { webhook_id, why: result.error });
  };

  const attempt = (delivery: Delivery, signal: AbortSignal) =>
    deliver(delivery, signal).catch((error: unknown) => {
      // Its lease runs out, and it is tried again.
      if (!signal.aborted) {
        const { webhook_id } = delivery;
        log.warn("a webhook could not be sent", { webhook_id, cause: describeError(error) });
      }
    });

  /** @returns whether there may be more that is due */
  const look = async (signal: AbortSignal): Promise<boolean> => {
    const deliveries = await claimDeliveries(db, { limit: DELIVERIES_PER_LOOK, leaseMs: LEASE_MS });
    await Promise.all(deliveries.map((delivery) => attempt(delivery, signal)));
    if (clock.monotonicMs() - prunedAtMs > PRUNE_MS) {
      prunedAtMs = clock.monotonicMs();
      await pruneDeliveries(db, KEEP_DAYS);
    }
    return deliveries.length === DELIVERIES_PER_LOOK;
  };

  return {
    /** Looks until the signal fires. Contract: never rejects. */
    async run(signal: AbortSignal): Promise<void> {
      let isMore = false;
      while (!signal.aborted) {
        if (!isMore) await clock.sleep(LOOK_MS, signal);
        if (signal.aborted) return;
        isMore = await look(signal).catch((error: unknown) => {
          log.debug("webhooks could not be looked for", { cause: describeError(error) });
          return false;
        });
      }
    },
  };
}

/**
 * PURE: what becomes of a delivery after a try. Any 2xx is taken for received.
 *
 * @param attempts  this one included
 */
export function resultOf(
  answer: { status: number } | { error: string },
  attempts: number,
  random: () => number,
): Delivered {
  if ("status" in answer && answer.status >= 200 && answer.status < 300) return { outcome: "delivered" };
  const error = "status" in answer ? `it answered ${answer.status}` : answer.error;
  const waitMs = RETRY_AFTER_MS[attempts - 1];
  if (waitMs === undefined || ("status" in answer && answer.status === GONE))
    return { outcome: "failed", error };
  // Receivers that fell over together must not be woken together.
  return { outcome: "again", error, inMs: Math.round(waitMs * (0.8 + 0.4 * random())) };
}
