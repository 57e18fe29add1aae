/** Workflows and their dead letter queue, for operators: the runs of the organization, in the contract's words. */
import { UserError } from "../../base/errors.ts";
import { newId, uuidOf } from "../../base/id.ts";
import { preview, wellFormed } from "../../base/json.ts";
import {
  DlqListResponse,
  SendSignalRequest,
  WORKFLOW_STATUSES,
  WorkflowEventsListResponse,
  WorkflowResponse,
  WorkflowsListResponse,
} from "../../contract/durable.ts";
import { limits } from "../../contract/limits.ts";
import { OneOf, Type } from "../../contract/schema.ts";
import { acceptMessage } from "../../db/accept.ts";
import { listDeadRuns } from "../../db/durable/dead-runs.ts";
import { cancelRun, retryRun } from "../../db/operate.ts";
import { listRuns, type RunRow, readRun } from "../../db/run-lists.ts";
import type { ApiDeps } from "../deps.ts";
import { Raw } from "../http/media.ts";
import { PageQuery, page, reply, sliceOf } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { afterCancel } from "../sessions/messages.ts";
import { eventsOfRun } from "./_workflow-events.ts";
import {
  deadRunToWire,
  idOfUuid,
  STATES_OF_WORKFLOW,
  TURN,
  workflowEventToWire,
  workflowToWire,
} from "./_workflow-wire.ts";

const Done = Type.Object({});
const common = { tag: "durable", access: "admin" } as const;

export function workflowRoutes(deps: Pick<ApiDeps, "db" | "hints" | "clock" | "caps">): Route[] {
  const { db } = deps;

  const existing = async (organizationId: string, uuid: string): Promise<RunRow> => {
    const run = await readRun(db, organizationId, idOfUuid("turn", uuid));
    if (!run) throw noWorkflow();
    return run;
  };

  const cancel = async (organizationId: string, runId: string, reason: string) => {
    const cancelled = await cancelRun(db, { organizationId, runId, reason, now: deps.clock.now() });
    if (cancelled.outcome === "not_found" || cancelled.sessionId === undefined) throw noWorkflow();
    // As with a session: what has ended needs no cancelling.
    if (cancelled.outcome === "no_op") return;
    await afterCancel(deps, cancelled.sessionId, cancelled);
  };

  return [
    defineRoute({
      ...common,
      method: "GET",
      path: "/durable/workflows",
      operationId: "list_workflows",
      summary: "List workflows, newest first",
      description:
        "A workflow is a run of the organization: the durable execution of one turn, under the hex digits of its " +
        "turn id. A run that waits for somebody is `running`, a sealed one is `failed`. There is one `workflow_type`, `turn`.",
      query: Type.Object({
        status: Type.Optional(OneOf(WORKFLOW_STATUSES)),
        workflow_type: Type.Optional(Type.String()),
        ...PageQuery,
      }),
      responses: { 200: WorkflowsListResponse },
      async run({ query, caller: { organizationId }, request }) {
        if (query.workflow_type !== undefined && query.workflow_type !== TURN) {
          return reply(200, page(request, [], 0, sliceOf(query)));
        }
        const { rows, total } = await listRuns(db, {
          organizationId,
          filter: {
            statuses: query.status === undefined ? null : STATES_OF_WORKFLOW[query.status],
            agentId: null,
            sessionId: null,
            workerId: null,
            waitingOn: null,
          },
          ...sliceOf(query),
        });
        return reply(200, page(request, rows.map(workflowToWire), total, sliceOf(query)));
      },
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/durable/workflows/{workflow_id}",
      operationId: "get_workflow",
      summary: "Read a workflow",
      responses: { 200: WorkflowResponse },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        reply(200, workflowToWire(await existing(caller.organizationId, params.workflow_id))),
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/durable/workflows/{workflow_id}/events",
      operationId: "get_workflow_events",
      summary: "What a workflow has written into its session's log, oldest first",
      description: `The newest ${limits.eventsPageMax} events of the turn, token deltas left out; \`total\` counts all.`,
      responses: { 200: WorkflowEventsListResponse },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const run = await existing(caller.organizationId, params.workflow_id);
        const { events, total } = await eventsOfRun(db, run);
        const id = uuidOf(run.id);
        const data = events.map((event) => workflowEventToWire(id, event));
        return reply(200, { data, total, offset: 0, limit: limits.eventsPageMax });
      },
    }),
    defineRoute({
      ...common,
      method: "POST",
      path: "/durable/workflows/{workflow_id}/cancel",
      operationId: "cancel_workflow",
      summary: "Cancel a workflow",
      description: "One that has ended stays as it is.",
      responses: { 200: Done },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        await cancel(organizationId, idOfUuid("turn", params.workflow_id), "cancelled by an operator");
        return reply(200, {});
      },
    }),
    defineRoute({
      ...common,
      method: "POST",
      path: "/durable/workflows/{workflow_id}/signal",
      operationId: "send_signal",
      summary: "Send a signal to a workflow that has not ended",
      description:
        "A turn understands two signals. `message`, with the text as the payload or as its `text`: the turn reads it at " +
        "its next model call, and stops waiting for a timer, a client or an approval (if the turn ends at this very moment, " +
        "the message starts the next one). `cancel`: as the route of that name. Any other is refused.",
      body: SendSignalRequest,
      responses: { 200: Done },
      problems: ["invalid_id", "limit_exceeded", "not_found", "conflict"],
      async run({ params, body, caller: { organizationId } }) {
        const run = await existing(organizationId, params.workflow_id);
        if (body.signal_type === "cancel") {
          await cancel(organizationId, run.id, "cancelled by a signal");
          return reply(200, {});
        }
        if (body.signal_type !== "message") {
          throw new UserError("invalid_request", 'signal_type: a turn understands "message" and "cancel"');
        }
        const text = textOfPayload(body.payload);
        if (run.finished_at !== null) throw hasEnded(run.state);
        const accepted = await acceptMessage(db, {
          organizationId,
          sessionId: run.session_id,
          message: {
            id: newId("message"),
            role: "user",
            content: [{ type: "text", text }],
            created_at: deps.clock.now().toISOString(),
            metadata: { source: "signal" },
          },
          controls: null,
          metadata: null,
          tags: null,
          clientMessageId: null,
          delivery: "steer",
          priority: run.priority,
          preview: preview(text, limits.previewChars),
        });
        if (accepted.outcome === "not_found") throw noWorkflow();
        deps.hints.publish({ sessions: [run.session_id], isQueued: accepted.outcome !== "steered" });
        return reply(200, {});
      },
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/durable/dlq",
      operationId: "list_dlq",
      summary: "List the turns that ended without an answer and can be retried, the last first",
      description:
        "Failed and sealed runs where the conversation has not gone on since, among the newest 1,000 of the organization.",
      query: Type.Object({
        workflow_id: Type.Optional(Type.String()),
        activity_type: Type.Optional(Type.String()),
        ...PageQuery,
      }),
      responses: { 200: DlqListResponse },
      problems: ["invalid_id"],
      async run({ query, caller: { organizationId }, request }) {
        if (query.activity_type !== undefined && query.activity_type !== TURN) {
          return reply(200, page(request, [], 0, sliceOf(query)));
        }
        const runId = query.workflow_id === undefined ? null : idOfUuid("turn", query.workflow_id);
        const { rows, total } = await listDeadRuns(db, { organizationId, runId, ...sliceOf(query) });
        return reply(200, page(request, rows.map(deadRunToWire), total, sliceOf(query)));
      },
    }),
    defineRoute({
      ...common,
      method: "POST",
      path: "/durable/dlq/{dlq_id}/retry",
      operationId: "retry_dlq",
      summary: "Take a dead turn up again from its last checkpoint",
      description: "Answers with the id of the new task, which is a turn of its own, as text.",
      responses: { 200: Raw("text/plain; charset=utf-8") },
      problems: ["invalid_id", "not_found", "conflict", "session_busy"],
      async run({ params, caller: { organizationId } }) {
        await deps.caps.admitTurn(organizationId);
        const retried = await retryRun(db, { organizationId, runId: idOfUuid("turn", params.dlq_id) });
        switch (retried.outcome) {
          case "not_found":
            throw new UserError("not_found", "There is no such dead turn");
          case "not_retryable":
            throw new UserError("conflict", `the turn is not dead; it is ${retried.state}`);
          case "busy":
            throw new UserError("session_busy", `the session is working on ${retried.turnId}`);
          case "superseded":
            throw new UserError("conflict", `the conversation has gone on with ${retried.turnId}`);
        }
        deps.hints.publish({ sessions: [retried.sessionId], isQueued: true });
        return reply(200, uuidOf(retried.turnId));
      },
    }),
  ];
}

const noWorkflow = () => new UserError("not_found", "Workflow not found");
const hasEnded = (state: string) => new UserError("conflict", `the workflow has ended already: ${state}`);

/** @throws UserError invalid_request, limit_exceeded */
function textOfPayload(payload: unknown): string {
  const text =
    typeof payload === "string" ? payload : (payload as { text?: unknown } | null | undefined)?.text;
  if (typeof text !== "string" || text.trim() === "") {
    throw new UserError("invalid_request", 'payload: a text, or {"text": "…"}, is expected');
  }
  if (Buffer.byteLength(text) > limits.messageTextBytesMax) {
    throw new UserError("limit_exceeded", `payload: at most ${limits.messageTextBytesMax} bytes of text`);
  }
  return wellFormed(text);
}
