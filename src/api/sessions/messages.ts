/** Messages: accepted in one statement, listed as a view of the event log. Nothing here runs an agent. */
import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { preview } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";
import {
  AnsweredTurn,
  CreateMessageRequest,
  CreateMessageResponse,
  ListedMessage,
  type Message,
  textOf,
} from "../../contract/message.ts";
import { messageOfEvent, withResultValues } from "../../contract/message-view.ts";
import { Run } from "../../contract/run.ts";
import { List, OneOf, Type } from "../../contract/schema.ts";
import { type Accepted, acceptMessage } from "../../db/accept.ts";
import { cancelTurn } from "../../db/cancel.ts";
import { readEventsAfter, readMessages, sessionHead } from "../../db/events.ts";
import type { Hints } from "../../db/hints.ts";
import { ownLog } from "../../db/lineage.ts";
import type { Db } from "../../db/pool.ts";
import { modelExists } from "../../db/providers/model-exists.ts";
import { promoteNext } from "../../db/queue.ts";
import type { ApiDeps } from "../deps.ts";
import { typeSelection } from "../events/event-query.ts";
import { requireReader } from "../events/reader.ts";
import { createStreamEncoder } from "../events/sse.ts";
import { credentialCheck } from "../http/credential-check.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { messageInput, withImageNames } from "./message-input.ts";
import { addressedAgent } from "./participants.ts";
import { answerAtEnd, streamTurn } from "./turn-answer.ts";

type Deps = Pick<ApiDeps, "db" | "caps" | "hints" | "clock" | "feed" | "streams" | "shutdown" | "identify">;

const MessageList = Type.Intersect([
  List(ListedMessage),
  Type.Object({ messages: Type.Array(ListedMessage) }),
]);
const CancelTurnResponse = Type.Object({ status: OneOf(["cancelled", "no_op"]), message: Type.String() });

export function messagesRoutes(deps: Deps): Route[] {
  return [createMessage(deps), listMessages(deps), cancelTurnRoute(deps)];
}

const SendQuery = Type.Object({
  wait: Type.Optional(Type.Boolean({ description: "Answer when the turn ends." })),
  timeout_seconds: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.turnWaitSecondsMax,
      default: limits.turnWaitSecondsDefault,
      description: "With `wait`: answer 202 with the run when the turn takes longer.",
    }),
  ),
});

function createMessage(deps: Deps): Route {
  const encode = createStreamEncoder();
  return defineRoute({
    method: "POST",
    path: "/sessions/{session_id}/messages",
    sessionRight: "write",
    operationId: "create_message",
    tag: "messages",
    summary: "Send a message",
    description:
      "Starts a turn. On a busy session `delivery` decides: `steer` (the default) joins the running turn at its next " +
      "model call, `queue` waits for a turn of its own, `interrupt` cancels the running turn and starts, `reject` " +
      "answers 409. Left out, the session's `default_delivery` counts, then its agent's. `client_message_id`, or an " +
      "Idempotency-Key header, makes a repeated request answer with the first result. `addressed_participant_id` names " +
      "the agent that answers in the turn that the message begins; one that joins a running turn does not change it.\n\n" +
      "`wait=true` answers 200 with the run and its final message when the turn ends, and 202 with the run when " +
      "`timeout_seconds` are over or when it waits for someone: a client tool, an approval, a budget. " +
      "`Accept: text/event-stream` answers with the turn's events from the message's `input.message` to the " +
      "`session.idled` after the turn's end (of a turn that another message interrupted: to the last of its own) and closes. " +
      "The turn is the one that the message starts, joins or is queued for; that of the first result when it was sent " +
      "before. A message withdrawn from the queue ends the stream, and the wait with 409. A client that goes away " +
      "cancels nothing; sent again with its `client_message_id` the request looks on from the message's place.",
    query: SendQuery,
    body: CreateMessageRequest,
    responses: { 200: AnsweredTurn, 201: CreateMessageResponse, 202: Run },
    otherContentTypes: { 200: ["text/event-stream"] },
    problems: [
      "invalid_id",
      "limit_exceeded",
      "not_found",
      "session_busy",
      "queue_full",
      "conflict",
      "unknown_event_type",
      "rate_limited",
    ],
    async run({ params, query, body, request, caller }) {
      const { organizationId } = caller;
      const sessionId = pathId("session", params.session_id);
      const isStream = (request.headers.get("accept") ?? "").includes("text/event-stream");
      if (!isStream && query.wait !== true) {
        const { accepted, message } = await send(deps, caller, sessionId, body, request);
        return reply(201, {
          ...message,
          session_id: sessionId,
          sequence: accepted.sequence,
          turn_id: accepted.turnId,
          delivery: accepted.outcome,
          ...(accepted.outcome === "queued" ? { queue_position: accepted.position } : {}),
        });
      }
      const search = new URL(request.url).searchParams;
      // Who may only write is not shown what the agent says.
      requireReader(caller, { session_id: sessionId });
      const mayGoOn = credentialCheck(deps.identify, request, caller, (one) =>
        requireReader(one, { session_id: sessionId }),
      );
      // Whatever can be refused is refused before the message is written.
      typeSelection(search);
      const release = deps.streams.take(organizationId, sessionId);
      try {
        const { accepted } = await send(deps, caller, sessionId, body, request);
        const turn = {
          organizationId,
          sessionId,
          turnId: accepted.turnId,
          sequence: accepted.sequence,
          isNew: accepted.outcome === "started" || accepted.outcome === "queued",
        };
        if (isStream) return streamTurn(deps, turn, { query: search, encode, mayGoOn, onClose: release });
        const timeoutMs = (query.timeout_seconds ?? limits.turnWaitSecondsDefault) * 1_000;
        const answer = await answerAtEnd(deps, turn, { timeoutMs, signal: request.signal });
        release();
        if (mayGoOn !== null && !(await mayGoOn())) {
          throw new UserError("unauthorized", "the credential has ended while the turn was waited for");
        }
        return answer;
      } catch (error) {
        release();
        throw error;
      }
    },
  });
}

/** Accepts a message and tells who must know. @throws UserError */
async function send(
  deps: Deps,
  { organizationId }: Caller,
  sessionId: string,
  body: CreateMessageRequest,
  request: Request,
): Promise<{ accepted: Extract<Accepted, { sequence: number }>; message: Message }> {
  const input = messageInput(body, request.headers.get("idempotency-key"));
  const modelId = input.controls?.model_id ?? null;
  if (modelId !== null && !(await modelExists(deps.db, organizationId, modelId))) {
    throw new UserError("invalid_request", `controls.model_id: there is no enabled model ${modelId}`);
  }
  const agentId = await addressedAgent(deps.db, {
    organizationId,
    sessionId,
    participantId: body.addressed_participant_id ?? null,
  });
  const message: Message = {
    id: newId("message"),
    role: "user",
    content: await withImageNames(deps.db, organizationId, input.content, "message.content"),
    created_at: deps.clock.now().toISOString(),
    ...(input.controls === null ? {} : { controls: input.controls }),
    ...(input.externalActor === null ? {} : { external_actor: input.externalActor }),
    ...(input.metadata === null ? {} : { metadata: input.metadata }),
  };
  await deps.caps.admitMessage(organizationId, { sessionId, clientMessageId: input.clientMessageId });
  const accepted = await acceptMessage(deps.db, {
    organizationId,
    sessionId,
    message,
    controls: input.controls,
    metadata: input.metadata,
    tags: input.tags,
    clientMessageId: input.clientMessageId,
    delivery: input.delivery,
    priority: input.priority,
    agentId,
    preview: preview(textOf(input.content), limits.previewChars),
  });
  if (accepted.outcome === "not_found") throw new UserError("not_found", "Session not found");
  if (accepted.outcome === "busy") {
    throw new UserError("session_busy", `the session is working on ${accepted.turnId}; nothing was written`);
  }
  if (accepted.outcome === "queue_full") {
    throw new UserError(
      "queue_full",
      `${limits.queuedMessagesMax} messages wait in this session already; withdraw one, or wait`,
    );
  }
  publishAccepted(deps.hints, sessionId, accepted);
  if (accepted.outcome !== "duplicate") return { accepted, message };
  return { accepted, message: await acceptedMessage(deps.db, sessionId, accepted.sequence) };
}

function listMessages(deps: Deps): Route {
  return defineRoute({
    method: "GET",
    path: "/sessions/{session_id}/messages",
    sessionRight: "read",
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
        return message === null
          ? []
          : [{ ...withResultValues(message), session_id: sessionId, sequence: event.sequence }];
      });
      return reply(200, { ...whole(messages), messages });
    },
  });
}

function cancelTurnRoute(deps: Deps): Route {
  return defineRoute({
    method: "POST",
    path: "/sessions/{session_id}/cancel",
    sessionRight: "write",
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
      await afterCancel(deps, sessionId, cancelled);
      return reply(200, { status: "cancelled" as const, message: `Turn ${cancelled.turnId} was cancelled.` });
    },
  });
}

/** Tells the worker to stop, and begins the turn of the next queued message, if one waits. */
export async function afterCancel(
  { db, hints }: Pick<ApiDeps, "db" | "hints">,
  sessionId: string,
  cancelled: { turnId: string; queueLength: number },
): Promise<void> {
  hints.publish({ sessions: [sessionId], cancelled: [cancelled.turnId] });
  if (cancelled.queueLength === 0) return;
  // What fails here is left to the workers' sweep: the turn is cancelled, and the answer says so.
  const promoted = await promoteNext(db.sql, [sessionId]).catch(() => []);
  if (promoted.length > 0) hints.publish({ sessions: [sessionId], isQueued: true });
}

/** Tells who must know what became of a message. */
export function publishAccepted(hints: Hints, sessionId: string, accepted: Accepted): void {
  switch (accepted.outcome) {
    case "started": {
      const cancelled = accepted.interruptedTurnId === undefined ? [] : [accepted.interruptedTurnId];
      const logs = accepted.log ? { logs: new Map([[sessionId, accepted.log]]) } : {};
      return hints.publish({ sessions: [sessionId], isQueued: true, cancelled, ...logs });
    }
    case "resumed":
      return hints.publish({ sessions: [sessionId], isQueued: true });
    case "steered":
      return hints.publish({ sessions: [sessionId] });
    case "queued":
      return hints.publish({ sessions: [sessionId], isQueued: accepted.isPromoted });
  }
}

/** The event that the message was accepted with: it is the first result, whatever became of the message since. */
async function acceptedMessage(db: Db, sessionId: string, sequence: number): Promise<Message> {
  const [event] = await readEventsAfter(db, ownLog(sessionId), sequence - 1, 1);
  if (event?.type !== "input.message" && event?.type !== "input.queued") {
    throw new Error(`no message at ${sessionId} ${sequence}`);
  }
  return event.data.message;
}
