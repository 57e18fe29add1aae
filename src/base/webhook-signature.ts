/** How a receiver knows that a webhook is from us: Standard Webhooks, and the header of older servers. */
import { createHmac, randomBytes } from "node:crypto";

const PREFIX = "whsec_";
const SECRET_BYTES = 32;

/** In the form that the libraries of Standard Webhooks take. */
export function newWebhookSecret(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString("base64");
}

/**
 * @param secret  `whsec_` and base64 of the key; any other text is the key itself
 * @param at      the time of this try
 */
export function webhookHeaders(
  secret: string,
  message: { id: string; body: string; at: Date },
): Record<string, string> {
  const seconds = Math.floor(message.at.getTime() / 1_000);
  const key = secret.startsWith(PREFIX) ? Buffer.from(secret.slice(PREFIX.length), "base64") : secret;
  const signed = `${message.id}.${seconds}.${message.body}`;
  return {
    "webhook-id": message.id,
    "webhook-timestamp": String(seconds),
    "webhook-signature": `v1,${createHmac("sha256", key).update(signed).digest("base64")}`,
    "x-everruns-signature": `sha256=${createHmac("sha256", secret).update(message.body).digest("hex")}`,
  };
}
