import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type LiveServer, startServer } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, send } from "../support/sessions.ts";
import { runCli } from "./support.ts";

describe("everruns sessions fork and diff", () => {
  let database: TestDatabase;
  let server: LiveServer;
  let env: Record<string, string>;
  beforeAll(async () => {
    database = await testDatabase();
    server = await startServer(database);
    env = { EVERRUNS_API_URL: server.url };
  });
  afterAll(async () => {
    await server.stop();
    await database.drop();
  });
  const sessions = (...args: string[]) => runCli(["sessions", ...args], { env });

  test("fork prints the id, diff what both said since", async () => {
    const parent = await newSession(database.db);
    await send(database.db, parent, "in common");
    const forked = await sessions("fork", parent, "--at", "1");
    expect({ code: forked.code, stdout: forked.stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^session_[0-9a-f]{32}\n$/),
    });
    const child = forked.stdout.trim();
    expect(forked.stderr).toBe(`forked at 1 · go on: everruns run --session ${child} "…"\n`);
    await send(database.db, parent, "left\u001b[2J");
    await send(database.db, child, "right");

    const { stdout, stderr } = await sessions("diff", parent, child);
    expect({ stdout, stderr }).toEqual({
      stdout: [
        `in common up to 1 of ${parent}`,
        "",
        `- ${parent}  0 tokens`,
        "      3  user   left",
        "",
        `+ ${child}  0 tokens`,
        "      2  user   right",
        "",
      ].join("\n"),
      stderr: "",
    });
    const json = JSON.parse((await sessions("diff", parent, child, "-o", "json")).stdout);
    expect(json.common_ancestor).toEqual({ session_id: parent, sequence: 1 });
    expect(JSON.parse((await sessions("fork", child, "--at", "2", "-o", "json")).stdout)).toMatchObject({
      forked_from_session_id: child,
      forked_from_sequence: 2,
    });
  });

  for (const [args, code, expected] of [
    [["fork"], 2, "missing required argument 'id'"],
    [["fork", "a", "b"], 2, "too many arguments"],
    [["fork", "a", "--at", "x"], 2, '--at is the sequence of an event, 1 or more, not "x"'],
    [["diff", "a"], 2, "missing required argument 'other'"],
    [["diff", "a", "b", "--at", "1"], 2, "unknown option '--at'"],
    [["get", "a", "b"], 2, "too many arguments"],
    [["fork", "a"], 1, "a"],
  ] as const) {
    test(`refuses ${args.join(" ")}`, async () => {
      const finished = await sessions(...args);
      expect([finished.code, finished.stdout]).toEqual([code, ""]);
      expect(finished.stderr).toContain(expected);
    });
  }
});
