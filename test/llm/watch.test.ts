import { expect, test } from "bun:test";
import { manualClock } from "../../src/base/clock.ts";
import { createWatch } from "../../src/llm/watch.ts";

function watched(stallMs = 100) {
  const clock = manualClock();
  let stalls = 0;
  const reader = { isWaiting: true };
  const watch = createWatch({
    clock,
    stallMs,
    isWaiting: () => reader.isWaiting,
    onStall: () => (stalls += 1),
  });
  return { clock, watch, reader, stalls: () => stalls };
}

/** A response whose bytes come when the test says so. */
function source() {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const cancelled: unknown[] = [];
  const stream = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given;
    },
    cancel: (reason) => {
      cancelled.push(reason);
    },
  });
  return {
    response: new Response(stream),
    say: (text: string) => controller?.enqueue(new TextEncoder().encode(text)),
    end: () => controller?.close(),
    cancelled,
  };
}

test("silence from the start is noticed once", async () => {
  const { clock, stalls } = watched();
  await clock.advance(99);
  expect(stalls()).toBe(0);
  await clock.advance(1);
  expect(stalls()).toBe(1);
  await clock.advance(1000);
  expect(stalls()).toBe(1);
});

test("headers and every byte, keep-alives too, start the count again", async () => {
  const { clock, watch, stalls } = watched();
  const { response, say } = source();
  await clock.advance(90);
  const body = (await watch.wrap(async () => response)("http://x"))?.body?.getReader();
  await clock.advance(90);
  expect(stalls()).toBe(0);
  say(": keep-alive\n\n");
  await body?.read();
  await clock.advance(90);
  expect(stalls()).toBe(0);
  await clock.advance(10);
  expect(stalls()).toBe(1);
});

test("while nobody waits for a byte, silence is not the provider's", async () => {
  const { clock, reader, stalls } = watched();
  reader.isWaiting = false;
  await clock.advance(100);
  await clock.advance(100);
  expect(stalls()).toBe(0);
  reader.isWaiting = true;
  await clock.advance(100);
  expect(stalls()).toBe(1);
});

test("a stopped watch says nothing", async () => {
  const { clock, watch, stalls } = watched();
  watch.stop();
  await clock.advance(1000);
  expect(stalls()).toBe(0);
});

test("the body passes unchanged and its last characters are remembered", async () => {
  const { watch } = watched();
  const { response, say, end } = source();
  const wrapped = await watch.wrap(async () => response)("http://x");
  say("data: {}\n\n");
  say("data: [DO");
  say("NE]\n\n");
  end();
  expect(await wrapped.text()).toBe("data: {}\n\ndata: [DONE]\n\n");
  expect(watch.tail()).toEndWith("data: [DONE]\n\n");
  expect(wrapped.status).toBe(200);
});

test("cancelling the body cancels the source", async () => {
  const { watch } = watched();
  const { response, cancelled } = source();
  const wrapped = await watch.wrap(async () => response)("http://x");
  await wrapped.body?.cancel("enough");
  expect(cancelled).toEqual(["enough"]);
});
