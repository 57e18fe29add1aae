import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { manualClock } from "../../src/base/clock.ts";
import type { EventContext, NewEvent } from "../../src/contract/event.ts";
import { limits } from "../../src/contract/limits.ts";
import { createDeltaStream } from "../../src/engine/deltas.ts";

/** A stream whose writes settle when the test says so. */
function open(options: { isRefused?: boolean; context?: EventContext } = {}) {
  const clock = manualClock();
  const written: NewEvent[][] = [];
  let settle = Promise.withResolvers<void>();
  let isHeld = false;
  const stream = createDeltaStream({
    clock,
    turnId: "turn_1",
    messageId: "message_1",
    model: "m",
    context: options.context ?? {},
    async write(events) {
      written.push(events);
      if (isHeld) await settle.promise;
      if (options.isRefused) throw new Error("refused");
    },
  });
  return {
    clock,
    stream,
    written,
    hold() {
      isHeld = true;
      settle = Promise.withResolvers();
    },
    release() {
      isHeld = false;
      settle.resolve();
    },
  };
}
const settled = () => Bun.sleep(0);
const text = (events: readonly NewEvent[], type: NewEvent["type"] = "output.message.delta") =>
  events.flatMap((event) => (event.type === type ? [(event.data as { delta: string }).delta] : [])).join("");

describe("token deltas", () => {
  test("the first goes out at once, what follows within the interval goes together", async () => {
    const { clock, stream, written } = open();
    stream.add("text", "a");
    expect(written).toHaveLength(1);
    stream.add("text", "b");
    stream.add("text", "c");
    await settled();
    await clock.advance(limits.deltaIntervalMs - 1);
    await settled();
    expect(written.map((events) => text(events))).toEqual(["a"]);
    await clock.advance(1);
    await settled();
    expect(written.map((events) => text(events))).toEqual(["a", "bc"]);
  });

  test("a full kilobyte does not wait for the interval", async () => {
    const { stream, written } = open();
    stream.add("text", "a");
    await settled();
    stream.add("text", "x".repeat(limits.deltaBytes));
    await settled();
    expect(written).toHaveLength(2);
  });

  test("one write at a time: what comes during a slow one goes with the next", async () => {
    const { clock, stream, written, hold, release } = open();
    hold();
    stream.add("text", "a");
    for (const piece of ["b", "c", "d"]) {
      stream.add("text", piece);
      await clock.advance(limits.deltaIntervalMs);
      await settled();
    }
    expect(written).toHaveLength(1);
    release();
    await settled();
    expect(written.map((events) => text(events))).toEqual(["a", "bcd"]);
  });

  test("slow writes stretch the interval up to its bound, quick ones restore it", async () => {
    const { clock, stream, written, hold, release } = open();
    const writeOf = async (writeMs: number) => {
      const count = written.length;
      hold();
      stream.add("text", "a");
      // Until the write of it begins.
      let waitedMs = 0;
      for (; written.length === count; waitedMs += 10) {
        await clock.advance(10);
        await settled();
      }
      await clock.advance(writeMs);
      release();
      await settled();
      return waitedMs;
    };
    const { deltaIntervalMs, deltaIntervalMaxMs } = limits;
    expect(await writeOf(40)).toBe(0);
    // One slow write alone changes nothing.
    expect(await writeOf(40)).toBe(deltaIntervalMs - 40);
    expect(await writeOf(100)).toBe(deltaIntervalMs + 60 - 40);
    expect(await writeOf(100)).toBe(deltaIntervalMs + 60 - 100);
    expect(await writeOf(1_000)).toBe(deltaIntervalMaxMs - 100);
    // Longer than the bound: the next goes out at once.
    expect(await writeOf(0)).toBe(0);
    expect(await writeOf(0)).toBe(deltaIntervalMs);
    expect(written).toHaveLength(7);
  });

  test("thinking is announced once, and kept apart from the text", async () => {
    const { stream, written } = open();
    stream.add("thinking", "hm");
    stream.add("thinking", ", so");
    stream.add("text", "Answer");
    await settled();
    const events = [...written.flat(), ...(await stream.finish()).events];
    expect(events.map((event) => event.type)).toEqual([
      "reason.thinking.started",
      "reason.thinking.delta",
      "reason.thinking.delta",
      "reason.thinking.completed",
      "output.message.delta",
    ]);
    expect(events[3]?.data).toEqual({ turn_id: "turn_1", thinking: "hm, so" });
  });

  test("what was thought is told whole before the text after it, again when more is thought", async () => {
    const { clock, stream, written } = open();
    const said = [
      ["thinking", "one"],
      ["text", "a"],
      ["text", "b"],
      ["thinking", " two"],
      ["text", "c"],
      ["thinking", " three"],
    ] as const;
    for (const [kind, piece] of said) {
      stream.add(kind, piece);
      await settled();
      await clock.advance(limits.deltaIntervalMs);
      await settled();
    }
    const rest = await stream.finish();
    const told = [...written.flat(), ...rest.events].map(({ type, data }) =>
      type === "reason.thinking.completed" ? (data as { thinking: string }).thinking : type,
    );
    expect(told).toEqual([
      "reason.thinking.started",
      "reason.thinking.delta",
      "one",
      "output.message.delta",
      "output.message.delta",
      "reason.thinking.delta",
      "one two",
      "output.message.delta",
      "reason.thinking.delta",
    ]);
    // The last of it comes with the answer.
    expect(rest.isThinkingTold).toBe(false);
  });

  test("what was thought is told until a write of it stood", async () => {
    const { clock, stream, written, hold, release } = open({ isRefused: true });
    const told = (events: readonly NewEvent[]) =>
      events.filter(({ type }) => type === "reason.thinking.completed").length;
    stream.add("thinking", "hm");
    await settled();
    await clock.advance(limits.deltaIntervalMs);
    await settled();
    hold();
    stream.add("text", "a");
    await settled();
    expect(told(written.flat())).toBe(1);
    stream.add("text", "b");
    const rest = stream.finish();
    await settled();
    release();
    // The write under way failed: what is left tells it once more.
    expect(told((await rest).events)).toBe(1);
    expect((await rest).isThinkingTold).toBe(true);
  });

  test("a delta carries what it is found by: turn, execution and trace", async () => {
    const found = { turn_id: "turn_1", exec_id: "exec_1", trace_id: "turn_1" } as const;
    const context = { ...found, input_message_id: "message_1", span_id: "exec_1", parent_span_id: "turn_1" };
    const { stream, written } = open({ context: context as EventContext });
    stream.add("thinking", "hm");
    stream.add("text", "a");
    await settled();
    const events = [...written.flat(), ...(await stream.finish()).events];
    expect(events.map((event) => [event.type, event.context])).toEqual([
      ["reason.thinking.started", context],
      ["reason.thinking.delta", found],
      ["reason.thinking.completed", context],
      ["output.message.delta", found],
    ] as never);
  });

  test("a write that fails ends nothing", async () => {
    const { clock, stream, written } = open({ isRefused: true });
    stream.add("text", "a");
    await settled();
    stream.add("text", "b");
    await clock.advance(limits.deltaIntervalMs);
    await settled();
    expect(written).toHaveLength(2);
  });

  test("whatever the pace, the pieces add up to what was said", async () => {
    const step = fc.record({
      kind: fc.constantFrom("text" as const, "thinking" as const),
      piece: fc.string({ maxLength: 600 }),
      passMs: fc.constantFrom(0, 0, 10, 50, 200),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { clock, stream, written } = open();
        for (const { kind, piece, passMs } of steps) {
          stream.add(kind, piece);
          if (passMs > 0) {
            await clock.advance(passMs);
            await settled();
          }
        }
        const events = [...written.flat(), ...(await stream.finish()).events];
        const said = (kind: string) =>
          steps.flatMap((one) => (one.kind === kind ? [one.piece] : [])).join("");
        expect(text(events)).toBe(said("text"));
        expect(text(events, "reason.thinking.delta")).toBe(said("thinking"));
        expect((await stream.finish()).events).toEqual([]);
      }),
    );
  });
});
