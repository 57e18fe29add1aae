/** The queue of a session: messages that wait for their turn can be seen, changed and taken back until it begins. */
import { UserError } from "../../base/errors.ts";
import { preview } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";
import { QueuedMessage, textOf, UpdateQueuedMessageRequest } from "../../contract/message.ts";
import { List } from "../../contract/schema.ts";
import { sessionHead } from "../../db/events.ts";
import { editQueued, listQueue, type QueuedRow, type QueueRefusal, withdrawQueued } from "../../db/queue.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { checkedContent, withImageNames } from "./message-input.ts";

export function queueRoutes({ db, hints }: Pick<ApiDeps, "db" | "hints">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/queue",
      sessionRight: "read",
      operationId: "list_queued_messages",
      tag: "messages",
      summary: "The messages that wait for their turn, next first",
      responses: { 200: List(QueuedMessage) },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const sessionId = pathId("session", params.session_id);
        if (!(await sessionHead(db, organizationId, sessionId))) {
          throw new UserError("not_found", "Session not found");
        }
        return reply(200, whole((await listQueue(db, { organizationId, sessionId })).map(toWire)));
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/sessions/{session_id}/queue/{message_id}",
      sessionRight: "write",
      operationId: "update_queued_message",
      tag: "messages",
      summary: "Change the content of a queued message",
      body: UpdateQueuedMessageRequest,
      responses: { 200: QueuedMessage },
      problems: ["invalid_id", "limit_exceeded", "not_found", "message_promoted"],
      async run({ params, body, caller: { organizationId } }) {
        const ref = {
          organizationId,
          sessionId: pathId("session", params.session_id),
          messageId: pathId("message", params.message_id),
        };
        const checked = checkedContent(body.content, "content");
        const content = await withImageNames(db, organizationId, checked, "content");
        const edited = await editQueued(db, ref, {
          content,
          preview: preview(textOf(content), limits.previewChars),
        });
        if (typeof edited === "string") throw refusal(edited);
        hints.publish({ sessions: [ref.sessionId] });
        return reply(200, toWire(edited));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/sessions/{session_id}/queue/{message_id}",
      sessionRight: "write",
      operationId: "withdraw_queued_message",
      tag: "messages",
      summary: "Take a queued message back",
      responses: { 204: null },
      problems: ["invalid_id", "not_found", "message_promoted"],
      async run({ params, caller: { organizationId } }) {
        const ref = {
          organizationId,
          sessionId: pathId("session", params.session_id),
          messageId: pathId("message", params.message_id),
        };
        const outcome = await withdrawQueued(db, ref);
        if (outcome !== "withdrawn") throw refusal(outcome);
        hints.publish({ sessions: [ref.sessionId] });
        return reply(204, null);
      },
    }),
  ];
}

function refusal(outcome: QueueRefusal): UserError {
  return outcome === "promoted"
    ? new UserError(
        "message_promoted",
        "the turn of this message has begun; it can be cancelled, not changed",
      )
    : new UserError("not_found", "There is no such message in this session's queue.");
}

function toWire(row: QueuedRow): QueuedMessage {
  return {
    ...row.message,
    session_id: row.session_id,
    turn_id: row.turn_id,
    queue_position: row.place,
    priority: row.priority,
  };
}
