import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";

/** Counts the open streams of this process; past a cap a stream is refused with 429 and Retry-After. */
export interface StreamLimits {
  /**
   * @param key   what is streamed: a session's id, or another name
   * @param what  the same in words
   * @returns the release. @throws UserError rate_limited
   */
  take(organizationId: string, key: string, what?: string): () => void;
  open(): number;
}

const RETRY_AFTER_SECONDS = 5;

export function createStreamLimits(): StreamLimits {
  const counts = new Map<string, number>();
  let total = 0;

  const add = (name: string, by: number) => {
    const count = (counts.get(name) ?? 0) + by;
    if (count > 0) counts.set(name, count);
    else counts.delete(name);
  };
  const refuse = (what: string) => {
    throw new UserError("rate_limited", `too many open streams of ${what}; close one or try again later`, {
      fields: { retry_after_seconds: RETRY_AFTER_SECONDS },
    });
  };

  return {
    take(organizationId, key, what = "this session") {
      if (total >= limits.sseStreamsPerProcess) refuse("this server");
      if ((counts.get(organizationId) ?? 0) >= limits.sseStreamsPerOrganization) refuse("this organization");
      if ((counts.get(key) ?? 0) >= limits.sseStreamsPerSession) refuse(what);
      total += 1;
      add(organizationId, 1);
      add(key, 1);
      let isReleased = false;
      return () => {
        if (isReleased) return;
        isReleased = true;
        total -= 1;
        add(organizationId, -1);
        add(key, -1);
      };
    },
    open: () => total,
  };
}
