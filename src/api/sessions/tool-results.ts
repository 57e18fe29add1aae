/**
 * What clients send to a session that waits for them: results of client-side tools, and decisions about calls in the
 * shape of the wire contract.
 *
 * The ids are matched against what the turn waits for, then one statement settles them all and sends the run on its
 * way. When something else came between the two looks (a time-out, a message, another client), we look again.
 */
import { UserError } from "../../base/errors.ts";
import { resultText } from "../../capabilities/invoke.ts";
import {
  type ClientToolResult,
  SubmitToolResultsRequest,
  SubmitToolResultsResponse,
  ToolApprovalsRequest,
  ToolApprovalsResponse,
} from "../../contract/approval.ts";
import { limits } from "../../contract/limits.ts";
import { type Settlement, settledWith, settleWaits, type TurnWaits, waitsOfTurn } from "../../db/waits.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { decided } from "./approvals.ts";

/** The strict clients know no status "paused": a session that waits for its budget is idle to them. */
const shownStatus = (status: TurnWaits["status"]) => (status === "paused" ? "idle" : status);

export function toolResultRoutes(deps: Pick<ApiDeps, "db" | "hints">): Route[] {
  return [
    defineRoute({
      method: "POST",
      path: "/sessions/{session_id}/tool-results",
      sessionRight: "write",
      operationId: "submit_tool_results",
      tag: "messages",
      summary: "Send results of client-side tools",
      description:
        "The turn goes on when every pending call has its result; until then the session stays " +
        "`waitingfortoolresults`. A result that was sent before is ignored.",
      body: SubmitToolResultsRequest,
      responses: { 200: SubmitToolResultsResponse },
      problems: ["invalid_id", "limit_exceeded", "not_found", "not_waiting"],
      async run({ params, body, caller: { organizationId } }) {
        const results = new Map(body.tool_results.map((result) => [result.tool_call_id, result]));
        if (results.size < body.tool_results.length) {
          throw new UserError("invalid_request", "tool_results: a call has two results");
        }
        const { settled, status } = await answer(deps, {
          organizationId,
          sessionId: pathId("session", params.session_id),
          kind: "client_tool",
          toolCallIds: [...results.keys()],
          what: "tool results",
          settlementsOf: ({ waits }) =>
            waits.flatMap((wait) => {
              const result = results.get(wait.toolCallId);
              return result && wait.isPending ? [settledWith(wait, "settled", resultOf(result))] : [];
            }),
        });
        return reply(200, { accepted: settled.length, status });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/sessions/{session_id}/tool-approvals",
      sessionRight: "approve",
      operationId: "submit_tool_approvals",
      tag: "approvals",
      summary: "Decide about the tool calls that a session waits with",
      description:
        "Calls by their own id or by that of the `approve_tool_call`. A call that is left out is rejected.",
      body: ToolApprovalsRequest,
      responses: { 200: ToolApprovalsResponse },
      problems: ["invalid_id", "limit_exceeded", "not_found", "not_waiting"],
      async run({ params, body, caller }) {
        const decisions = new Map(
          body.decisions.map(({ tool_call_id, decision }) => [
            tool_call_id.replace(/^tool_approval_/, ""),
            decision,
          ]),
        );
        if (decisions.size < body.decisions.length) {
          throw new UserError("invalid_request", "decisions: there are two about one call");
        }
        const { settled, status } = await answer(deps, {
          organizationId: caller.organizationId,
          sessionId: pathId("session", params.session_id),
          kind: "approval",
          toolCallIds: [...decisions.keys()],
          what: "tool approvals",
          settlementsOf: ({ waits }) =>
            waits
              .filter((wait) => wait.isPending)
              .map((wait) =>
                decided(wait, {
                  decision: decisions.get(wait.toolCallId) ?? "reject",
                  decidedBy: caller.principalId,
                  editedArguments: null,
                  comment: null,
                }),
              ),
        });
        return reply(200, {
          resolved: settled.map(({ toolCallId, toolName }) => ({
            tool_call_id: toolCallId,
            tool: toolName,
            outcome: (decisions.get(toolCallId) ?? "reject").startsWith("allow")
              ? ("allowed" as const)
              : ("rejected" as const),
          })),
          status,
        });
      },
    }),
  ];
}

function resultOf({ result, error }: ClientToolResult) {
  const shorten = (value: unknown) => resultText(value, { outputBytesMax: limits.toolResultBytesMax });
  if (error !== undefined && error !== null) {
    return { ok: false, status: "error", error: shorten(error) } as const;
  }
  return { ok: true, text: result === undefined ? "" : shorten(result) } as const;
}

/** Others may come first once or twice, not for ever: each time fewer calls are left to answer. */
const LOOKS_MAX = 10;

async function answer(
  { db, hints }: Pick<ApiDeps, "db" | "hints">,
  input: {
    organizationId: string;
    sessionId: string;
    kind: "client_tool" | "approval";
    /** Every one must be a call of the current turn that waits, or waited. */
    toolCallIds: readonly string[];
    what: string;
    settlementsOf(turn: TurnWaits): Settlement[];
  },
) {
  for (let look = 1; look <= LOOKS_MAX; look += 1) {
    const turn = await waitsOfTurn(db, input);
    if (!turn) throw new UserError("not_found", "Session not found");
    const pending = turn.waits.filter((wait) => wait.isPending);
    const known = new Set(turn.waits.map((wait) => wait.toolCallId));
    const unknown = input.toolCallIds.filter((id) => !known.has(id));
    if (pending.length === 0 && unknown.length > 0 && turn.status === "waitingfortoolresults") {
      const route = input.kind === "approval" ? "tool-results" : "tool-approvals";
      throw new UserError(
        "invalid_request",
        `these calls are not pending: ${unknown.join(", ")}; what this session waits for is answered at /${route}`,
      );
    }
    if (pending.length === 0 && (unknown.length > 0 || known.size === 0)) {
      // The official clients try again when they read these very words.
      throw new UserError(
        "not_waiting",
        `Session is not waiting for ${input.what} (current status: ${shownStatus(turn.status)})`,
      );
    }
    if (unknown.length > 0) {
      throw new UserError(
        "invalid_request",
        `these calls are not pending: ${unknown.join(", ")}; pending: ${pending.map((wait) => wait.toolCallId).join(", ")}`,
        { fields: { pending_tool_call_ids: pending.map((wait) => wait.toolCallId) } },
      );
    }
    const settlements = input.settlementsOf(turn);
    if (settlements.length === 0) return { settled: [], status: shownStatus(turn.status) };
    const [run] = await settleWaits(db.sql, settlements);
    if (!run) continue;
    hints.publish({ sessions: [input.sessionId], isQueued: run.isResumed });
    const ids = new Set(run.toolCallIds);
    return {
      settled: turn.waits.filter((wait) => ids.has(wait.toolCallId)),
      status: shownStatus(run.sessionStatus),
    };
  }
  throw new Error(`${input.sessionId}: what it waits for changed ${LOOKS_MAX} times`);
}
