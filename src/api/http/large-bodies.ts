/**
 * The order in which large bodies are taken in. While it is read, a body is in memory several times over: as pieces, as
 * bytes, as text, as a value. So the larger ones wait for each other, and what they take together is bounded.
 */
import { createKeyedSemaphore, createSemaphore, type KeyedSemaphore } from "../../base/semaphore.ts";
import { limits } from "../../contract/limits.ts";
import type { Pace } from "./body.ts";

/** At most this is read without waiting. */
const LARGE_BODY_BYTES = 1024 * 1024;
const LARGE_BODIES_AT_ONCE = 4;
/** One organization leaves room for the others. */
const LARGE_BODIES_PER_ORGANIZATION = 3;

const PACE: Pace = { bytesPerSecondMin: limits.bodyBytesPerSecondMin, graceMs: limits.bodyGraceMs };
const HUGE_PACE: Pace = { ...PACE, bytesPerSecondMin: limits.hugeBodyBytesPerSecondMin };

/** What a body may do once it is its turn. */
export interface Turn {
  pace: Pace;
  /** Before that it holds the others up: after it was read, or, when it is huge, after it was dealt with. */
  isHuge: boolean;
  /** Gives the place to the next; a second time does nothing. */
  release(): void;
}

export type LargeBodies = (
  request: Request,
  about: { organizationId: string; bytesMax: number },
) => Promise<Turn>;

/** Make it once a server. */
export function createLargeBodies(): LargeBodies {
  const large = createLane(LARGE_BODIES_AT_ONCE, createKeyedSemaphore(LARGE_BODIES_PER_ORGANIZATION));
  // Large as only files and images may be: one alone has the memory of all others together.
  const huge = createLane(1, createKeyedSemaphore(1));
  return async (request, { organizationId, bytesMax }) => {
    // Who does not say how long it is may send as much as anybody.
    const declared = request.headers.get("content-length") ?? (request.body === null ? 0 : bytesMax);
    const length = Number(declared);
    // Nothing is read of what says that it is too large.
    if (length <= LARGE_BODY_BYTES || length > bytesMax) return { pace: PACE, isHuge: false, release() {} };
    const isHuge = length > limits.requestBytesMax;
    const release = await (isHuge ? huge : large)(organizationId);
    return { pace: isHuge ? HUGE_PACE : PACE, isHuge, release };
  };
}

function createLane(atOnce: number, own: KeyedSemaphore) {
  const all = createSemaphore(atOnce);
  return async (organizationId: string): Promise<() => void> => {
    const releaseOwn = await own.acquire(organizationId);
    const release = await all.acquire();
    return () => {
      release();
      releaseOwn();
    };
  };
}
