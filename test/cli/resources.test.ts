import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { table } from "../../cli/table.ts";
import { type ContractServer, startContractServer } from "../client/support/server.ts";
import { runCli } from "./support.ts";

let server: ContractServer;
let env: Record<string, string>;
beforeEach(() => {
  server = startContractServer();
  env = { EVERRUNS_API_URL: server.url };
});
afterEach(() => server.stop());

test("a table is aligned, wide characters too", () => {
  expect(
    table(
      ["id", "name"],
      [
        ["1", "日本"],
        ["22", ""],
      ],
    ),
  ).toEqual(["ID  NAME", "1   日本", "22"]);
});

describe("everruns sessions", () => {
  test("lists them as a table", async () => {
    const id = server.createSession();
    server.intercept((request) =>
      new URL(request.url).pathname.endsWith("/sessions")
        ? Response.json({
            data: [
              {
                id,
                status: "idle",
                updated_at: new Date(Date.now() - 90_000).toISOString(),
                usage: { input_tokens: 40, output_tokens: 2 },
                title: "a\u001b[2J title",
              },
            ],
            total: 3,
            offset: 0,
            limit: 1,
          })
        : null,
    );
    const { code, stdout, stderr } = await runCli(["sessions", "-n", "1"], { env });
    expect(stdout.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
      ["ID", "STATUS", "UPDATED", "TOKENS", "TITLE"],
      [id, "idle", "1m", "42", "a title"],
      [""],
    ]);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: "2 more; --limit shows up to 100, --offset what follows\n",
    });
  });

  test("gets one as JSON", async () => {
    const id = server.createSession();
    const { stdout } = await runCli(["sessions", "get", id, "-o", "json"], { env });
    expect(JSON.parse(stdout)).toMatchObject({ id, status: "idle" });
  });

  test("says that there are none yet, and prints nothing to stdout", async () => {
    expect(await runCli(["agents"], { env })).toEqual({
      code: 0,
      stdout: "",
      stderr: "there are no agents yet\n",
    });
  });

  for (const [args, expected] of [
    [["sessions", "get"], "missing required argument 'id'; see everruns sessions get --help"],
    [["sessions", "list", "x"], "did you mean everruns sessions get x?"],
    [["sessions", "-n", "0"], "--limit is a whole number from 1 to 100"],
  ] as const) {
    test(`refuses ${args.join(" ")}`, async () => {
      const { code, stderr } = await runCli(args, { env });
      expect(code).toBe(2);
      expect(stderr).toContain(expected);
    });
  }
});

describe("everruns config", () => {
  test("says what is in force and why, and shows no secret", async () => {
    const { stdout } = await runCli(["config", "--port", "9100"], {
      env: { HOST: "localhost", OPENAI_API_KEY: "sk-secret" },
    });
    expect(stdout).toMatch(/^port +9100 +flag --port$/m);
    expect(stdout).toMatch(/^host +localhost +environment HOST$/m);
    expect(stdout).toMatch(/^workers +1 +default$/m);
    expect(stdout).not.toContain("sk-secret");
  });

  test("is there for programs, too", async () => {
    const { stdout } = await runCli(["config", "--json"]);
    expect(JSON.parse(stdout)).toContainEqual({ name: "port", value: "9000", source: "default" });
  });

  test("tells every wrong setting and exits with 2", async () => {
    const { code, stderr } = await runCli(["config", "--port", "x", "--workers", "y"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--port: [\s\S]*--workers: /);
  });
});

describe("everruns runs", () => {
  for (const [action, reply, printed] of [
    ["retry", { id: "turn_2", status: "queued" }, "turn_2"],
    ["cancel", { status: "cancelled", message: "Turn turn_1 was cancelled." }, "Turn turn_1 was cancelled."],
  ] as const) {
    test(`${action} asks the server and prints what came of it`, async () => {
      const asked: string[] = [];
      server.intercept((request) => {
        asked.push(`${request.method} ${new URL(request.url).pathname}`);
        return Response.json(reply);
      });
      const { code, stdout } = await runCli(["runs", action, "turn_1", "--yes"], { env });
      expect({ code, stdout, asked }).toEqual({
        code: 0,
        stdout: `${printed}\n`,
        asked: [`POST /api/v1/runs/turn_1/${action}`],
      });
      if (action === "cancel") {
        const unasked = await runCli(["runs", action, "turn_1"], { env });
        expect([unasked.code, unasked.stderr]).toEqual([2, expect.stringContaining("add --yes")]);
        expect(asked).toHaveLength(1);
      }
      const without = await runCli(["runs", action], { env });
      expect(without.stderr).toContain("missing required argument 'ids'");
      expect(without.code).toBe(2);
    });
  }
});
