/** Rows for tests that work on the database alone: a session, a message, the log. */
import { newId } from "../../src/base/id.ts";
import type { CapabilityConfig, ToolDefinition } from "../../src/contract/common.ts";
import type { Event } from "../../src/contract/event.ts";
import type { ContentPart, Delivery } from "../../src/contract/message.ts";
import { acceptMessage } from "../../src/db/accept.ts";
import { readEventsAfter, sessionHead } from "../../src/db/events.ts";
import { ownLog } from "../../src/db/lineage.ts";
import type { Db } from "../../src/db/pool.ts";

export const ORGANIZATION = "org_00000000000000000000000000000001";
const HARNESS = "harness_00000000000000000000000000000002";

export async function newSession(
  { sql }: Db,
  systemPrompt: string | null = null,
  layer: { tools?: readonly ToolDefinition[]; capabilities?: readonly CapabilityConfig[] } = {},
): Promise<string> {
  const id = newId("session");
  await sql`insert into sessions (id, organization_id, harness_id, workspace_id, owner_principal_id, system_prompt,
                                  tools, capabilities)
            values (${id}, ${ORGANIZATION}, ${HARNESS}, ${id.replace("session_", "wsp_")}, 'principal_0', ${systemPrompt},
                    ${JSON.stringify(layer.tools ?? [])}::text::jsonb,
                    ${JSON.stringify(layer.capabilities ?? [])}::text::jsonb)`;
  return id;
}

export async function send(
  db: Db,
  sessionId: string,
  text: string,
  options: {
    clientMessageId?: string;
    delivery?: Delivery | null;
    organizationId?: string;
    /** In the place of the text alone. */
    content?: ContentPart[];
  } = {},
) {
  return acceptMessage(db, {
    organizationId: options.organizationId ?? ORGANIZATION,
    sessionId,
    message: {
      id: newId("message"),
      role: "user",
      content: options.content ?? [{ type: "text", text }],
      created_at: new Date().toISOString(),
    },
    controls: null,
    metadata: null,
    tags: null,
    clientMessageId: options.clientMessageId ?? null,
    delivery: options.delivery === undefined ? "steer" : options.delivery,
    priority: 0,
    preview: text,
  });
}

/** The whole log, with what a fork inherited. */
export async function readLog(db: Db, sessionId: string): Promise<Event[]> {
  const head = await sessionHead(db, ORGANIZATION, sessionId);
  return readEventsAfter(db, head?.log ?? ownLog(sessionId), 0, 1_000_000);
}

/** The whole log, once it passes the condition; looks again until it does or the test's time is up. */
export async function logOnce(
  db: Db,
  sessionId: string,
  isReady: (events: readonly Event[]) => boolean,
): Promise<Event[]> {
  for (;;) {
    const events = await readLog(db, sessionId);
    if (isReady(events)) return events;
    await Bun.sleep(5);
  }
}

export const isIdle = (events: readonly Event[]) => events.at(-1)?.type === "session.idled";

/** How many turns have ended. */
export const turnsEnded = (events: readonly Event[]) =>
  events.filter((event) => /^turn\.(completed|failed|cancelled|sealed)$/.test(event.type)).length;
