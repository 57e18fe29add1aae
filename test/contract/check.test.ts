/** What a value of the wrong shape is told. */
import { describe, expect, test } from "bun:test";
import { compileCheck } from "../../src/contract/check.ts";
import { InputContentPart } from "../../src/contract/message.ts";
import { Maybe, Type } from "../../src/contract/schema.ts";

describe("one of several shapes", () => {
  const check = compileCheck(Type.Object({ part: Maybe(InputContentPart) }));
  const cases: [part: unknown, path: string, message: string][] = [
    [{ type: "video" }, "/part/type", "must be one of text, image, image_file"],
    [{ type: 7 }, "/part/type", "must be one of text, image, image_file"],
    // A part that there is, elsewhere: what it lacks to be a text helps nobody.
    [{ type: "tool_result", tool_call_id: "call_1" }, "/part/type", "must be one of text, image, image_file"],
    [{ text: "no type" }, "/part/type", "is required"],
    [{ type: "text" }, "/part/text", "is required"],
    [{ type: "image_file", image_id: 5 }, "/part/image_id", "Expected string"],
    [{ type: "image", url: {} }, "/part/url", "Expected string"],
    ["text", "/part", "Expected object"],
  ];
  for (const [part, path, message] of cases) {
    test(`${JSON.stringify(part)}: ${path} ${message}`, () => {
      expect(check.firstError({ part })).toMatchObject({ path, message, isLimit: false });
    });
  }

  test("that may be null, and those that fit, are told nothing", () => {
    for (const part of [null, undefined, { type: "text", text: "" }, { type: "image", url: "x" }]) {
      expect(check.firstError({ part })).toBeNull();
    }
  });
});
