/** Who reads a session's events, and whether they still may while they do. */
import { UserError } from "../../base/errors.ts";
import { authorize } from "../http/authorize.ts";
import type { Caller, Identify } from "../http/identify.ts";

type Params = { session_id: string };

/** @throws UserError the caller may not read this session's events */
export function requireReader(caller: Caller, params: Params): void {
  authorize({ method: "GET", sessionRight: "read" }, caller, params);
}

/**
 * Whether the credential of a stream still opens it, to be asked again and again; a database that does not answer ends
 * no stream.
 *
 * @returns null when there is no credential that could end
 */
export function credentialCheck(
  identify: Identify,
  request: Request,
  params: Params,
  { credential, organizationId }: Caller,
): (() => Promise<boolean>) | null {
  if (credential.kind === "none") return null;
  // The request itself belongs to the server, which is done with it.
  const kept = new Request(request.url, { headers: request.headers });
  return async () => {
    try {
      const caller = await identify(kept);
      requireReader(caller, params);
      return caller.organizationId === organizationId;
    } catch (error) {
      return !(error instanceof UserError);
    }
  };
}
