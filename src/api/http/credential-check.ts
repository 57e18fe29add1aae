/** Whether who opened a stream may still read it while it lasts. */
import { UserError } from "../../base/errors.ts";
import type { Caller, Identify } from "./identify.ts";

/**
 * Whether the credential of a stream still opens it, to be asked again and again; a database that does not answer ends
 * no stream.
 *
 * @param authorize  throws a UserError when the caller may not read the stream
 * @returns null when there is no credential that could end
 */
export function credentialCheck(
  identify: Identify,
  request: Request,
  { credential, organizationId }: Caller,
  authorize: (caller: Caller) => void,
): (() => Promise<boolean>) | null {
  if (credential.kind === "none") return null;
  // The request itself belongs to the server, which is done with it.
  const kept = new Request(request.url, { headers: request.headers });
  return async () => {
    try {
      const caller = await identify(kept);
      authorize(caller);
      return caller.organizationId === organizationId;
    } catch (error) {
      return !(error instanceof UserError);
    }
  };
}
