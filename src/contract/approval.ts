/** What clients send to runs that wait for them: results of their tools, and decisions about calls. */
import { limits } from "./limits.ts";
import { Id, JsonObject, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";
import { SESSION_STATUSES } from "./session.ts";

/** `error` says that the call failed, and why; otherwise `result` is what the model reads (absent: nothing). */
export const ClientToolResult = Type.Object({
  tool_call_id: Type.String({ minLength: 1 }),
  result: Type.Optional(Type.Unknown()),
  error: Maybe(Type.String()),
});
export type ClientToolResult = Static<typeof ClientToolResult>;

export const SubmitToolResultsRequest = Type.Object({
  tool_results: Type.Array(ClientToolResult, { minItems: 1, maxItems: limits.toolCallsPerAnswerMax }),
});

/** `accepted`: results that were new. `status`: of the session, `active` once every call has its result. */
export const SubmitToolResultsResponse = Type.Object({
  accepted: Type.Integer(),
  status: OneOf(SESSION_STATUSES),
});

/** The `_always` ones stand for every later call of the tool in this session. */
export const APPROVAL_DECISIONS = ["allow", "allow_always", "reject", "reject_always"] as const;
export type ApprovalDecision = (typeof APPROVAL_DECISIONS)[number];

/** Calls by their own id or by that of the `approve_tool_call`. A call that is left out is rejected. */
export const ToolApprovalsRequest = Type.Object({
  decisions: Type.Array(
    Type.Object({ tool_call_id: Type.String({ minLength: 1 }), decision: OneOf(APPROVAL_DECISIONS) }),
    { minItems: 1, maxItems: limits.approvalsPerRequestMax },
  ),
});

export const ToolApprovalsResponse = Type.Object({
  resolved: Type.Array(
    Type.Object({
      tool_call_id: Type.String(),
      tool: Type.String(),
      outcome: OneOf(["allowed", "rejected"]),
    }),
  ),
  status: OneOf(SESSION_STATUSES),
});

export const APPROVAL_STATUSES = ["pending", "decided", "expired", "cancelled"] as const;

/** A tool call that waits, or waited, for a person. */
export const Approval = Type.Object({
  id: Id("approval"),
  session_id: Id("session"),
  turn_id: Id("turn"),
  tool_call_id: Type.String(),
  tool_name: Type.String(),
  /** As the model wrote them. */
  arguments: JsonObject,
  /** What a decision is bound to: send it along, and the decision is refused when the call is another. */
  arguments_hash: Type.String(),
  /** Why the call needs somebody. */
  reason: Type.String(),
  requested_at: Timestamp,
  expires_at: Timestamp,
  /** cancelled: a message of the user, or the end of the turn, came first. */
  status: OneOf(APPROVAL_STATUSES),
  decision: Type.Optional(OneOf(APPROVAL_DECISIONS)),
  decided_at: Type.Optional(Timestamp),
  decided_by: Type.Optional(Type.String()),
  /** What the call runs with instead; absent when it was not edited. */
  edited_arguments: Type.Optional(JsonObject),
  comment: Type.Optional(Type.String()),
});
export type Approval = Static<typeof Approval>;

/** `arguments` replace those of the call; only with `allow`. `comment` is read by the model when it is a rejection. */
export const DecideApprovalRequest = Type.Object({
  decision: OneOf(APPROVAL_DECISIONS),
  arguments: Maybe(JsonObject),
  arguments_hash: Maybe(Type.String()),
  comment: Maybe(Type.String({ maxLength: limits.approvalCommentCharsMax })),
});
export type DecideApprovalRequest = Static<typeof DecideApprovalRequest>;
