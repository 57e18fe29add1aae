import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createSseDecoder, encodeSseFrame, SSE_HEARTBEAT, type SseFrame } from "../../src/base/sse.ts";

/** Feeds the text cut at the given places. */
function decode(text: string, cuts: readonly number[] = []): SseFrame[] {
  const decoder = createSseDecoder();
  const places = [...new Set([0, ...cuts.map((cut) => cut % (text.length + 1)), text.length])].sort(
    (a, b) => a - b,
  );
  return places.slice(1).flatMap((end, index) => decoder.feed(text.slice(places[index], end)));
}

const line = fc.string({ unit: "binary" }).map((text) => text.replace(/[\r\n\0]/g, ""));
const frame = fc.record({
  event: line.filter((text) => text !== ""),
  data: fc.string({
    unit: fc.constantFrom("a", " ", ":", "\n", "\r", "\r\n", "\u{1F600}", "\uFEFF", "data: "),
  }),
  id: fc.option(line),
  retry: fc.option(fc.nat()),
});

describe("server-sent events", () => {
  test("decode(encode(x)) = x, whatever the frames and wherever the network cuts them", () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        (frames, cuts) => {
          const text = frames
            .map(({ id, retry, ...rest }) =>
              encodeSseFrame({
                ...rest,
                ...(id === null ? {} : { id }),
                ...(retry === null ? {} : { retry }),
              }),
            )
            .join(SSE_HEARTBEAT);
          // Line breaks of any kind come out as one kind: the format has no other way.
          const expected = frames.map((one) => ({ ...one, data: one.data.replace(/\r\n|\r/g, "\n") }));
          expect(decode(text, cuts)).toEqual(expected);
        },
      ),
    );
  });

  const streams: [string, string, Partial<SseFrame>[]][] = [
    ["line breaks of every kind", "data: a\r\ndata: b\rdata: c\n\r\n", [{ data: "a\nb\nc" }]],
    ["a byte order mark before the first frame", "\uFEFFdata: a\n\n", [{ data: "a" }]],
    ["a field without a colon", "data\n\n", [{ data: "" }]],
    [
      "only the first space after the colon is dropped",
      "data:  a\n\ndata:b\n\n",
      [{ data: " a" }, { data: "b" }],
    ],
    ["comments and unknown fields are passed over", ": hi\nfoo: bar\ndata: a\n\n", [{ data: "a" }]],
    [
      "a frame without data is not dispatched",
      "event: x\nid: 1\n\ndata: a\n\n",
      [{ data: "a", event: "message", id: null }],
    ],
    [
      "a retry that is no number, an id with NUL",
      "retry: 1s\nid: a\0b\ndata: a\n\n",
      [{ retry: null, id: null }],
    ],
    ["what the end of the stream cut off is not dispatched", "data: a\n\ndata: b\n", [{ data: "a" }]],
  ];
  for (const [name, text, expected] of streams) {
    test(name, () => {
      const everywhere = Array.from(text, (_, at) => at);
      for (const frames of [decode(text), decode(text, everywhere)]) {
        expect(frames).toHaveLength(expected.length);
        for (const [index, one] of expected.entries()) expect(frames[index]).toMatchObject(one);
      }
    });
  }

  test("a line break in an event's name or id is refused: data could pose as another field", () => {
    for (const bad of ["a\nb", "a\rb"]) {
      expect(() => encodeSseFrame({ event: bad, data: "" })).toThrow();
      expect(() => encodeSseFrame({ event: "a", data: "", id: bad })).toThrow();
    }
  });
});
