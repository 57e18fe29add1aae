/** Messages: accepted in one statement, listed as a view of the event log. Nothing here runs an agent. */
import type { Clock } from "../base/clock.ts";
import { UserError } from "../base/errors.ts";
import { newId } from "../base/id.ts";
import { preview } from "../base/json.ts";
import { limits } from "../contract/limits.ts";
import {
  CreateMessageRequest,
  CreateMessageResponse,
  ListedMessage,
  type Message,
  textOf,
} from "../contract/message.ts";
import { messageOfEvent } from "../contract/message-view.ts";
import { List, OneOf, Type } from "../contract/schema.ts";
import { acceptMessage } from "../db/accept.ts";
import { cancelTurn } from "../db/cancel.ts";
import { readMessages, sessionHead } from "../db/events.ts";
import type { Hints } from "../db/hints.ts";
import { ownLog } from "../db/lineage.ts";
import { modelExists } from "../db/model-exists.ts";
import type { Db } from "../db/pool.ts";
import type { Identify } from "./identify.ts";
import { messageInput } from "./message-input.ts";
import { pathId } from "./path-id.ts";
import { reply, whole } from "./respond.ts";
import { defineRoute, mountRoutes, type Route } from "./route.ts";

export interface MessagesDeps {
  db: Db;
  hints: Hints;
  clock: Clock;
  identify: Identify;
}

const MessageList = Type.Intersect([
  List(ListedMessage),
  Type.Object({ messages: Type.Array(ListedMessage) }),
]);
const CancelTurnResponse = Type.Object({ status: OneOf(["cancelled", "no_op"]), message: Type.String() });

export function messagesRoutes(deps: MessagesDeps) {
  return mountRoutes([createMessage(deps), listMessages(deps), cancelTurnRoute(deps)], deps);
}

function createMessage(deps: MessagesDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/sessions/{session_id}/messages",
    operationId: "create_message",
    tag: "messages",
    summary: "Send a message",
    description:
      "Starts a turn, or joins the running one at its next model call (`delivery: steer`, the default; " +
      "`reject` answers 409 instead). `client_message_id`, or an Idempotency-Key header, makes a repeated " +
      "request answer with the first result.",
    body: CreateMessageRequest,
    responses: { 201: CreateMessageResponse },
    problems: ["invalid_id", "limit_exceeded", "not_found", "session_busy"],
    async run({ params, body, request, caller: { organizationId } }) {
      const sessionId = pathId("session", params.session_id);
      const input = messageInput(body, request.headers.get("idempotency-key"));
      const modelId = input.controls?.model_id ?? null;
      if (modelId !== null && !(await modelExists(deps.db, organizationId, modelId))) {
        throw new UserError("invalid_request", `controls.model_id: there is no enabled model ${modelId}`);
      }
      const message: Message = {
        id: newId("message"),
        role: "user",
        content: input.content,
        created_at: deps.clock.now().toISOString(),
        ...(input.controls === null ? {} : { controls: input.controls }),
        ...(input.externalActor === null ? {} : { external_actor: input.externalActor }),
        ...(input.metadata === null ? {} : { metadata: input.metadata }),
      };
      const accepted = await acceptMessage(deps.db, {
        organizationId,
        sessionId,
        message,
        controls: input.controls,
        metadata: input.metadata,
        tags: input.tags,
        clientMessageId: input.clientMessageId,
        delivery: input.delivery,
        preview: preview(textOf(input.content), limits.previewChars),
      });
      if (accepted.outcome === "not_found") throw new UserError("not_found", "Session not found");
      if (accepted.outcome === "busy") {
        throw new UserError(
          "session_busy",
          `the session is working on ${accepted.turnId}; nothing was written`,
        );
      }
      if (accepted.outcome !== "duplicate") {
        deps.hints.publish({ sessions: [sessionId], isQueued: accepted.outcome !== "steered" });
      }
      const stored =
        accepted.outcome === "duplicate"
          ? await acceptedMessage(deps.db, sessionId, accepted.sequence)
          : message;
      return reply(201, {
        ...stored,
        session_id: sessionId,
        sequence: accepted.sequence,
        turn_id: accepted.turnId,
        delivery: accepted.outcome,
      });
    },
  });
}

function listMessages(deps: MessagesDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/sessions/{session_id}/messages",
    operationId: "list_messages",
    tag: "messages",
    summary: "The conversation, oldest first: user, agent and tool results",
    responses: { 200: MessageList },
    problems: ["invalid_id", "not_found"],
    async run({ params, caller: { organizationId } }) {
      const sessionId = pathId("session", params.session_id);
      const head = await sessionHead(deps.db, organizationId, sessionId);
      if (!head) throw new UserError("not_found", "Session not found");
      const messages = (await readMessages(deps.db, head.log)).flatMap((event) => {
        const message = messageOfEvent(event);
        return message === null ? [] : [{ ...message, session_id: sessionId, sequence: event.sequence }];
      });
      return reply(200, { ...whole(messages), messages });
    },
  });
}

function cancelTurnRoute(deps: MessagesDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/sessions/{session_id}/cancel",
    operationId: "cancel_turn",
    tag: "messages",
    summary: "Cancel the running turn",
    responses: { 200: CancelTurnResponse },
    problems: ["invalid_id", "not_found"],
    async run({ params, caller: { organizationId } }) {
      const sessionId = pathId("session", params.session_id);
      const cancelled = await cancelTurn(deps.db, {
        organizationId,
        sessionId,
        reason: "cancelled by the user",
        now: deps.clock.now(),
      });
      if (cancelled.outcome === "not_found") throw new UserError("not_found", "Session not found");
      if (cancelled.outcome === "no_op") {
        return reply(200, { status: "no_op" as const, message: "No turn is running in this session." });
      }
      deps.hints.publish({ sessions: [sessionId], cancelled: [cancelled.turnId] });
      return reply(200, { status: "cancelled" as const, message: `Turn ${cancelled.turnId} was cancelled.` });
    },
  });
}

async function acceptedMessage(db: Db, sessionId: string, sequence: number): Promise<Message> {
  const [event] = await readMessages(db, ownLog(sessionId), sequence);
  if (event?.type !== "input.message") throw new Error(`no input.message at ${sessionId} ${sequence}`);
  return event.data.message;
}
