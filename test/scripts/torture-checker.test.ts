/** The checker of the torture against histories made by hand: it finds what it is there for, and nothing in a sound one. */
import { describe, expect, test } from "bun:test";
import type { ExecutionMark } from "../../scripts/torture/capability.ts";
import { check, type History } from "../../scripts/torture/checker.ts";
import { CLIENT_TOOL, type Said } from "../../scripts/torture/clients.ts";
import type { Event, NewEvent } from "../../src/contract/event.ts";

const SESSION = "session_1";
const TURN = "turn_1";

const text = (words: string) => [{ type: "text" as const, text: words }];
const agent = (id: string, content: unknown) => ({
  id,
  role: "agent",
  content,
  created_at: "2026-11-22T00:00:00Z",
});

/** One sound turn with a tool call of each of two effects, deltas pruned from the log, seen by one reader. */
function sound(): History {
  const types: [NewEvent["type"], unknown][] = [
    ["session.started", {}],
    ["input.message", { message: { ...agent("message_1", text("client-1\nPlay.")), role: "user" } }],
    ["session.activated", { turn_id: TURN, input_message_id: "message_1" }],
    ["turn.started", { turn_id: TURN, input_message_id: "message_1" }],
    ["reason.started", { harness_id: "harness_1" }],
    ["output.message.started", { turn_id: TURN, iteration: 1 }],
    ["output.message.delta", { turn_id: TURN, delta: "Let me " }],
    ["output.message.delta", { turn_id: TURN, delta: "look." }],
    [
      "output.message.completed",
      {
        message: agent("message_2", [
          ...text("Let me look."),
          { type: "tool_call", id: "call_1", name: "torture_pure", arguments: {} },
          { type: "tool_call", id: "call_2", name: "torture_at_most_once", arguments: {} },
        ]),
      },
    ],
    ["reason.completed", { success: true, has_tool_calls: true, tool_call_count: 2 }],
    ["tool.completed", result("call_1")],
    ["tool.completed", result("call_2")],
    ["reason.started", { harness_id: "harness_1" }],
    ["output.message.started", { turn_id: TURN, iteration: 2 }],
    ["output.message.completed", { message: agent("message_3", text("Done.")) }],
    ["reason.completed", { success: true, has_tool_calls: false, tool_call_count: 0 }],
    ["turn.completed", { turn_id: TURN, iterations: 2 }],
    ["session.idled", { turn_id: TURN }],
  ];
  const live = types.map(([type, data], at) => eventAt(at + 1, type, data));
  const mark = (at: "began" | "ended", callId: string, ms: number): ExecutionMark => ({
    at,
    runId: TURN,
    callId,
    key: `${TURN}:${callId}`,
    effect: callId === "call_1" ? "pure" : "at_most_once",
    pid: 10,
    ms,
  });
  const step = (name: string, more: object) => ({
    runId: TURN,
    name,
    kind: "tool" as const,
    effect: null,
    status: "settled",
    finishedAtMs: 2_000,
    isOk: null,
    seenInputSequence: null,
    ...more,
  });
  return {
    sessions: [
      {
        id: SESSION,
        status: "idle",
        activeRunId: null,
        lastSequence: live.length,
        queueLength: 0,
        events: structuredClone(live.filter((event) => event.type !== "output.message.delta")),
      },
    ],
    runs: [{ id: TURN, sessionId: SESSION, state: "completed", errorCode: null, error: null, epoch: 1 }],
    steps: [
      step("reason:1", { kind: "reason", seenInputSequence: 2 }),
      step("tool:call_1", { effect: "pure", isOk: true }),
      step("tool:call_2", { effect: "at_most_once", isOk: true }),
      step("reason:2", { kind: "reason", seenInputSequence: 2 }),
    ],
    sent: [
      {
        sessionId: SESSION,
        clientMessageId: "client-1",
        tries: 2,
        isRefused: false,
        answers: [{ messageId: "message_1", sequence: 2, turnId: TURN, delivery: "started" }],
      },
    ],
    said: [],
    guarded: [],
    received: [{ sessionId: SESSION, reader: "first", seesAll: true, events: live, connections: 1 }],
    executions: [
      mark("began", "call_1", 1_000),
      mark("ended", "call_1", 1_500),
      mark("began", "call_2", 1_000),
      mark("ended", "call_2", 1_500),
    ],
    sleeps: [],
    internalErrors: [],
    postgresErrors: new Map([["57P01", 3]]),
    oddEnds: [],
  };
}

function result(callId: string) {
  return {
    tool_call_id: callId,
    tool_name: "torture",
    success: true,
    status: "success",
    result: text("lasted"),
  };
}

function eventAt(sequence: number, type: NewEvent["type"], data: unknown): Event {
  return {
    id: `event_0000000000000000${sequence.toString(16).padStart(10, "0")}`,
    type,
    ts: "2026-11-22T00:00:00.000Z",
    session_id: SESSION,
    sequence,
    context: /^session\.started/.test(type) ? {} : { turn_id: TURN },
    data,
  } as Event;
}

/** What a client said of the at_most_once call, which began at 1,000. */
const said: Said = {
  sessionId: SESSION,
  callId: "call_2",
  kind: "allow",
  text: "",
  sentMs: 900,
  isAccepted: true,
};

const log = (history: History) => history.sessions[0]!.events;
const stream = (history: History) => history.received[0]!.events;
const indexOf = (events: readonly Event[], type: Event["type"]) =>
  events.findIndex((event) => event.type === type);

/** What is done to the sound history, and the rules that it must break; it may break others with them. */
const CASES: readonly [string, (history: History) => void, readonly string[]][] = [
  ["an accepted message that is not in the log", (h) => void log(h).splice(1, 1), ["I10", "I1"]],
  [
    "an accepted message under another id",
    (h) => {
      h.sent[0]!.answers[0]!.messageId = "message_9";
    },
    ["I10"],
  ],
  [
    "a message that was accepted twice",
    (h) => {
      const again = structuredClone(log(h)[1]!);
      log(h).push({ ...again, sequence: 19, id: eventAt(19, "input.message", {}).id });
      h.sessions[0]!.lastSequence = 19;
      stream(h).push(structuredClone(log(h).at(-1)!));
    },
    ["I10"],
  ],
  [
    "a message that was refused and is in the log",
    (h) => {
      h.sent[0]!.isRefused = true;
      h.sent[0]!.answers = [];
    },
    ["I10"],
  ],
  [
    "a message that is left in a queue",
    (h) => {
      h.sessions[0]!.queueLength = 1;
    },
    ["at rest"],
  ],
  [
    "an accepted message whose turn has no end",
    (h) => {
      h.sent[0]!.answers[0]!.turnId = "turn_9";
    },
    ["I10"],
  ],
  [
    "a message that the model has not seen in a turn that completed",
    (h) => {
      for (const step of h.steps) if (step.seenInputSequence !== null) step.seenInputSequence = 1;
    },
    ["I10"],
  ],
  [
    "a hole in the log where no delta was",
    (h) => void log(h).splice(indexOf(log(h), "tool.completed"), 1),
    ["I1", "I2", "I8"],
  ],
  ["a sequence that goes back", (h) => void log(h).push(structuredClone(log(h)[3]!)), ["I1"]],
  [
    "an event id that is not of its sequence",
    (h) => {
      log(h)[4]!.id = log(h)[5]!.id;
    },
    ["I1"],
  ],
  ["a log that is shorter than the session says", (h) => void log(h).pop(), ["I1"]],
  ["an event that a client was never sent", (h) => void stream(h).splice(9, 1), ["I2"]],
  ["an event that a client was sent twice", (h) => void stream(h).splice(9, 0, stream(h)[9]!), ["I1"]],
  [
    "an event that a client was sent and that is not in the log",
    (h) => {
      stream(h)[6] = eventAt(7, "act.started", { tool_calls: [] });
    },
    ["I2"],
  ],
  [
    "an event that a client was sent with other words",
    (h) => {
      stream(h)[14] = eventAt(15, "output.message.completed", {
        message: agent("message_3", text("Other.")),
      });
    },
    ["I7"],
  ],
  [
    "a delta that two clients were sent differently",
    (h) => {
      const other = structuredClone(stream(h));
      other[6] = eventAt(7, "output.message.delta", { turn_id: TURN, delta: "Another" });
      (h.received as unknown[]).push({
        sessionId: SESSION,
        reader: "second",
        seesAll: true,
        events: other,
        connections: 1,
      });
    },
    ["I2"],
  ],
  ["a stream that stops short", (h) => void stream(h).pop(), ["I2"]],
  [
    "two turns at once",
    (h) => {
      log(h)[indexOf(log(h), "tool.completed")]!.context = { turn_id: "turn_2" };
    },
    ["I3"],
  ],
  [
    "work after the end of its turn",
    (h) => {
      const late = eventAt(19, "tool.progress", { tool_call_id: "call_1", tool_name: "t", message: "late" });
      log(h).push(late);
      stream(h).push(late);
      h.sessions[0]!.lastSequence = 19;
    },
    ["I5"],
  ],
  [
    "a turn that ends twice",
    (h) => {
      const end = eventAt(19, "turn.failed", { turn_id: TURN, error: "no" });
      log(h).push(end);
      stream(h).push(end);
      h.sessions[0]!.lastSequence = 19;
    },
    ["I6"],
  ],
  [
    "a run whose record says otherwise than its log",
    (h) => {
      h.runs[0]!.state = "failed";
    },
    ["I6"],
  ],
  [
    "a turn that failed for a reason of ours",
    (h) => Object.assign(h.runs[0]!, { state: "failed", errorCode: "processing_error" }),
    ["no inner failure"],
  ],
  [
    "a run that is still running",
    (h) => {
      h.runs[0]!.state = "running";
    },
    ["at rest"],
  ],
  [
    "a session that is still active",
    (h) => {
      h.sessions[0]!.activeRunId = TURN;
    },
    ["at rest"],
  ],
  [
    "a call without a result before the next model call",
    (h) => {
      const at = indexOf(log(h), "tool.completed");
      log(h)[at] = eventAt(11, "tool.progress", { tool_call_id: "call_1", tool_name: "t", message: "m" });
    },
    ["I8"],
  ],
  [
    "two results of one call",
    (h) => {
      const at = indexOf(log(h), "tool.completed");
      log(h)[at] = eventAt(11, "tool.completed", result("call_2"));
    },
    ["I8"],
  ],
  [
    "an act that is completed before its calls are",
    (h) => {
      const at = indexOf(log(h), "reason.completed");
      log(h)[at] = eventAt(10, "act.completed", { completed: true, success_count: 2, error_count: 0 });
    },
    ["I8"],
  ],
  ["a step that is stored twice", (h) => void h.steps.push(structuredClone(h.steps[0]!)), ["I4"]],
  [
    "a settled step that runs again",
    (h) => void (h.executions as ExecutionMark[]).push({ ...h.executions[0]!, pid: 11, ms: 2_100 }),
    ["I4"],
  ],
  [
    "a result without an execution that came to its end",
    (h) => void (h.executions as ExecutionMark[]).splice(1, 1),
    ["I4"],
  ],
  [
    "a call that ran under two keys",
    (h) => void (h.executions as ExecutionMark[]).push({ ...h.executions[0]!, pid: 11, key: "other" }),
    ["I4"],
  ],
  [
    "an at_most_once call that ran twice, however early",
    (h) => void (h.executions as ExecutionMark[]).push({ ...h.executions[2]!, pid: 11, ms: 900 }),
    ["I11"],
  ],
  [
    "a result of the client's tool that no client said",
    (h) => {
      for (const list of [log(h), stream(h)]) {
        const event = list.find((one) => one.type === "tool.completed")!;
        (event.data as { tool_name: string }).tool_name = CLIENT_TOOL;
      }
    },
    ["client results"],
  ],
  [
    "a result that was accepted and is not in the log",
    (h) => void (h.said as Said[]).push({ ...said, kind: "result", text: "result 1" }),
    ["client results"],
  ],
  [
    "a guarded call that ran without consent",
    (h) => {
      (h.guarded as string[]).push(SESSION);
      (h.said as Said[]).push({ ...said, kind: "reject" }, { ...said, kind: "allow", sentMs: 1_001 });
    },
    ["approvals"],
  ],
  ["an answer with 500", (h) => void (h.internalErrors as string[]).push("POST …"), ["no 500"]],
  [
    "a deadlock in the server's log",
    (h) => void (h.postgresErrors as Map<string, number>).set("40P01", 1),
    ["no deadlock"],
  ],
  [
    "a process that ended by itself",
    (h) => void (h.oddEnds as string[]).push("worker-1 …"),
    ["no process ends by itself"],
  ],
];

describe("the checker of the torture", () => {
  test("finds nothing in a sound history, with pruned deltas and a repeated POST", () => {
    expect(check(sound())).toEqual({ violations: [], lateExecutions: 0 });
  });

  test("finds nothing in a guarded call that ran after somebody had allowed it", () => {
    const history = sound();
    (history.guarded as string[]).push(SESSION);
    (history.said as Said[]).push(said);
    expect(check(history)).toEqual({ violations: [], lateExecutions: 0 });
  });

  test("finds nothing in a message that came in the middle of an answer, between deltas", () => {
    const history = sound();
    const message = eventAt(7, "input.message", {
      message: { ...agent("message_9", text("client-9\nAnd this.")), role: "user" },
    });
    log(history).splice(6, 0, message);
    stream(history)[6] = message;
    expect(check(history)).toEqual({ violations: [], lateExecutions: 0 });
  });

  for (const [what, damage, rules] of CASES) {
    test(`finds ${what} (${rules.join(", ")})`, () => {
      const history = sound();
      damage(history);
      const broken = new Set(check(history).violations.map((violation) => violation.rule));
      expect([...broken]).toEqual(expect.arrayContaining([...rules]));
    });
  }

  test("counts a late execution of a pure call by a process that had slept since before it was settled", () => {
    const history = sound();
    (history.executions as ExecutionMark[]).push({ ...history.executions[0]!, pid: 11, ms: 5_000 });
    (history.sleeps as unknown[]).push({ pid: 11, fromMs: 900, toMs: 4_900 });
    expect(check(history)).toEqual({ violations: [], lateExecutions: 1 });
  });
});
