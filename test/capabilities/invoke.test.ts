import { expect, test } from "bun:test";
import fc from "fast-check";
import { z } from "zod";
import { LeaseLostError, RetryableError, TerminalError, UserError } from "../../src/base/errors.ts";
import { invokeTool } from "../../src/capabilities/invoke.ts";
import { defineTool, type ToolContext, ToolError } from "../../src/capabilities/tool.ts";
import { toolContext } from "../support/tool-context.ts";

const LIMITS = { timeoutMs: 60_000, outputBytesMax: 64 * 1024 };

function toolOf(run: (input: { text: string; count?: number | undefined }, context: ToolContext) => unknown) {
  return defineTool({
    name: "probe",
    displayName: "Probe",
    description: "For tests.",
    input: z.object({ text: z.string().default("none"), count: z.number().int().min(1).optional() }),
    run: async (input, context) => run(input, context),
  });
}
const echo = toolOf((input) => input);
const call = (json: string, tool = echo, limits = LIMITS, context = toolContext()) =>
  invokeTool(tool, json, context, limits);

const answers: [string, unknown, string][] = [
  ["text as it is", "a\nb", "a\nb"],
  ["values as JSON", { a: [1] }, '{"a":[1]}'],
  ["nothing as nothing", undefined, ""],
  ["null as null", null, "null"],
  ["NUL and half characters as replacement characters", "a\0b\ud800c", "a\uFFFDb\uFFFDc"],
];
for (const [name, answer, expected] of answers) {
  test(`the model reads ${name}`, async () => {
    expect(
      await call(
        "{}",
        toolOf(() => answer),
      ),
    ).toEqual({ ok: true, content: expected, truncated: false });
  });
}

const inputs: [string, string, string][] = [
  ["no arguments at all", "", '{"text":"none"}'],
  ["an empty object", "{}", '{"text":"none"}'],
  ["a null for what is left out", '{"text": null, "count": null}', '{"text":"none"}'],
  ["what the tool does not know", '{"text": "a", "more": 1}', '{"text":"a"}'],
];
for (const [name, json, expected] of inputs) {
  test(`accepts ${name}`, async () =>
    expect(await call(json)).toMatchObject({ ok: true, content: expected }));
}

const complaints: [string, string, string[]][] = [
  [
    "broken JSON",
    '{"text": "a"',
    ["not valid JSON. line 1, column 13", '"text": "a"→', "Write the call to probe again"],
  ],
  ["JSON that is no object", "[1]", ["must be one JSON object, found an array"]],
  ["a word", '"text"', ["found a string"]],
  ["null", "null", ["found null"]],
  ["a wrong type", '{"text": 5}', ["do not fit", "expected string, received number", "text"]],
  ["several wrongs at once", '{"text": 5, "count": 0}', ["→ at text", "→ at count"]],
];
for (const [name, json, parts] of complaints) {
  test(`complains about ${name}, and does not run the tool`, async () => {
    let hasRun = false;
    const outcome = await call(
      json,
      toolOf(() => (hasRun = true)),
    );
    expect(outcome).toMatchObject({ ok: false, status: "error" });
    for (const part of parts) expect((outcome as { error: string }).error).toContain(part);
    expect(hasRun).toBe(false);
  });
}

test("what a tool throws for the model is what the model reads", async () => {
  const failing = (error: unknown) =>
    toolOf(() => {
      throw error;
    });
  expect(await call("{}", failing(new ToolError("try /b")))).toEqual({
    ok: false,
    status: "error",
    error: "try /b",
  });
  expect(await call("{}", failing(new UserError("conflict", "it changed")))).toMatchObject({
    error: "it changed",
  });
  const bug = new TypeError("canary is not a function");
  expect(await call("{}", failing(bug))).toEqual({
    ok: false,
    status: "error",
    error: "probe failed unexpectedly; the server's log has the details.",
    fault: bug,
  });
  for (const ours of [
    new RetryableError("unavailable", "x"),
    new TerminalError("x", "x"),
    new LeaseLostError("x"),
  ]) {
    expect(await call("{}", failing(ours)).catch((error: unknown) => error)).toBe(ours);
  }
});

test("a tool that takes too long is left, also when it does not listen", async () => {
  const limits = { ...LIMITS, timeoutMs: 20 };
  const deaf = toolOf(() => new Promise(() => {}));
  const timeout = { ok: false, status: "timeout", error: "probe did not finish within 0.02 s." };
  expect(await call("{}", deaf, limits)).toEqual(timeout as never);
  const aborted = Promise.withResolvers<void>();
  const polite = toolOf(
    (_, { signal }) =>
      new Promise((_, reject) =>
        signal.addEventListener("abort", () => {
          aborted.resolve();
          reject(signal.reason);
        }),
      ),
  );
  expect(await call("{}", polite, limits)).toEqual(timeout as never);
  await aborted.promise;
});

test("a cancelled call ends at once, before or while it runs", async () => {
  const cancel = new AbortController();
  const cancelled = { ok: false, status: "cancelled", error: "The call was cancelled." };
  const context = toolContext({ signal: cancel.signal });
  const running = call(
    "{}",
    toolOf(() => new Promise(() => cancel.abort())),
    LIMITS,
    context,
  );
  expect(await running).toEqual(cancelled as never);
  let hasRun = false;
  expect(
    await call(
      "{}",
      toolOf(() => (hasRun = true)),
      LIMITS,
      context,
    ),
  ).toEqual(cancelled as never);
  expect(hasRun).toBe(false);
});

test("a long answer is cut between characters and says how much is missing", () => {
  return fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "grapheme", maxLength: 300 }),
      fc.integer({ min: 60, max: 200 }),
      async (text, max) => {
        const outcome = await call(
          "{}",
          toolOf(() => text),
          { timeoutMs: 60_000, outputBytesMax: max },
        );
        if (!outcome.ok) throw new Error(outcome.error);
        const clean = text.toWellFormed().replaceAll("\0", "\uFFFD");
        const bytes = Buffer.byteLength(clean);
        expect(outcome.truncated).toBe(bytes > max);
        if (!outcome.truncated) {
          expect(outcome.content).toBe(clean);
          return;
        }
        expect(Buffer.byteLength(outcome.content)).toBeLessThanOrEqual(max);
        const [, kept = "", left, all] =
          /^([\s\S]*)\n\[… (\d+) of (\d+) bytes left out\]$/.exec(outcome.content) ?? [];
        expect(clean.startsWith(kept)).toBe(true);
        expect(Buffer.byteLength(kept) + Number(left)).toBe(bytes);
        expect(Number(all)).toBe(bytes);
      },
    ),
  );
});

test("progress reaches the watcher, cleaned", async () => {
  const context = toolContext();
  await call(
    "{}",
    toolOf((_, { progress }) => progress("half\0way")),
    LIMITS,
    context,
  );
  expect(context.said).toEqual(["half\uFFFDway"]);
});
