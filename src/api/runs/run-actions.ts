/** What operators do with runs: cancel, retry, settle a call whose outcome is unknown. */
import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { wellFormed } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";
import type { Message } from "../../contract/message.ts";
import { Run, SettleStepRequest } from "../../contract/run.ts";
import { OneOf, Type } from "../../contract/schema.ts";
import { cancelRun, retryRun, settleStep } from "../../db/operate.ts";
import { readRun } from "../../db/run-lists.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { afterCancel } from "../sessions/messages.ts";
import { runWithSteps } from "./runs.ts";

const CancelRunResponse = Type.Object({ status: OneOf(["cancelled"]), message: Type.String() });

export function runActionRoutes(deps: Pick<ApiDeps, "db" | "hints" | "clock" | "caps">): Route[] {
  const { db, hints, clock } = deps;

  const read = async (organizationId: string, turnId: string): Promise<Run> => {
    const run = await readRun(db, organizationId, turnId);
    if (!run) throw noRun();
    return runWithSteps(run);
  };

  return [
    defineRoute({
      method: "POST",
      path: "/runs/{turn_id}/cancel",
      operationId: "cancel_run",
      tag: "runs",
      summary: "Cancel a run that has not ended",
      responses: { 200: CancelRunResponse },
      problems: ["invalid_id", "not_found", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const runId = pathId("turn", params.turn_id);
        const reason = "cancelled by an operator";
        const cancelled = await cancelRun(db, { organizationId, runId, reason, now: clock.now() });
        if (cancelled.outcome === "not_found" || cancelled.sessionId === undefined) throw noRun();
        if (cancelled.outcome === "no_op") {
          throw new UserError("conflict", `the run has ended already: ${cancelled.state}`);
        }
        await afterCancel(deps, cancelled.sessionId, cancelled);
        return reply(200, { status: "cancelled" as const, message: `Turn ${runId} was cancelled.` });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/runs/{turn_id}/retry",
      operationId: "retry_run",
      tag: "runs",
      summary: "Take a failed or sealed run up again from its last checkpoint, as a turn of its own",
      responses: { 201: Run },
      problems: ["invalid_id", "not_found", "conflict", "session_busy"],
      async run({ params, caller: { organizationId } }) {
        const runId = pathId("turn", params.turn_id);
        await deps.caps.admitTurn(organizationId);
        const retried = await retryRun(db, { organizationId, runId });
        switch (retried.outcome) {
          case "not_found":
            throw noRun();
          case "not_retryable":
            throw new UserError(
              "conflict",
              `only a failed or sealed run can be retried; this one is ${retried.state}`,
            );
          case "busy":
            throw new UserError("session_busy", `the session is working on ${retried.turnId}`);
          case "superseded":
            throw new UserError(
              "conflict",
              `the conversation has gone on with ${retried.turnId}; retry that one, or send a message`,
            );
        }
        hints.publish({ sessions: [retried.sessionId], isQueued: true });
        return reply(201, await read(organizationId, retried.turnId));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/runs/{turn_id}/steps/{name}/settle",
      operationId: "settle_step",
      tag: "runs",
      summary: "Say what became of a call whose outcome is unknown",
      description:
        "For a step whose status is `unknown`: its worker was lost while it ran. `done` (with `result`) and `abort` " +
        "(with `error`) are told to the model with a message that it reads at its next call; neither starts a turn. " +
        "`retry` runs this one call again under its first idempotency key, as a turn of its own, whose model reads " +
        "the result in its place; the session must be at rest. Answers with the run that the step belongs to, or " +
        "with the new one.",
      body: SettleStepRequest,
      responses: { 200: Run },
      problems: ["invalid_id", "limit_exceeded", "not_found", "conflict", "session_busy"],
      async run({ params, body, caller: { organizationId, principalId } }) {
        const runId = pathId("turn", params.turn_id);
        const told = tellingOf(body);
        const settled = await settleStep(db, {
          organizationId,
          runId,
          step: wellFormed(params.name),
          decision: body.outcome,
          error: body.outcome === "abort" ? wellFormed(body.error ?? "Given up by an operator.") : null,
          settledBy: principalId,
          note: (toolName, callId): Message => ({
            id: newId("message"),
            role: "user",
            content: [
              {
                type: "text",
                text: `Note from the operator: the call ${toolName} (${callId}), whose outcome was not known, ${told}`,
              },
            ],
            created_at: clock.now().toISOString(),
            metadata: { source: "operator", settled_step: `tool:${callId}`, outcome: body.outcome },
          }),
        });
        switch (settled.outcome) {
          case "not_found":
            throw noRun();
          case "no_such_step":
            throw new UserError(
              "not_found",
              "The run has no such tool step; names look like tool:<tool_call_id>.",
            );
          case "not_unknown":
            throw new UserError(
              "conflict",
              `the outcome of this step is not unknown; it is ${settled.status}`,
            );
          case "busy":
            throw new UserError(
              "session_busy",
              `the session is working on ${settled.turnId}; cancel it, or wait`,
            );
        }
        hints.publish({ sessions: [settled.sessionId], isQueued: settled.turnId !== null });
        return reply(200, await read(organizationId, settled.turnId ?? runId));
      },
    }),
  ];
}

/** What the model is told. @throws UserError invalid_request, limit_exceeded */
function tellingOf({ outcome, result, error }: SettleStepRequest): string {
  if (outcome !== "done" && result !== undefined) {
    throw new UserError("invalid_request", `result: goes with outcome "done" only`);
  }
  if (outcome !== "abort" && error !== undefined && error !== null) {
    throw new UserError("invalid_request", `error: goes with outcome "abort" only`);
  }
  if (outcome === "retry") return "is run again. Its new result stands with the call.";
  const text =
    outcome === "abort"
      ? (error ?? "")
      : typeof result === "string"
        ? result
        : JSON.stringify(result ?? null);
  if (Buffer.byteLength(text) > limits.toolResultBytesMax) {
    throw new UserError("limit_exceeded", `at most ${limits.toolResultBytesMax} bytes of result or error`);
  }
  const said = wellFormed(text);
  if (outcome === "abort") return `is given up${said === "" ? "." : `: ${said}`}`;
  return `was carried out.${result === undefined ? "" : ` Its result: ${said}`}`;
}

const noRun = () => new UserError("not_found", "Run not found");
