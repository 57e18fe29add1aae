import { describe, expect, test } from "bun:test";
import { UserError } from "../../src/base/errors.ts";
import { createLog, type LogOptions } from "../../src/base/log.ts";

function open(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const now = () => new Date("2026-01-02T03:04:05.678Z");
  const log = createLog({
    format: "json",
    level: "debug",
    write: (text) => lines.push(text),
    now,
    ...options,
  });
  return { log, lines };
}

describe("the log", () => {
  test("is one JSON object a line, with the bound fields", () => {
    const { log, lines } = open();
    log.with({ run_id: "turn_1" }).with({ attempt: 2 }).info("begun", { attempt: 3, left_out: undefined });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toEqual({
      ts: "2026-01-02T03:04:05.678Z",
      level: "info",
      message: "begun",
      run_id: "turn_1",
      attempt: 3,
    });
  });

  test("leaves out what is below its level", () => {
    const { log, lines } = open({ level: "warn" });
    log.debug("a");
    log.info("b");
    log.warn("c");
    log.error("d");
    expect(lines.map((text) => JSON.parse(text).message)).toEqual(["c", "d"]);
  });

  test("tells of an error with its code and its causes", () => {
    const { log, lines } = open();
    log.error("broke", { error: new UserError("invalid_name", "no", { cause: new Error("why") }) });
    expect(JSON.parse(lines[0] ?? "").error).toMatchObject({
      name: "UserError",
      code: "invalid_name",
      message: "no",
      cause: { message: "why" },
    });
  });

  const secrets: [string, Record<string, unknown>][] = [
    ["a key", { api_key: "s3cret" }],
    ["in camelCase", { apiKey: "s3cret" }],
    ["a header", { authorization: "Bearer s3cret" }],
    ["a header with a hyphen", { "x-api-key": "s3cret" }],
    ["a password", { db_password: "s3cret" }],
    ["a token", { token: "s3cret" }],
    ["an encryption key", { encryption_key: "s3cret" }],
    ["within an object", { provider: { name: "p", api_key: "s3cret" } }],
    ["within a list", { headers: [{ Authorization: "s3cret" }] }],
    ["of a type that is no text", { credentials: { user: "u", word: "s3cret" } }],
  ];
  for (const [name, fields] of secrets) {
    for (const format of ["json", "pretty"] as const) {
      test(`I9: hides ${name} (${format})`, () => {
        const { log, lines } = open({ format });
        log.with(fields).info("x", fields);
        expect(lines.join()).not.toContain("s3cret");
        expect(lines.join()).toContain("[hidden]");
      });
    }
  }

  test("takes what JSON does not: cycles, big numbers, deep nesting", () => {
    const { log, lines } = open();
    const cycle: Record<string, unknown> = { name: "c" };
    cycle.self = cycle;
    log.info("x", { cycle, big: 10n });
    log.info("y", { list: [new Error("inside")] });
    expect(lines).toHaveLength(2);
    expect(lines[1]).toContain("inside");
  });

  test("pretty: one line, with the fields behind the message", () => {
    const { log, lines } = open({ format: "pretty" });
    log.warn("careful", { run_id: "turn_1", count: 2 });
    expect(lines).toEqual(["03:04:05.678 warn  careful run_id=turn_1 count=2"]);
  });
});
