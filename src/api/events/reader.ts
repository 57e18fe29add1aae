/** Who reads a session's events. */
import { authorize } from "../http/authorize.ts";
import type { Caller } from "../http/identify.ts";

type Params = { session_id: string };

/** @throws UserError the caller may not read this session's events */
export function requireReader(caller: Caller, params: Params): void {
  authorize({ method: "GET", sessionRight: "read" }, caller, params);
}
