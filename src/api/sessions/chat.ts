/** The one session in which a caller talks with the platform itself. */
import { UserError } from "../../base/errors.ts";
import { GetOrCreateChatSessionRequest, SessionWithUrls } from "../../contract/session.ts";
import { readHarness } from "../../db/agents/harnesses.ts";
import { findChatSession, keepChatSession } from "../../db/chat-sessions.ts";
import { deleteSession, findSession, updateSession } from "../../db/session-rows.ts";
import type { ApiDeps } from "../deps.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { readLocale, startSession } from "./session-start.ts";
import { sessionToWire } from "./sessions.ts";

const CHAT_HARNESS = "platform-chat";
/** Two requests at once make two sessions, of which one stays; the other asks again. */
const ATTEMPTS = 3;

export function chatRoutes(deps: Pick<ApiDeps, "db" | "capabilities" | "caps">): Route[] {
  const { db } = deps;
  return [
    defineRoute({
      method: "POST",
      path: "/sessions/chat",
      operationId: "get_or_create_chat_session",
      tag: "sessions",
      summary: "The caller's own chat with the platform",
      description:
        "Every caller has one, with the harness `platform-chat`; it is made when it is first asked for, and again after " +
        "it was deleted. A `locale` is kept.",
      body: GetOrCreateChatSessionRequest,
      isBodyOptional: true,
      responses: { 200: SessionWithUrls },
      problems: ["not_found", "conflict"],
      async run({ body, caller }) {
        const { organizationId, principalId } = caller;
        const locale = readLocale(body?.locale ?? null);
        for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
          const id = await findChatSession(db, { organizationId, principalId });
          const row =
            id === null
              ? null
              : locale === null
                ? await findSession(db, organizationId, id)
                : ((await updateSession(db, { organizationId, id, changes: { locale } }))?.session ?? null);
          if (row) return reply(200, await sessionToWire(deps, row));
          const harness = await readHarness(db, organizationId, CHAT_HARNESS);
          const session = await startSession(deps, caller, {
            ...(harness ? { harness_name: CHAT_HARNESS } : {}),
            locale,
            title: "Chat",
          });
          if (await keepChatSession(db, { organizationId, principalId, sessionId: session.id })) {
            return reply(200, await sessionToWire(deps, session));
          }
          await deleteSession(db, organizationId, session.id);
        }
        throw new UserError("session_busy", "the chat is being made and deleted at once; try again");
      },
    }),
  ];
}
