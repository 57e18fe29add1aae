/** Approvals: tool calls that wait for a person, over all sessions, and the decision about each. */
import { UserError } from "../../base/errors.ts";
import {
  APPROVAL_STATUSES,
  Approval,
  type ApprovalDecision,
  DecideApprovalRequest,
} from "../../contract/approval.ts";
import { List, OneOf, Type } from "../../contract/schema.ts";
import { type ApprovalRow, findApproval, listApprovals } from "../../db/approvals.ts";
import { type Settlement, settledWith, settleWaits, type WaitRef } from "../../db/waits.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { iso, isoOrNull, PageQuery, page, present, reply, sliceOf } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

export function approvalRoutes({ db, hints }: Pick<ApiDeps, "db" | "hints">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/approvals",
      operationId: "list_approvals",
      tag: "approvals",
      summary: "List approvals, newest first",
      query: Type.Object({
        status: Type.Optional(OneOf(APPROVAL_STATUSES)),
        session_id: Type.Optional(Type.String()),
        ...PageQuery,
      }),
      responses: { 200: List(Approval) },
      problems: ["invalid_id"],
      async run({ query, caller, request }) {
        const slice = sliceOf(query);
        const { rows, total } = await listApprovals(db, {
          organizationId: caller.organizationId,
          status: query.status ?? null,
          sessionId: query.session_id === undefined ? null : pathId("session", query.session_id),
          ...slice,
        });
        return reply(200, page(request, rows.map(approvalToWire), total, slice));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/approvals/{approval_id}",
      operationId: "decide_approval",
      tag: "approvals",
      summary: "Allow or reject a tool call",
      description:
        "When it is allowed, the stored call runs, once, with its arguments or with those that are sent along. " +
        "`arguments_hash` makes sure that the decision is about the call that was looked at.",
      body: DecideApprovalRequest,
      responses: { 200: Approval },
      problems: [
        "invalid_id",
        "limit_exceeded",
        "not_found",
        "approval_decided",
        "approval_expired",
        "approval_cancelled",
        "approval_changed",
      ],
      async run({ params, body, caller }) {
        const id = pathId("approval", params.approval_id);
        const edited = body.arguments ?? null;
        if (edited !== null && body.decision !== "allow") {
          throw new UserError("invalid_request", "arguments: only with the decision `allow`");
        }
        const row = await findApproval(db, caller.organizationId, id);
        if (!row) throw new UserError("not_found", "Approval not found");
        if (row.status !== "pending") throw tooLate(row.status);
        if (body.arguments_hash && body.arguments_hash !== row.arguments_hash) {
          throw new UserError(
            "approval_changed",
            `arguments_hash: the call that waits has the hash ${row.arguments_hash}; look at it again`,
          );
        }
        const wait: WaitRef = {
          runId: row.run_id,
          sessionId: row.session_id,
          kind: "approval",
          toolCallId: row.tool_call_id,
        };
        const [run] = await settleWaits(db.sql, [
          decided(wait, {
            decision: body.decision,
            decidedBy: caller.principalId,
            editedArguments: edited,
            comment: body.comment ?? null,
          }),
        ]);
        const now = await findApproval(db, caller.organizationId, id);
        if (!now) throw new UserError("not_found", "Approval not found");
        if (!run) throw tooLate(now.status);
        hints.publish({ sessions: [row.session_id], isQueued: run.isResumed });
        return reply(200, approvalToWire(now));
      },
    }),
  ];
}

function tooLate(status: ApprovalRow["status"]): UserError {
  switch (status) {
    case "decided":
      return new UserError("approval_decided", "This call has been decided about already.");
    case "expired":
      return new UserError("approval_expired", "Nobody decided in time; the call was given up.");
    default:
      return new UserError(
        "approval_cancelled",
        "This call does not wait any more: a message came, or its turn has ended.",
      );
  }
}

/** What a decision does to the wait: a rejected call has its result, an allowed one is left to the worker. */
export function decided(
  wait: WaitRef,
  by: {
    decision: ApprovalDecision;
    decidedBy: string;
    editedArguments: Record<string, unknown> | null;
    comment: string | null;
  },
): Settlement {
  const isAllowed = by.decision.startsWith("allow");
  const why = by.comment ? ` They say: ${by.comment}` : "";
  const rejected = settledWith(wait, "settled", {
    ok: false,
    status: "error",
    error: `The user rejected this call. It did not run.${why}`,
  });
  return isAllowed
    ? { ...rejected, ...by, result: null, progress: by.editedArguments ? "allowed, with changes" : "allowed" }
    : { ...rejected, ...by };
}

function approvalToWire(row: ApprovalRow): Approval {
  return present({
    id: row.id,
    session_id: row.session_id,
    turn_id: row.run_id,
    tool_call_id: row.tool_call_id,
    tool_name: row.tool_name,
    arguments: row.arguments,
    arguments_hash: row.arguments_hash,
    reason: row.reason,
    requested_at: iso(row.requested_at),
    expires_at: iso(row.expires_at),
    status: row.status,
    decision: row.decision,
    decided_at: isoOrNull(row.decided_at),
    decided_by: row.decided_by,
    edited_arguments: row.edited_arguments,
    comment: row.comment,
  });
}
