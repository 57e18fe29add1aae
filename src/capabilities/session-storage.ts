/**
 * `session_storage`: what the agent puts aside under a name, for later turns of the same session.
 *
 * Secrets come from people (`PUT /v1/sessions/{id}/storage/secrets`) and are for use, not for reading. What a tool
 * answers becomes an event, part of every later request to the model, and stays in the log: so `secret_store` says
 * which secrets there are and never what they are, unless whoever wrote the agent asked for it with
 * `reveal_secrets`. Then `get` answers with the value, and the value stands in the session's log from then on.
 */
import { z } from "zod";
import { limits } from "../contract/limits.ts";
import { defineCapability } from "./capability.ts";
import { defineTool, type Tool, ToolError } from "./tool.ts";

const LISTED_MAX = 200;

const kvStore = defineTool({
  name: "kv_store",
  displayName: "Key-value store",
  description:
    "Keeps values under keys for later turns of this session. get and delete take key, set takes key and value, list " +
    "shows the keys (with prefix: those that begin so). A value is text; write objects as JSON.",
  effect: "idempotent",
  hints: { idempotent: true },
  input: z.object({
    action: z.enum(["get", "set", "delete", "list"]),
    key: z.string().min(1).max(limits.sessionKeyCharsMax).optional(),
    value: z.string().optional(),
    prefix: z.string().optional().describe("For list"),
  }),
  async run({ action, key, value, prefix }, { storage }) {
    if (action === "list") {
      const found = (await storage.values()).filter((entry) => entry.key.startsWith(prefix ?? ""));
      const shown = found.slice(0, LISTED_MAX);
      return {
        keys: shown.map((entry) => ({
          key: entry.key,
          size_bytes: Buffer.byteLength(entry.value),
          updated_at: entry.updatedAt,
        })),
        ...(found.length > shown.length ? { more: found.length - shown.length } : {}),
      };
    }
    const name = required(key, `${action} needs a key`);
    if (action === "get") {
      const found = await storage.value(name);
      return found
        ? { key: name, value: found.value, updated_at: found.updatedAt }
        : { key: name, found: false };
    }
    if (action === "delete") await storage.deleteValue(name);
    else await storage.putValue(name, required(value, "set needs a value"));
    // The same for a call that is repeated because its worker was lost.
    return { key: name, [action === "set" ? "stored" : "deleted"]: true };
  },
});

function secretStore(isRevealed: boolean): Tool {
  return defineTool({
    name: "secret_store",
    displayName: "Secrets",
    description: `Secrets of this session: passwords, keys, tokens. list shows their names, ${
      isRevealed
        ? "get shows a value (it stays in the conversation, so ask for it only when you need it)"
        : "get says whether there is one of that name (values are never shown to you)"
    }, set keeps one, delete takes one away. What you write as value stands in the conversation; ask the user to set secrets that you do not know yet.`,
    effect: "idempotent",
    hints: { idempotent: true },
    input: z.object({
      action: z.enum(["get", "set", "delete", "list"]),
      name: z.string().min(1).optional().describe("Letters, digits and _ . -, beginning with a letter or _"),
      value: z.string().optional().describe("For set"),
    }),
    async run({ action, name, value }, { storage }) {
      if (action === "list") {
        const secrets = await storage.secrets();
        return { secrets: secrets.map((secret) => ({ name: secret.name, updated_at: secret.updatedAt })) };
      }
      const wanted = required(name, `${action} needs a name`);
      if (action === "set") {
        await storage.putSecrets({ [wanted]: required(value, "set needs a value") });
        return { name: wanted, stored: true };
      }
      if (action === "delete") {
        await storage.deleteSecret(wanted);
        return { name: wanted, deleted: true };
      }
      if (isRevealed) {
        const secret = await storage.openSecret(wanted);
        return secret === null ? { name: wanted, found: false } : { name: wanted, value: secret };
      }
      const found = (await storage.secrets()).find((secret) => secret.name === wanted);
      return found
        ? { name: wanted, found: true, updated_at: found.updatedAt, note: "The value is not shown." }
        : { name: wanted, found: false };
    },
  });
}

function required(text: string | undefined, complaint: string): string {
  if (text !== undefined && text !== "") return text;
  throw new ToolError(`${complaint}.`);
}

const [HIDDEN, REVEALED] = [secretStore(false), secretStore(true)];

export const sessionStorage = defineCapability({
  id: "session_storage",
  name: "Session storage",
  description:
    "Keeps values and secrets under names, for this session. The agent sees the names of secrets, not their values.",
  category: "State",
  icon: "database",
  features: ["key_value", "secrets"],
  config: z.strictObject({
    reveal_secrets: z
      .boolean()
      .default(false)
      .describe("Lets the agent read the values of secrets; what it reads stays in the session's log"),
  }),
  tools: ({ reveal_secrets: isRevealed }) => [kvStore, isRevealed ? REVEALED : HIDDEN],
});
