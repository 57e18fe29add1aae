/**
 * The transcript: a pure fold of one session's events into what a person reads. The terminal, the browser and the
 * tests show the same thing because they show this.
 *
 * Promises, each held by a property test:
 *   fold(fold(v, a), b) = fold(v, a ++ b)         events may come one at a time or in bursts
 *   events at or below `sequence` change nothing  a replayed stream is harmless
 *   pruned deltas change nothing                  the completed message carries the whole text
 *   a dead attempt leaves no trace                its text is discarded when the next attempt announces itself
 *   a settled entry never changes again           so a terminal may print it once and forget it
 */
import { assertNever } from "../base/assert.ts";
import type { Event, EventOf } from "../contract/event.ts";
import { isEventType } from "../contract/event.ts";
import { type Message, textOf } from "../contract/message.ts";
import { addUsage, NO_USAGE, type TokenUsage } from "../contract/usage.ts";
import type { AssistantEntry, Entry, ToolEntry, WaitingMessage } from "./entries.ts";
import { budgetNotice, INTERRUPTED, isInterruption } from "./notices.ts";
import { imageNames, outputOf, type ToolCall, toolCallsOf } from "./tool-parts.ts";

export type TurnOutcome = "completed" | "failed" | "sealed" | "cancelled";

export interface Transcript {
  entries: readonly Entry[];
  status: "started" | "active" | "idle";
  /** The turn under way, or null. */
  turnId: string | null;
  lastOutcome: TurnOutcome | null;
  /** Name of the model that spoke last, or null. */
  model: string | null;
  usage: TokenUsage;
  /** Tokens of the last model call, in and out: what the next one carries at least. Null before the first. */
  contextTokens: number | null;
  /** Messages that the agent has not read yet: those that steer, then the queue, next first. */
  waiting: readonly WaitingMessage[];
  /** Whether a model call of the turn under way has begun: a message before it is read by it. */
  hasModelCall: boolean;
  /** Usage at the beginning of the turn under way: the turn's own total replaces what was counted since. */
  usageBeforeTurn: TokenUsage;
  /** The cursor: sequence of the last event that was folded in; 0 for none. */
  sequence: number;
  lastEventId: string | null;
  /** `forked_from_sequence` of a fork: what was queued up to there waits in the other session. 0 when there is none. */
  inheritedUntil: number;
}

export const emptyTranscript: Transcript = {
  entries: [],
  status: "started",
  turnId: null,
  lastOutcome: null,
  model: null,
  usage: NO_USAGE,
  contextTokens: null,
  waiting: [],
  hasModelCall: false,
  usageBeforeTurn: NO_USAGE,
  sequence: 0,
  lastEventId: null,
  inheritedUntil: 0,
};

/** Folds events into a transcript. Pure: `view` is left as it was, entries that did not change stay the same objects. */
export function foldTranscript(view: Transcript, events: readonly Event[]): Transcript {
  if (events.length === 0) return view;
  const draft: Draft = { ...view, entries: [...view.entries] };
  for (const event of events) {
    if (event.sequence <= draft.sequence) continue;
    draft.sequence = event.sequence;
    draft.lastEventId = event.id;
    // A newer server may know events that this program does not; they move the cursor and nothing else.
    if (isEventType(event.type)) apply(draft, event);
  }
  return draft;
}

/** How many leading entries are settled: what may be printed for good. */
export function settledCount(view: Transcript): number {
  const open = view.entries.findIndex((entry) => !entry.isSettled);
  return open < 0 ? view.entries.length : open;
}

/** US dollars, or null when no model call had a price. */
export function costOf(usage: TokenUsage): number | null {
  return usage.effective_cost_usd ?? usage.actual_cost_usd ?? usage.estimated_cost_usd ?? null;
}

/** Every token that went in or came out, cached ones too. */
export function tokensOf(usage: TokenUsage): number {
  return (
    usage.input_tokens +
    usage.output_tokens +
    (usage.cache_read_tokens ?? 0) +
    (usage.cache_creation_tokens ?? 0)
  );
}

type Draft = Omit<Transcript, "entries"> & { entries: Entry[] };

function apply(draft: Draft, event: Event): void {
  switch (event.type) {
    case "session.activated":
    case "turn.started":
      return beginTurn(draft, event.data.turn_id);
    case "session.idled":
      draft.status = "idle";
      draft.turnId = null;
      return;
    case "input.message":
      return addUserMessage(draft, event);
    case "input.queued":
      return event.sequence > draft.inheritedUntil ? addQueued(draft, event.data.message) : undefined;
    case "input.promoted":
    case "input.withdrawn":
      draft.waiting = draft.waiting.filter(({ messageId }) => messageId !== event.data.message_id);
      return;
    case "turn.completed":
      return endTurn(draft, event.data.turn_id, "completed", event.data.usage);
    case "turn.failed":
      addFailure(draft, event);
      return endTurn(draft, event.data.turn_id, "failed", undefined);
    case "turn.sealed":
      draft.entries.push({
        ...opened(event),
        kind: "error",
        text: `The turn was ended: ${event.data.detail ?? event.data.reason}`,
        code: event.data.reason,
        detail: null,
        isSettled: true,
      });
      return endTurn(draft, event.data.turn_id, "sealed", event.data.usage);
    case "turn.cancelled":
      endTurn(draft, event.data.turn_id, "cancelled", event.data.usage);
      draft.entries.push({ ...opened(event), kind: "notice", text: INTERRUPTED, isSettled: true });
      return;
    case "reason.started":
      if (event.data.metadata) draft.model = event.data.metadata.model;
      draft.hasModelCall = true;
      draft.waiting = draft.waiting.filter(({ delivery }) => delivery === "queue");
      return discardOpenAnswer(draft, turnOf(event));
    case "reason.completed":
      if (event.data.usage) {
        draft.usage = addUsage(draft.usage, event.data.usage);
        draft.contextTokens = tokensOf(event.data.usage);
      }
      return;
    case "reason.thinking.started":
      openAnswer(draft, event);
      return;
    case "reason.thinking.delta": {
      const { accumulated, delta } = event.data;
      return changeAnswer(draft, event, (entry) => ({ thinking: accumulated ?? entry.thinking + delta }));
    }
    case "reason.thinking.completed":
      return changeAnswer(draft, event, () => ({ thinking: event.data.thinking }));
    case "output.message.started":
      return beginAnswer(draft, event);
    case "output.message.delta": {
      const { accumulated, delta } = event.data;
      return changeAnswer(draft, event, (entry) => ({ text: accumulated ?? entry.text + delta }));
    }
    case "output.message.completed":
      return completeAnswer(draft, event);
    case "tool.started":
      return beginTool(draft, event);
    case "tool.call_requested":
      return awaitTools(draft, event);
    case "tool.progress":
      return changeTool(draft, turnOf(event), event.data.tool_call_id, ({ status }) => ({
        progress: event.data.message,
        // A call that waited and now has something to say was allowed, and runs.
        status: status === "waiting" ? "running" : status,
        waitsFor: null,
      }));
    case "tool.completed":
      return completeTool(draft, event);
    case "llm.generation":
      draft.model = event.data.metadata.model;
      return;
    case "budget.warning":
    case "budget.paused":
    case "budget.exhausted":
    case "budget.resumed":
      draft.entries.push({ ...opened(event), kind: "notice", text: budgetNotice(event), isSettled: true });
      return;
    case "session.started":
    case "reason.recovered":
    case "session.title.updated":
    case "reason.item":
    case "act.started":
    case "act.completed":
    case "file.written":
    case "schedule.triggered":
    case "task.created":
    case "task.updated":
    case "task.message.sent":
      return; // nothing that a reader of the conversation needs to see
    default:
      assertNever(event);
  }
}

/** The turn that an event belongs to, or null when the envelope does not say. */
export function turnOf(event: Event): string | null {
  if (event.context.turn_id !== undefined) return event.context.turn_id;
  return "turn_id" in event.data ? event.data.turn_id : null;
}

function opened(event: Event): { key: string; turnId: string | null } {
  return { key: event.id, turnId: turnOf(event) };
}

// ---- turns

function beginTurn(draft: Draft, turnId: string): void {
  if (draft.turnId !== turnId) draft.usageBeforeTurn = draft.usage;
  if (draft.turnId !== turnId) draft.hasModelCall = false;
  draft.status = "active";
  draft.turnId = turnId;
}

function endTurn(draft: Draft, turnId: string, outcome: TurnOutcome, usage: TokenUsage | undefined): void {
  if (usage && draft.turnId === turnId) draft.usage = addUsage(draft.usageBeforeTurn, usage);
  draft.lastOutcome = outcome;
  draft.waiting = draft.waiting.filter(({ delivery }) => delivery === "queue");
  draft.entries = draft.entries.flatMap((entry) => {
    if (entry.isSettled || entry.turnId !== turnId) return [entry];
    if (entry.kind === "tool") return [{ ...entry, status: "interrupted", waitsFor: null, isSettled: true }];
    if (entry.kind !== "assistant") return [{ ...entry, isSettled: true }];
    return isBlank(entry) ? [] : [{ ...entry, isStreaming: false, isSettled: true }];
  });
}

/** A failed turn usually has said so in a message before; then the reason only completes that entry. */
function addFailure(draft: Draft, event: EventOf<"turn.failed">): void {
  const { turn_id: turnId, error, error_code: code = null } = event.data;
  const at = draft.entries.findLastIndex((entry) => isOpen(entry, "error", turnId));
  const said = draft.entries[at];
  if (said?.kind === "error") {
    draft.entries[at] = {
      ...said,
      code: said.code ?? code,
      detail: said.text === error ? null : error,
      isSettled: true,
    };
    return;
  }
  draft.entries.push({ ...opened(event), kind: "error", text: error, code, detail: null, isSettled: true });
}

function isOpen(entry: Entry, kind: Entry["kind"], turnId: string | null): boolean {
  return !entry.isSettled && entry.kind === kind && entry.turnId === turnId;
}

// ---- messages

function addUserMessage(draft: Draft, event: EventOf<"input.message">): void {
  // A cancel writes a message pair for the model's sake; the reader has the notice already.
  if (draft.lastOutcome === "cancelled" && isInterruption(draft.entries.at(-1), turnOf(event))) return;
  const { id: messageId, content } = event.data.message;
  draft.entries.push({
    ...opened(event),
    kind: "user",
    messageId,
    text: textOf(content),
    images: imageNames(content),
    isSettled: true,
  });
  draft.waiting = draft.waiting.filter((message) => message.messageId !== messageId);
  const isSteering = draft.status === "active" && draft.turnId === turnOf(event) && draft.hasModelCall;
  if (isSteering) {
    const steering: WaitingMessage = { messageId, text: textOf(content), delivery: "steer" };
    const isQueued = ({ delivery }: WaitingMessage) => delivery === "queue";
    draft.waiting = [
      ...draft.waiting.filter((message) => !isQueued(message)),
      steering,
      ...draft.waiting.filter(isQueued),
    ];
  }
}

/** The same message again: its content was changed, its place stays. */
function addQueued(draft: Draft, { id: messageId, content }: Message): void {
  const queued: WaitingMessage = { messageId, text: textOf(content), delivery: "queue" };
  const at = draft.waiting.findIndex((message) => message.messageId === messageId);
  draft.waiting = at < 0 ? [...draft.waiting, queued] : draft.waiting.with(at, queued);
}

function openAnswerIndex(draft: Draft, turnId: string | null): number {
  return draft.entries.findLastIndex((entry) => isOpen(entry, "assistant", turnId));
}

function openAnswer(draft: Draft, event: Event): number {
  const at = openAnswerIndex(draft, turnOf(event));
  if (at >= 0) return at;
  draft.entries.push({
    ...opened(event),
    kind: "assistant",
    text: "",
    thinking: "",
    isStreaming: true,
    iteration: null,
    isSettled: false,
  });
  return draft.entries.length - 1;
}

function changeAnswer(
  draft: Draft,
  event: Event,
  change: (entry: AssistantEntry) => Partial<AssistantEntry>,
): void {
  const at = openAnswer(draft, event);
  const entry = draft.entries[at];
  if (entry?.kind === "assistant") draft.entries[at] = { ...entry, ...change(entry) };
}

/** A model call that begins while an answer of the same turn is still open: the attempt that wrote it is dead. */
function discardOpenAnswer(draft: Draft, turnId: string | null): void {
  const at = openAnswerIndex(draft, turnId);
  if (at >= 0) draft.entries.splice(at, 1);
}

function beginAnswer(draft: Draft, event: EventOf<"output.message.started">): void {
  const { iteration = null, model } = event.data;
  if (model !== undefined) draft.model = model;
  const open = draft.entries[openAnswerIndex(draft, turnOf(event))];
  const wasOnlyThinking = open?.kind === "assistant" && open.iteration === null && open.text === "";
  if (!wasOnlyThinking) discardOpenAnswer(draft, turnOf(event));
  changeAnswer(draft, event, () => ({ iteration }));
}

function completeAnswer(draft: Draft, event: EventOf<"output.message.completed">): void {
  const { message, metadata, error_code: code } = event.data;
  const turnId = turnOf(event);
  if (metadata) draft.model = metadata.model;
  if (draft.lastOutcome === "cancelled" && isInterruption(draft.entries.at(-1), turnId)) return;
  const text = textOf(message.content);
  if (code !== undefined) {
    discardOpenAnswer(draft, turnId);
    draft.entries.push({ ...opened(event), kind: "error", text, code, detail: null, isSettled: false });
    return;
  }
  changeAnswer(draft, event, (entry) => ({
    text,
    thinking: message.thinking ?? entry.thinking,
    isStreaming: false,
  }));
  const at = openAnswerIndex(draft, turnId);
  const entry = draft.entries[at];
  if (entry?.kind === "assistant") {
    if (isBlank(entry)) draft.entries.splice(at, 1);
    else draft.entries[at] = { ...entry, isSettled: true };
  }
  for (const call of toolCallsOf(message.content)) {
    const tool = newTool(`${event.id}:${call.id}`, turnId, call);
    if (openToolIndex(draft, turnId, call.id) < 0) draft.entries.push(tool);
  }
}

function isBlank(entry: AssistantEntry): boolean {
  return entry.text.trim() === "" && entry.thinking.trim() === "";
}

// ---- tools

function newTool(key: string, turnId: string | null, call: ToolCall): ToolEntry {
  return {
    key,
    turnId,
    isSettled: false,
    kind: "tool",
    callId: call.id,
    name: call.name,
    arguments: call.arguments,
    status: "pending",
    waitsFor: null,
    progress: "",
    output: "",
    error: null,
    durationMs: null,
    startedAt: null,
  };
}

/** Call ids are only unique within a turn: some providers count from one in every answer. */
function openToolIndex(draft: Draft, turnId: string | null, callId: string): number {
  return draft.entries.findLastIndex(
    (entry) => isOpen(entry, "tool", turnId) && entry.kind === "tool" && entry.callId === callId,
  );
}

function changeTool(
  draft: Draft,
  turnId: string | null,
  callId: string,
  change: (entry: ToolEntry) => Partial<ToolEntry>,
): void {
  const at = openToolIndex(draft, turnId, callId);
  const entry = draft.entries[at];
  if (entry?.kind === "tool") draft.entries[at] = { ...entry, ...change(entry) };
}

function beginTool(draft: Draft, event: EventOf<"tool.started">): void {
  const call = event.data.tool_call;
  const turnId = turnOf(event);
  if (openToolIndex(draft, turnId, call.id) < 0) draft.entries.push(newTool(event.id, turnId, call));
  changeTool(draft, turnId, call.id, () => ({
    status: "running",
    waitsFor: null,
    startedAt: event.ts,
    progress: "",
  }));
}

/** An approval is asked for by a call of its own, `tool_approval_<call id>`: what waits is the call that it is about. */
function awaitTools(draft: Draft, event: EventOf<"tool.call_requested">): void {
  for (const call of event.data.tool_calls) {
    const callId = call.id.replace(/^tool_approval_/, "");
    const waitsFor = callId === call.id ? ("client" as const) : ("approval" as const);
    const progress = waitsFor === "client" ? "waits for the client" : "waits for approval";
    changeTool(draft, turnOf(event), callId, () => ({ status: "waiting", waitsFor, progress }));
  }
}

function completeTool(draft: Draft, event: EventOf<"tool.completed">): void {
  const { tool_call_id: callId, tool_name: name, status, result, error, duration_ms } = event.data;
  const turnId = turnOf(event);
  if (openToolIndex(draft, turnId, callId) < 0) {
    draft.entries.push(newTool(event.id, turnId, { id: callId, name, arguments: null }));
  }
  changeTool(draft, turnId, callId, () => ({
    status,
    output: outputOf(result ?? []),
    error: error ?? null,
    durationMs: duration_ms ?? null,
    waitsFor: null,
    isSettled: true,
  }));
}
