import { describe, expect, test } from "bun:test";
import type { Event, NewEvent } from "../../src/contract/event.ts";
import type { Message } from "../../src/contract/message.ts";
import { INTERRUPTED_RESULT, modelMessages, usedCallIds } from "../../src/engine/history.ts";

/** Events as a log: sequences from 1, the rest of the envelope is of no interest here. */
function log(...events: NewEvent[]): Event[] {
  return events.map((event, index) => ({
    id: "event_0",
    ts: "2026-01-01T00:00:00.000Z",
    session_id: "session_0",
    sequence: index + 1,
    context: {},
    ...event,
  })) as Event[];
}

const message = (role: Message["role"], content: Message["content"]): Message => ({
  id: "message_0",
  role,
  content,
  created_at: "2026-01-01T00:00:00.000Z",
});
const user = (text: string): NewEvent => ({
  type: "input.message",
  data: { message: message("user", [{ type: "text", text }]) },
});
const started: NewEvent = { type: "reason.started", data: { harness_id: "harness_0" } };
const answer = (text: string, calls: string[] = []): NewEvent => ({
  type: "output.message.completed",
  data: {
    message: message("agent", [
      { type: "text", text },
      ...calls.map((id) => ({ type: "tool_call" as const, id, name: "look", arguments: { id } })),
    ]),
    metadata: { model: "llmsim" },
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

/** The conversation in short: who said what. */
function short(events: Event[], upTo?: number): string[] {
  return modelMessages(events, upTo).map((one) => {
    if (one.role === "user")
      return `user: ${one.content.map((part) => (part.type === "text" ? part.text : part.type)).join()}`;
    if (one.role === "tool") return `tool ${one.toolCallId}${one.isError ? "!" : ""}: ${one.content}`;
    const calls = one.toolCalls.map((call) => call.id).join(",");
    return `assistant: ${one.text}${calls ? ` -> ${calls}` : ""}`;
  });
}

describe("the log as messages for the model", () => {
  test("a plain exchange keeps its order", () => {
    expect(short(log(user("a"), started, answer("b"), user("c")))).toEqual([
      "user: a",
      "assistant: b",
      "user: c",
    ]);
  });

  test("results come in the order of the calls, however they finished", () => {
    const events = log(user("a"), started, answer("", ["x", "y"]), result("y", "2"), result("x", "1"));
    expect(short(events)).toEqual(["user: a", "assistant:  -> x,y", "tool x: 1", "tool y: 2"]);
  });

  test("a message that came while the model answered follows the answer", () => {
    const events = log(user("a"), started, user("wait"), answer("b"));
    expect(short(events)).toEqual(["user: a", "assistant: b", "user: wait"]);
  });

  test("a message that came while tools ran follows their results", () => {
    const events = log(user("a"), started, answer("", ["x"]), user("wait"), result("x", "1"));
    expect(short(events)).toEqual(["user: a", "assistant:  -> x", "tool x: 1", "user: wait"]);
  });

  test("a message that came before a repeated model call was seen by it", () => {
    const events = log(user("a"), started, user("wait"), started, answer("b"));
    expect(short(events)).toEqual(["user: a", "user: wait", "assistant: b"]);
  });

  test("I8: a call without a result gets one that says so, before the next message", () => {
    const events = log(user("a"), started, answer("", ["x", "y"]), result("x", "1"), user("b"), started);
    expect(short(events)).toEqual([
      "user: a",
      "assistant:  -> x,y",
      "tool x: 1",
      `tool y!: ${INTERRUPTED_RESULT}`,
      "user: b",
    ]);
  });

  test("a cancelled turn reads in the order in which it happened", () => {
    const cancelled: NewEvent = {
      type: "output.message.completed",
      data: { message: message("agent", [{ type: "text", text: "Work was cancelled by user." }]) },
    };
    const events = log(
      user("a"),
      started,
      answer("", ["x"]),
      user("User requested to cancel the work."),
      cancelled,
      user("b"),
    );
    expect(short(events)).toEqual([
      "user: a",
      "assistant:  -> x",
      `tool x!: ${INTERRUPTED_RESULT}`,
      "user: User requested to cancel the work.",
      "assistant: Work was cancelled by user.",
      "user: b",
    ]);
  });

  test("what a failed turn told the person is not put into the model's mouth", () => {
    const failed: NewEvent = {
      type: "output.message.completed",
      data: {
        message: message("agent", [{ type: "text", text: "Sorry." }]),
        error_code: "provider_unavailable",
      },
    };
    expect(short(log(user("a"), started, failed, user("b")))).toEqual(["user: a", "user: b"]);
  });

  test("a model call sees nothing that came after its announcement", () => {
    expect(short(log(user("a"), started, user("later")), 2)).toEqual(["user: a"]);
  });

  test("arguments that were not JSON go back as they were written", () => {
    const broken: NewEvent = {
      type: "output.message.completed",
      data: {
        message: message("agent", [{ type: "tool_call", id: "x", name: "look", arguments: '{"a": ' }]),
        metadata: { model: "llmsim" },
      },
    };
    const [first] = modelMessages(log(broken));
    expect(first).toMatchObject({ role: "assistant", toolCalls: [{ id: "x", argumentsJson: '{"a": ' }] });
  });

  test("reasoning items go back with the answer that they belong to", () => {
    const item: NewEvent = {
      type: "reason.item",
      data: { turn_id: "turn_0", provider: "openai", item_id: "rs_1", encrypted_content: "zzz" },
    };
    const messages = modelMessages(log(user("a"), started, item, answer("b"), started, answer("c")));
    expect(messages[1]).toMatchObject({
      text: "b",
      reasoningItems: [{ provider: "openai", itemId: "rs_1", summary: [], encryptedContent: "zzz" }],
    });
    expect(messages[2]).toMatchObject({ text: "c", reasoningItems: [] });
  });

  test("every call id of the log is known", () => {
    expect(usedCallIds(log(answer("", ["x", "y"]), answer("", ["z"])))).toEqual(new Set(["x", "y", "z"]));
  });

  test("I8: a result that comes after the turn was cut short takes the place of the one made up for it", () => {
    const failed: NewEvent = {
      type: "output.message.completed",
      data: { message: message("agent", [{ type: "text", text: "Something broke." }]), error_code: "x" },
    };
    const events = log(user("hi"), started, answer("a", ["c1", "c2"]), result("c1", "one"), failed);
    expect(short(events).at(-1)).toBe(`tool c2!: ${INTERRUPTED_RESULT}`);
    const retried = log(
      ...[user("hi"), started, answer("a", ["c1", "c2"]), result("c1", "one"), failed],
      ...[result("c2", "two"), started, answer("b")],
    );
    expect(short(retried)).toEqual([
      "user: hi",
      "assistant: a -> c1,c2",
      "tool c1: one",
      "tool c2: two",
      "assistant: b",
    ]);
  });
});
