import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { newId } from "../../src/base/id.ts";
import type { Event, NewEvent } from "../../src/contract/event.ts";
import type { ContentPart, Message } from "../../src/contract/message.ts";
import { modelMessages } from "../../src/engine/history.ts";
import { eventTokens, fitHistory, historyTokensMax, isEnough } from "../../src/engine/history-window.ts";

const message = (role: Message["role"], content: ContentPart[]): Message => ({
  id: newId("message"),
  role,
  content,
  created_at: "2026-01-01T00:00:00.000Z",
});
const user = (text: string): NewEvent => ({
  type: "input.message",
  data: { message: message("user", [{ type: "text", text }]) },
});
const started: NewEvent = { type: "reason.started", data: { harness_id: "harness_0" } };
const answer = (text: string, callIds: readonly string[] = []): NewEvent => ({
  type: "output.message.completed",
  data: {
    metadata: { model: "llmsim" },
    message: message("agent", [
      { type: "text", text },
      ...callIds.map((id) => ({ type: "tool_call" as const, id, name: "look", arguments: {} })),
    ]),
  },
});
const result = (id: string, text: string): NewEvent => ({
  type: "tool.completed",
  data: {
    tool_call_id: id,
    tool_name: "look",
    success: true,
    status: "success",
    result: [{ type: "text", text }],
  },
});

/** One turn, as its steps: each a model call with so many tool calls; text of so many bytes everywhere. */
interface TurnShape {
  steps: { calls: number; steered: boolean }[];
  bytes: number;
}

/** A log of whole turns; the last one is under way, with the announcement of its next model call at the end. */
function logOf(turns: readonly TurnShape[]): Event[] {
  const events: Event[] = [];
  let sequence = 0;
  for (const [number, { steps, bytes }] of turns.entries()) {
    const add = (...list: NewEvent[]) => {
      for (const event of list) {
        // Other events lie between those of the history.
        sequence += 3;
        events.push({
          id: newId("event"),
          ts: "2026-01-01T00:00:00.000Z",
          session_id: "session_0",
          sequence,
          context: { turn_id: `turn_${number}` },
          ...event,
        } as Event);
      }
    };
    const text = (name: string) => `${name} `.padEnd(bytes, "x");
    add(user(text(`${number}`)));
    for (const [step, { calls, steered }] of steps.entries()) {
      const ids = Array.from({ length: calls }, (_, call) => `call_${number}_${step}_${call}`);
      add(started);
      if (steered) add(user(text(`${number}.${step}`)));
      add(
        answer(text(`answer ${number}.${step}`), ids),
        ...ids.toReversed().map((id) => result(id, text(id))),
      );
    }
    if (number === turns.length - 1) add(started);
  }
  return events;
}

const sum = (events: readonly Event[]) => events.reduce((total, event) => total + eventTokens(event), 0);
const inputOf = (events: readonly Event[]) => {
  const turnId = events.at(-1)?.context.turn_id;
  return events.find((event) => event.context.turn_id === turnId)?.sequence ?? 0;
};
const whole = (events: readonly Event[], tokensMax: number) => ({
  tokensMax,
  inputSequence: inputOf(events),
  isWhole: true,
  isClean: true,
});

const shape = fc.record({
  steps: fc.array(fc.record({ calls: fc.nat(3), steered: fc.boolean() }), { maxLength: 4 }),
  bytes: fc.integer({ min: 10, max: 300 }),
});

describe("how much of a conversation a model call shows", () => {
  test("all of it, when it fits", () => {
    const events = logOf([
      { steps: [{ calls: 2, steered: false }], bytes: 100 },
      { steps: [], bytes: 100 },
    ]);
    expect(fitHistory(events, whole(events, sum(events)))).toEqual({ events, isCut: false });
  });

  test("I8: cut only where nothing is torn, never the turn under way, and as the model would read it", () => {
    fc.assert(
      fc.property(fc.array(shape, { minLength: 1, maxLength: 12 }), fc.nat(4_000), (turns, tokensMax) => {
        const events = logOf(turns);
        const window = whole(events, Math.max(1, tokensMax));
        const { events: shown, isCut } = fitHistory(events, window);
        expect(isCut).toBe(shown.length < events.length);
        expect(shown[0]?.type).toBe("input.message");
        const current = events.filter(({ sequence }) => sequence >= window.inputSequence);
        const inputs = (list: readonly Event[]) => list.filter(({ type }) => type === "input.message");
        expect(inputs(shown).slice(-inputs(current).length)).toEqual(inputs(current));
        // The newest model call that was answered, with all of its results, is always there.
        const last = current.findLastIndex(({ type }) => type === "output.message.completed");
        if (last !== -1) expect(shown.slice(-(current.length - last))).toEqual(current.slice(last));

        const [all, some] = [modelMessages(events), modelMessages(shown)];
        if (shown.length >= current.length) expect(some).toEqual(all.slice(all.length - some.length));
        const asked = new Set<string>();
        for (const one of some) {
          if (one.role === "assistant") for (const call of one.toolCalls) asked.add(call.id);
          if (one.role === "tool") expect(asked.delete(one.toolCallId) && !one.isError).toBe(true);
        }
        expect([...asked]).toEqual([]);
        if (sum(shown) > window.tokensMax) {
          // Then less was not possible: only messages of the user and one model call are left.
          const calls = shown.filter(({ type }) => type === "reason.started").length;
          expect(calls).toBeLessThanOrEqual(2);
          expect(shown.every(({ sequence }) => sequence >= window.inputSequence)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("is the same however far back was read, once that is enough", () => {
    fc.assert(
      fc.property(
        fc.array(shape, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 200, max: 3_000 }),
        fc.nat(),
        (turns, tokensMax, from) => {
          const events = logOf(turns);
          const window = whole(events, tokensMax);
          const first = from % events.length;
          const page = events.slice(first);
          if ((page[0]?.sequence ?? 0) > window.inputSequence || !isEnough(page, window)) return;
          expect(fitHistory(page, { ...window, isWhole: first === 0, isClean: false })).toEqual(
            fitHistory(events, window),
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  test("shown again with nothing new, it stays as it is", () => {
    fc.assert(
      fc.property(fc.array(shape, { minLength: 1, maxLength: 12 }), fc.nat(4_000), (turns, tokensMax) => {
        const events = logOf(turns);
        const window = whole(events, Math.max(1, tokensMax));
        const shown = fitHistory(events, window);
        const again = fitHistory(shown.events, { ...window, isWhole: !shown.isCut });
        expect(again).toEqual(shown);
      }),
      { numRuns: 500 },
    );
  });

  test("the cut stays for many turns, so that a provider's cache of the beginning is of use", () => {
    const turns = Array.from({ length: 600 }, () => ({ steps: [{ calls: 1, steered: false }], bytes: 60 }));
    const events = logOf(turns);
    const starts = events.filter(({ type }) => type === "input.message");
    let moves = 0;
    let calls = 0;
    let before = 0;
    for (const start of starts.slice(100)) {
      const log = events.filter(({ sequence }) => sequence <= start.sequence);
      const shown = fitHistory(log, whole(log, 5_000));
      expect(sum(shown.events)).toBeGreaterThan(2_000);
      const first = shown.events[0]?.sequence ?? 0;
      calls += 1;
      if (first !== before) moves += 1;
      before = first;
    }
    expect(calls).toBe(500);
    expect(moves).toBeLessThan(calls / 10);
  });

  test("thousands of tiny messages end somewhere, too", () => {
    const events = logOf(Array.from({ length: 5_000 }, () => ({ steps: [], bytes: 1 })));
    const shown = fitHistory(events, whole(events, 1_000_000_000));
    expect(shown.isCut).toBe(true);
    expect(shown.events.length).toBeLessThanOrEqual(4_000);
    expect(shown.events.length).toBeGreaterThanOrEqual(2_000);
  });

  test("tokens are never fewer than a tokenizer would count; a picture has a price of its own", () => {
    const of = (content: ContentPart[]) =>
      eventTokens({
        ...(logOf([{ steps: [], bytes: 1 }])[0] as Event),
        data: { message: message("user", content) },
      } as Event);
    expect(of([{ type: "text", text: "x".repeat(300) }])).toBe(108);
    expect(of([{ type: "text", text: "日".repeat(100) }])).toBe(108);
    expect(of([{ type: "image", base64: "A".repeat(1_000_000), media_type: "image/png" }])).toBe(1_608);
  });

  test("what is left of a model's window", () => {
    const empty = { system: "", tools: [] };
    expect(historyTokensMax("llmsim", empty)).toBe(136_000);
    expect(historyTokensMax("llmsim", { system: "x".repeat(3_000), tools: ["x".repeat(3_000)] })).toBe(
      134_000,
    );
    expect(historyTokensMax("some-model-of-yours", empty)).toBe(112_000);
    expect(historyTokensMax("llmsim", { system: "x".repeat(1_000_000), tools: [] })).toBe(2_000);
  });
});
