/**
 * PURE: how much of a conversation a model call shows.
 *
 * A model takes so many tokens and not more, and a session may live for years. What does not fit is left out from
 * the old end, and only where nothing is torn: before the message that began a turn, or, when the turn under way
 * alone is too long, before one of its model calls (the user's messages of that turn stay). The model is told.
 *
 * Tokens are counted from bytes, three bytes each: more than any vendor's tokenizer makes of prose or code, so that
 * a window is rather not filled than overrun.
 *
 * Providers cache a prompt by its beginning. A window that slid with each message would never hit that cache, so the
 * cut is made at a place that stays the best one while the conversation grows: among the places that leave between
 * half of the window and all of it, the one whose sequence ranks highest in a fixed order.
 */
import type { Event } from "../contract/event.ts";
import type { ContentPart } from "../contract/message.ts";
import { modelProfile } from "../contract/model-profile.ts";
import type { ModelMessage } from "../llm/driver.ts";

/** Stands in front of what is shown. It never changes: see the note on caches above. */
export const OMITTED_NOTE: ModelMessage = {
  role: "user",
  content: [
    {
      type: "text",
      text: "[Earlier messages of this conversation are not shown: it is longer than what fits.]",
    },
  ],
};

/** The window of a model that is not in the table. */
const CONTEXT_TOKENS_UNKNOWN = 128_000;
const OUTPUT_TOKENS_UNKNOWN = 16_000;
/** However long prompt and tools are: less than this is no conversation, and the provider has the last word. */
const HISTORY_TOKENS_MIN = 2_000;
const BYTES_PER_TOKEN = 3;
/** What a message costs beside its text. */
const MESSAGE_TOKENS = 8;
/** Vendors count pixels, and scale large pictures down to about this. */
export const IMAGE_TOKENS = 1_600;
/** History events of one model call: what bounds the reading when all of them are tiny. */
const HISTORY_EVENTS_MAX = 4_000;

export function tokensOf(text: string): number {
  // Most texts are ASCII; the exact length is asked for only where it can matter.
  return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
}

/**
 * How many tokens of a model's window are left for the conversation: without room for the answer, without the
 * system prompt and the tools.
 *
 * @param model  by its vendor's name
 */
export function historyTokensMax(model: string, fixed: { system: string; tools: readonly string[] }): number {
  const known = modelProfile(model)?.limits;
  const context = known?.context ?? CONTEXT_TOKENS_UNKNOWN;
  const output = known?.output ?? OUTPUT_TOKENS_UNKNOWN;
  const prompt = known?.input ?? context - Math.min(output, context / 2);
  const taken = [fixed.system, ...fixed.tools].reduce((sum, text) => sum + tokensOf(text), 0);
  return Math.max(HISTORY_TOKENS_MIN, Math.floor(prompt - taken));
}

const weighed = new WeakMap<Event, number>();

/** What an event of the history costs a model call. */
export function eventTokens(event: Event): number {
  let tokens = weighed.get(event);
  if (tokens === undefined) {
    tokens = weigh(event);
    weighed.set(event, tokens);
  }
  return tokens;
}

function weigh(event: Event): number {
  switch (event.type) {
    case "input.message":
      return MESSAGE_TOKENS + partsTokens(event.data.message.content);
    case "output.message.completed": {
      const { content, thinking, thinking_signature } = event.data.message;
      return (
        MESSAGE_TOKENS + partsTokens(content) + tokensOf(thinking ?? "") + tokensOf(thinking_signature ?? "")
      );
    }
    case "tool.completed":
      return MESSAGE_TOKENS + partsTokens(event.data.result ?? []) + tokensOf(event.data.error ?? "");
    case "reason.item":
      return (
        MESSAGE_TOKENS +
        tokensOf(event.data.encrypted_content ?? "") +
        tokensOf((event.data.summary ?? []).join())
      );
    default:
      return 0;
  }
}

function partsTokens(parts: readonly ContentPart[]): number {
  let tokens = 0;
  for (const part of parts) {
    if (part.type === "text") tokens += tokensOf(part.text);
    else if (part.type === "image" || part.type === "image_file") tokens += IMAGE_TOKENS;
    else tokens += MESSAGE_TOKENS + tokensOf(JSON.stringify(part));
  }
  return tokens;
}

export interface Window {
  tokensMax: number;
  /** Sequence of the message that began the turn under way. */
  inputSequence: number;
  /** Nothing lies before the first of the events. */
  isWhole: boolean;
  /** Nothing that the first of the events belongs to lies before it. */
  isClean: boolean;
}

export interface Shown {
  events: Event[];
  /** Something is left out. */
  isCut: boolean;
}

/** The part of a history that fits, oldest first. Never cuts off the turn under way, or its newest model call. */
export function fitHistory(events: readonly Event[], window: Window): Shown {
  const { tokensMax } = window;
  const left = sizesFrom(events, tokensMax);
  if (window.isClean && (left[0] ?? 0) <= 1) return { events: [...events], isCut: !window.isWhole };

  const current = events.findIndex((event) => event.sequence >= window.inputSequence);
  const starts = turnStarts(events, window.isClean).filter((at) => current === -1 || at <= current);
  const at = bestCut(events, left, starts);
  if (at !== null) return { events: events.slice(at), isCut: at > 0 || !window.isWhole };

  // The turn under way alone is too long: its first model calls are left out, what the user said in it is not.
  const begin = Math.max(0, current);
  const turn = events.slice(begin);
  const inputs = turn.filter((event) => event.type === "input.message");
  const room = Math.max(1, tokensMax - inputs.reduce((sum, event) => sum + eventTokens(event), 0));
  const answered = turn.findLastIndex((event) => event.type === "output.message.completed");
  const calls = turn.flatMap((event, index) =>
    event.type === "reason.started" && index < answered ? index : [],
  );
  const cut = bestCut(turn, sizesFrom(turn, room), calls) ?? calls.at(-1) ?? 0;
  const shown = [...turn.slice(0, cut).filter((event) => event.type === "input.message"), ...turn.slice(cut)];
  return { events: shown, isCut: shown.length < events.length || !window.isWhole };
}

/** True when reading further back could change nothing: more than fits is there, and a place to cut it. */
export function isEnough(
  events: readonly Event[],
  { tokensMax, inputSequence }: Omit<Window, "isWhole" | "isClean">,
) {
  if ((sizesFrom(events, tokensMax)[0] ?? 0) <= 1) return false;
  if ((events[0]?.sequence ?? 0) <= inputSequence) return true;
  const call = events.findIndex((event) => event.type === "reason.started");
  return call !== -1 && events.slice(call).some((event) => event.type === "output.message.completed");
}

/** About how many more events would fill the window, if they are like those. */
export function eventsMissing(events: readonly Event[], tokensMax: number): number {
  const tokens = events.reduce((sum, event) => sum + eventTokens(event), 0);
  const byTokens = tokens === 0 ? HISTORY_EVENTS_MAX : (events.length * (tokensMax - tokens)) / tokens;
  return Math.ceil(Math.min(byTokens * 1.1, HISTORY_EVENTS_MAX - events.length)) + 1;
}

/** For each event how much of the room it takes, with all that follows; 1 is all of the room. */
function sizesFrom(events: readonly Event[], tokensMax: number): number[] {
  const sizes = new Array<number>(events.length);
  let tokens = 0;
  for (let index = events.length - 1; index >= 0; index -= 1) {
    tokens += eventTokens(events[index] as Event);
    sizes[index] = Math.max(tokens / tokensMax, (events.length - index) / HISTORY_EVENTS_MAX);
  }
  return sizes;
}

/** @returns null when no place leaves little enough */
function bestCut(
  events: readonly Event[],
  sizes: readonly number[],
  places: readonly number[],
): number | null {
  let best: number | null = null;
  let bestRank = -1;
  for (const place of places) {
    const size = sizes[place] ?? 0;
    if (size > 1) continue;
    // Less than half of the window: only when there is nothing better.
    if (size < 0.5 && best !== null) break;
    const rank = size < 0.5 ? 0 : rankOf(events[place]?.sequence ?? 0);
    if (rank > bestRank) {
      best = place;
      bestRank = rank;
    }
  }
  return best;
}

/** A fixed order of all sequences in which the neighbours of a high one are low. */
function rankOf(sequence: number): number {
  return Math.clz32(Math.imul(sequence, 0x9e3779b1));
}

/** Indexes of the messages that begin a turn, or stand where no model call is under way. */
function turnStarts(events: readonly Event[], isClean: boolean): number[] {
  const starts: number[] = [];
  let isOpen = !isClean;
  let turnId: string | undefined;
  let open = new Set<string>();
  for (const [index, event] of events.entries()) {
    if (event.type === "reason.started") isOpen = true;
    else if (event.type === "output.message.completed") {
      isOpen = false;
      open = new Set(
        event.data.message.content.flatMap((part) => (part.type === "tool_call" ? part.id : [])),
      );
    } else if (event.type === "tool.completed") open.delete(event.data.tool_call_id);
    else if (event.type === "input.message") {
      const isNewTurn = index > 0 && turnId !== event.context.turn_id;
      if (isNewTurn || (!isOpen && open.size === 0)) starts.push(index);
    }
    turnId = event.context.turn_id;
  }
  return starts;
}
