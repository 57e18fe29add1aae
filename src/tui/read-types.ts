import { ClientError } from "../client/errors.ts";
import { EVENT_TYPES, type EventType } from "../contract/event.ts";

/** Events that only fill the wire: the transcript reads none of them. */
const NOT_READ: readonly EventType[] = [
  "llm.generation",
  "reason.item",
  "act.started",
  "act.completed",
  "file.written",
];

/** What the chat asks a stream for. All of it is named, because the queue's events are told only to who asks for them. */
export const READ_TYPES: readonly EventType[] = EVENT_TYPES.filter((type) => !NOT_READ.includes(type));

/** True when a server does not know what it was asked for: an older one, or one of somebody else. */
export function isRefusedFilter(error: unknown): boolean {
  return error instanceof ClientError && (error.status === 400 || error.status === 422);
}
