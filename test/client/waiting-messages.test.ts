/** Messages that the agent has not read: those that steer a turn, and the queue behind it. */
import { describe, expect, test } from "bun:test";
import { emptyTranscript, foldTranscript } from "../../src/client/transcript.ts";
import type { NewEvent } from "../../src/contract/event.ts";
import { messageIdOf, sessionIdOf, stamp, turnEvents, turnIdOf } from "./support/events.ts";

const message = (number: number, text: string) => ({
  id: messageIdOf(number),
  role: "user" as const,
  content: [{ type: "text" as const, text }],
  created_at: "2026-08-01T10:00:00.000Z",
});
const [first, ...others] = [1, 2, 3].map(turnIdOf) as [string, string, string];
const [second] = others as [string, string];
const turn = turnEvents({ turnId: first, input: "go", reasons: [{ chunks: ["one"] }] });
const at = (type: string) => turn.findIndex((event) => event.type === type);
const begun = turn.slice(0, at("output.message.delta"));
const steering = (number: number, text: string): NewEvent => ({
  type: "input.message",
  data: { message: message(number, text) },
  context: { turn_id: first },
});
const queued = (number: number, text: string): NewEvent => ({
  type: "input.queued",
  data: { message: message(number, text), turn_id: turnIdOf(number), queue_position: 1 },
});
const waiting = (events: readonly NewEvent[]) =>
  foldTranscript(emptyTranscript, stamp(events, sessionIdOf(1))).waiting.map(
    ({ delivery, text }) => `${delivery} ${text}`,
  );

const cases: [string, NewEvent[], string[]][] = [
  ["the message that begins a turn is read by it", begun, []],
  ["one that steers waits for the next model call", [...begun, steering(5, "stop")], ["steer stop"]],
  [
    "and is read by that",
    [...begun, steering(5, "stop"), ...turn.filter(({ type }) => type === "reason.started")],
    [],
  ],
  ["or ends with the turn", [...begun, steering(5, "stop"), ...turn.slice(at("turn.completed"))], []],
  [
    "before the first model call of its turn nothing waits",
    [...turn.slice(0, at("reason.started")), steering(5, "also")],
    [],
  ],
  [
    "those that steer stand before the queue",
    [...begun, queued(7, "then"), steering(5, "stop"), queued(8, "last")],
    ["steer stop", "queue then", "queue last"],
  ],
  [
    "the queue outlives the turn",
    [...begun, queued(7, "then"), ...turn.slice(at("turn.completed"))],
    ["queue then"],
  ],
  [
    "a message that was changed keeps its place",
    [...begun, queued(7, "then"), queued(8, "last"), queued(7, "now")],
    ["queue now", "queue last"],
  ],
  [
    "one that was taken back is gone",
    [
      ...begun,
      queued(7, "then"),
      { type: "input.withdrawn", data: { message_id: messageIdOf(7), turn_id: second } },
    ],
    [],
  ],
  [
    "so is one whose turn begins",
    [
      ...begun,
      queued(7, "then"),
      { type: "input.promoted", data: { message_id: messageIdOf(7), turn_id: second } },
    ],
    [],
  ],
];

describe("a message", () => {
  for (const [name, events, expected] of cases) {
    test(name, () => expect(waiting(events)).toEqual(expected));
  }
});

test("what was queued before a fork waits in the other session, not in this one", () => {
  const events = stamp([...begun, queued(7, "theirs"), queued(8, "ours")], sessionIdOf(1));
  const inheritedUntil = begun.length + 1;
  expect(
    foldTranscript({ ...emptyTranscript, inheritedUntil }, events).waiting.map(({ text }) => text),
  ).toEqual(["ours"]);
});

test("the context is what the last model call carried, in and out", () => {
  const fold = (events: readonly NewEvent[]) =>
    foldTranscript(emptyTranscript, stamp(events, sessionIdOf(1))).contextTokens;
  expect(fold(begun)).toBeNull();
  expect(
    fold(turnEvents({ turnId: first, input: "go", reasons: [{ chunks: ["a"] }, { chunks: ["b"] }] })),
  ).toBe(15);
});
