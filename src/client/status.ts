/** PURE: what state something is in, in the API's words: the same in every list, whoever prints it. */
import type { Approval } from "../contract/approval.ts";
import type { Session } from "../contract/session.ts";

/** `idle`; `idle paused` while a budget holds its turn, which the API says in a field of its own. */
export const sessionStatus = ({ status, paused }: Pick<Session, "status" | "paused">): string =>
  paused === true ? `${status} paused` : status;

/** `pending`; `decided: allow_always`. */
export const approvalStatus = ({ status, decision }: Pick<Approval, "status" | "decision">): string =>
  decision === undefined ? status : `${status}: ${decision}`;
