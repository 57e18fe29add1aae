import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  emptyTranscript,
  foldTranscript,
  settledCount,
  type Transcript,
  tokensOf,
} from "../../src/client/transcript.ts";
import { DELTA_TYPES, type Event, eventDefinitions, type NewEvent } from "../../src/contract/event.ts";
import { type ReasonScript, sessionIdOf, stamp, turnEvents, turnIdOf } from "./support/events.ts";

const SESSION = sessionIdOf(1);
const fold = (events: readonly Event[], view: Transcript = emptyTranscript) => foldTranscript(view, events);

const chunks = fc.array(fc.constantFrom("a", "bc ", "déjà", "\n", "🙂"), { maxLength: 5 });
const tool = fc.record({
  id: fc.constantFrom("call_1", "call_2"),
  name: fc.constantFrom("read_file", "get_current_time"),
  arguments: fc.constant({ path: "/a" }),
  output: fc.string({ maxLength: 5 }),
  status: fc.constantFrom("success" as const, "error" as const),
});
const reason: fc.Arbitrary<ReasonScript> = fc.record({
  chunks,
  thinking: fc.array(fc.constantFrom("hm", " so"), { minLength: 1, maxLength: 3 }),
  tools: fc.uniqueArray(tool, { maxLength: 2, selector: ({ id }) => id }),
  dead: fc.array(chunks, { maxLength: 2 }),
});
const turn = fc.record({
  input: fc.string({ maxLength: 8 }),
  reasons: fc.array(reason, { minLength: 1, maxLength: 3 }),
  end: fc.constantFrom("completed" as const, "failed" as const, "sealed" as const, "cancelled" as const),
});
const turns = fc.array(turn, { maxLength: 3 });
type Turns = typeof turns extends fc.Arbitrary<infer T> ? T : never;

const newEventsOf = (script: Turns) =>
  script.flatMap((part, index) => turnEvents({ turnId: turnIdOf(index + 1), ...part }));
const eventsOf = (script: Turns) => stamp(newEventsOf(script), SESSION);
const log = turns.map(eventsOf);
/** What a reader sees, without the marks of how it came about. */
const readable = (view: Transcript) => ({
  entries: view.entries.map(({ key: _key, ...entry }) => ({ ...entry, startedAt: null })),
  status: view.status,
  lastOutcome: view.lastOutcome,
  model: view.model,
});

describe("the fold of events into a transcript", () => {
  test("may be cut anywhere: fold(fold(a), b) = fold(a ++ b)", () => {
    fc.assert(
      fc.property(log, fc.nat(), (events, cut) => {
        const at = cut % (events.length + 1);
        expect(fold(events.slice(at), fold(events.slice(0, at)))).toEqual(fold(events));
      }),
    );
  });

  test("ignores events that it has seen: a replayed stream is harmless", () => {
    fc.assert(
      fc.property(log, fc.nat(), (events, cut) => {
        const at = cut % (events.length + 1);
        expect(fold(events.slice(at), fold(events))).toEqual(fold(events));
      }),
    );
  });

  test("needs no deltas: the completed messages carry everything", () => {
    fc.assert(
      fc.property(log, (events) => {
        const pruned = events.filter(({ type }) => !(DELTA_TYPES as readonly string[]).includes(type));
        expect(fold(pruned).entries).toEqual(fold(events).entries);
      }),
    );
  });

  test("shows nothing of an attempt that died", () => {
    fc.assert(
      fc.property(turns, (script) => {
        const alive = script.map((part) => ({
          ...part,
          reasons: part.reasons.map((each) => ({ ...each, dead: [] })),
        }));
        expect(readable(fold(eventsOf(script)))).toEqual(readable(fold(eventsOf(alive))));
      }),
    );
  });

  test("never changes an entry that it called settled", () => {
    fc.assert(
      fc.property(log, (events) => {
        let view = emptyTranscript;
        for (const event of events) {
          const before = view.entries.slice(0, settledCount(view));
          view = fold([event], view);
          expect(view.entries.slice(0, before.length)).toEqual(before);
        }
        expect(settledCount(view)).toBe(view.entries.length);
      }),
    );
  });

  test("leaves the view that it was given as it was", () => {
    fc.assert(
      fc.property(log, fc.nat(), (events, cut) => {
        const view = fold(events.slice(0, cut % (events.length + 1)));
        const copy = structuredClone(view);
        fold(events, view);
        expect(view).toEqual(copy);
      }),
    );
  });

  test("gives every entry a key of its own", () => {
    fc.assert(
      fc.property(log, (events) => {
        const keys = fold(events).entries.map(({ key }) => key);
        expect(new Set(keys).size).toBe(keys.length);
      }),
    );
  });

  test("takes an event type that it does not know as a step of the cursor", () => {
    const foreign = { ...stamp(newEventsOf([]), SESSION)[0], type: "moon.rose", id: "event_x", sequence: 7 };
    const view = fold([foreign as unknown as Event]);
    expect({ entries: view.entries, sequence: view.sequence }).toEqual({ entries: [], sequence: 7 });
  });

  test("decides on every event type of the registry", () => {
    for (const { type } of eventDefinitions) {
      const event = { ...ANY_EVENT, type } as unknown as Event;
      expect(fold([event]).sequence, type).toBe(1);
    }
  });
});

/** Data enough for every type: the fold reads only what its type has. */
const ANY_EVENT = {
  id: "event_1",
  sequence: 1,
  ts: "2026-08-01T10:00:00.000Z",
  context: {},
  data: {
    turn_id: turnIdOf(1),
    message: { content: [] },
    metadata: { model: "m" },
    tool_call: { id: "c", name: "t", arguments: {} },
    tool_calls: [{ id: "tool_approval_c", name: "approve_tool_call", arguments: {} }],
    tool_call_id: "c",
    tool_name: "t",
    status: "success",
    result: [],
    delta: "",
    thinking: "",
    reason: "",
    error: "",
  },
};

describe("a call that waits for somebody", () => {
  const turn = turnIdOf(1);
  const call = { id: "c1", name: "click", arguments: { x: 1 } };
  const asked = (id: string): NewEvent => ({
    type: "tool.call_requested",
    context: { turn_id: turn },
    data: { tool_calls: [{ ...call, id }] },
  });
  const started: NewEvent = { type: "tool.started", context: { turn_id: turn }, data: { tool_call: call } };
  const shown = (...events: NewEvent[]) => {
    const [entry] = fold(stamp([started, ...events], SESSION)).entries;
    return entry?.kind === "tool" ? [entry.status, entry.progress] : entry;
  };

  test("says for whom, and runs again when it was allowed", () => {
    expect(shown(asked("c1"))).toEqual(["waiting", "waits for the client"]);
    expect(shown(asked("tool_approval_c1"))).toEqual(["waiting", "waits for approval"]);
    const allowed: NewEvent = {
      type: "tool.progress",
      context: { turn_id: turn },
      data: { tool_call_id: "c1", tool_name: "click", message: "allowed" },
    };
    expect(shown(asked("tool_approval_c1"), allowed)).toEqual(["running", "allowed"]);
  });
});

describe("a turn with tools", () => {
  const events = eventsOf([
    {
      input: "What time is it?",
      reasons: [
        {
          chunks: ["Let me ", "look."],
          thinking: ["I need a clock."],
          tools: [
            { id: "call_1", name: "get_current_time", arguments: {}, output: "10:00", status: "success" },
          ],
          dead: [["Let me see"]],
        },
        { chunks: ["It is ", "ten."] },
      ],
      end: "completed",
    },
  ] as unknown as Turns);

  test("reads as question, thought, tool and answer", () => {
    const view = fold(events);
    expect(view.entries).toMatchObject([
      { kind: "user", text: "What time is it?" },
      { kind: "assistant", text: "Let me look.", thinking: "I need a clock.", isStreaming: false },
      { kind: "tool", name: "get_current_time", status: "success", output: "10:00", durationMs: 12 },
      { kind: "assistant", text: "It is ten.", isStreaming: false },
    ]);
    expect(view).toMatchObject({
      status: "idle",
      turnId: null,
      lastOutcome: "completed",
      model: "llmsim-echo",
    });
    expect(tokensOf(view.usage)).toBe(30);
  });

  test("takes the turn's own usage over what it counted itself", () => {
    const total = { input_tokens: 100, output_tokens: 1, effective_cost_usd: 0.5 };
    const counted = events.map((event) =>
      event.type === "turn.completed" ? { ...event, data: { ...event.data, usage: total } } : event,
    );
    expect(fold(counted).usage).toEqual(total);
  });

  test("streams: the open answer grows and is not settled", () => {
    const at = events.findIndex(({ type }) => type === "output.message.delta");
    const view = fold(events.slice(0, at + 1));
    expect(view.entries.at(-1)).toMatchObject({ kind: "assistant", text: "Let me see", isStreaming: true });
    expect(settledCount(view)).toBe(1);
  });

  test("prefers `accumulated`, which heals a hole in the deltas", () => {
    const delta = events.find(({ type }) => type === "output.message.delta") as Event;
    const whole = { ...delta, sequence: 2, data: { ...delta.data, delta: "c", accumulated: "abc" } } as Event;
    const view = fold([{ ...delta, sequence: 1 } as Event, whole]);
    expect(view.entries).toMatchObject([{ text: "abc" }]);
  });
});

describe("a turn that ends otherwise", () => {
  const cases = [
    ["failed", { kind: "error", text: "The model could not be reached.", detail: "status 503" }],
    ["sealed", { kind: "error", text: "The turn was ended: no_progress" }],
    ["cancelled", { kind: "notice", text: "interrupted" }],
  ] as const;
  for (const [end, last] of cases) {
    test(`${end}: says so once`, () => {
      const view = fold(
        eventsOf([{ input: "go", reasons: [{ chunks: ["so far"] }], end }] as unknown as Turns),
      );
      expect(view.entries.map(({ kind }) => kind)).toEqual(["user", "assistant", last.kind]);
      expect(view.entries.at(-1)).toMatchObject(last);
      expect(view.lastOutcome).toBe(end);
    });
  }

  test("keeps what had been said when it was cut off, and marks tools that never ended", () => {
    const events = turnEvents({
      turnId: turnIdOf(1),
      input: "go",
      reasons: [{ chunks: ["half"], tools: [{ id: "c", name: "bash", arguments: {}, output: "" }] }],
      end: "cancelled",
    }).filter(({ type }) => type !== "tool.completed");
    expect(fold(stamp(events, SESSION)).entries).toMatchObject([
      { kind: "user" },
      { kind: "assistant", text: "half" },
      { kind: "tool", status: "interrupted" },
      { kind: "notice" },
    ]);
  });
});
