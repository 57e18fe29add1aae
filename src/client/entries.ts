/** What a transcript consists of. */

interface EntryBase {
  /** Id of the event that opened the entry; unique in the transcript and stable. */
  key: string;
  turnId: string | null;
  /** True when no later event can change the entry. */
  isSettled: boolean;
}

/** A message that the agent has not read yet. */
export interface WaitingMessage {
  messageId: string;
  text: string;
  /** `steer`: the next model call of the turn reads it. `queue`: it waits for a turn of its own. */
  delivery: "steer" | "queue";
}

export interface UserEntry extends EntryBase {
  kind: "user";
  messageId: string;
  text: string;
  /** What the message's images are called: a file's name, an address, or `inline`. */
  images: readonly string[];
}

export interface AssistantEntry extends EntryBase {
  kind: "assistant";
  text: string;
  thinking: string;
  /** False once the whole message stands, or its turn ended without it. */
  isStreaming: boolean;
  /** 1-based place of the model call in its turn; null when the stream did not say. */
  iteration: number | null;
}

export interface ToolEntry extends EntryBase {
  kind: "tool";
  callId: string;
  name: string;
  arguments: unknown;
  /**
   * `pending`: asked for by the model, not begun. `waiting`: somebody outside must answer or allow it. `interrupted`:
   * its turn ended before it did.
   */
  status: "pending" | "running" | "waiting" | "success" | "error" | "timeout" | "cancelled" | "interrupted";
  /** Who must do something while it waits; null while it does not. */
  waitsFor: "approval" | "client" | null;
  /** What the running tool said last; empty when nothing. */
  progress: string;
  output: string;
  error: string | null;
  durationMs: number | null;
  /** RFC 3339; null while pending. */
  startedAt: string | null;
}

export interface ErrorEntry extends EntryBase {
  kind: "error";
  text: string;
  code: string | null;
  /** What the turn itself gave as the reason, when it says more than `text`. */
  detail: string | null;
}

export interface NoticeEntry extends EntryBase {
  kind: "notice";
  text: string;
}

export type Entry = UserEntry | AssistantEntry | ToolEntry | ErrorEntry | NoticeEntry;
