import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";

/** Counts the open streams of this process; past a cap a stream is refused with 429 and Retry-After. */
export interface StreamLimits {
  /** @returns the release. @throws UserError rate_limited */
  take(organizationId: string, sessionId: string): () => void;
  open(): number;
}

const RETRY_AFTER_SECONDS = 5;

export function createStreamLimits(): StreamLimits {
  const counts = new Map<string, number>();
  let total = 0;

  const add = (key: string, by: number) => {
    const count = (counts.get(key) ?? 0) + by;
    if (count > 0) counts.set(key, count);
    else counts.delete(key);
  };
  const refuse = (what: string) => {
    throw new UserError("rate_limited", `too many open streams of ${what}; close one or try again later`, {
      fields: { retry_after_seconds: RETRY_AFTER_SECONDS },
    });
  };

  return {
    take(organizationId, sessionId) {
      if (total >= limits.sseStreamsPerProcess) refuse("this server");
      if ((counts.get(organizationId) ?? 0) >= limits.sseStreamsPerOrganization) refuse("this organization");
      if ((counts.get(sessionId) ?? 0) >= limits.sseStreamsPerSession) refuse("this session");
      total += 1;
      add(organizationId, 1);
      add(sessionId, 1);
      let isReleased = false;
      return () => {
        if (isReleased) return;
        isReleased = true;
        total -= 1;
        add(organizationId, -1);
        add(sessionId, -1);
      };
    },
    open: () => total,
  };
}
