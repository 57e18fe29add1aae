import { describe, expect, test } from "bun:test";
import packageJson from "../../package.json" with { type: "json" };
import { runCli } from "./support.ts";

describe("wrong usage ends with one line and exit code 2", () => {
  const cases: [string, string[], string][] = [
    ["an unknown flag, with the one that was meant", ["serve", "--prot", "1"], "did you mean --port?"],
    ["an unknown flag, with where to look", ["run", "--zzzzzz", "hi"], "see everruns run --help"],
    [
      "an unknown command, with the one that was meant",
      ["srve"],
      "unknown command 'srve'; did you mean serve?",
    ],
    ["an unknown command, with where to look", ["zzzzzz"], "unknown command 'zzzzzz'; see everruns --help"],
    ["help for what is no command", ["help", "agnts"], "unknown command 'agnts'; did you mean agents?"],
    ["help for nothing like a command", ["help", "zzzzzz"], "unknown command 'zzzzzz'; see everruns --help"],
    ["a context that is not there", ["agents", "--context", "nope"], "there is no context nope"],
    [
      "a type of event that is none",
      ["events", "tail", "x", "--type", "zzz"],
      "there are no events zzz; there are session.*, input.*,",
    ],
    ["a flag without its value", ["serve", "--port"], "argument missing; see everruns serve --help"],
    ["a value that is not allowed", ["migrate", "undo"], "Allowed choices are apply, status"],
    ["too many arguments", ["version", "a"], "too many arguments"],
    ["flags that exclude each other", ["run", "-s", "session_1", "-a", "x", "hi"], "cannot be used with"],
    ["an empty message", ["run", "  "], "the message is empty"],
  ];
  for (const [name, args, expected] of cases) {
    test(name, async () => {
      const { code, stdout, stderr } = await runCli(args);
      expect(stderr).toContain(expected);
      expect(stderr).toMatch(/^everruns: [^\n]+\n$/);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    });
  }
});

describe("help", () => {
  test("is what `everruns` alone prints, and `--help` too", async () => {
    const alone = await runCli([]);
    const asked = await runCli(["--help"]);
    expect(alone.code).toBe(0);
    expect(alone.stdout).toBe(asked.stdout);
    for (const word of ["Talk to an agent:", "EVERRUNS_API_URL", "everruns run", "Exit codes"]) {
      expect(asked.stdout).toContain(word);
    }
  });

  const commands = [
    ..."run chat serve worker migrate doctor config version completion messages events files logs api keys users monitor login whoami contexts".split(
      " ",
    ),
    ..."agents harnesses capabilities sessions runs approvals models providers workers".split(" "),
    ..."schedules breakers dead-runs skills mcp-servers memories images budgets tasks webhooks".split(" "),
  ];
  for (const command of commands) {
    test(`of ${command} fits a terminal of 100 columns`, async () => {
      const { code, stdout, stderr } = await runCli([command, "--help"]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toStartWith(`Usage: everruns ${command}`);
      for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(115);
    });
  }
});

describe("the version", () => {
  for (const args of [["--version"], ["-V"], ["version"]]) {
    test(`is printed by ${args.join(" ")}`, async () => {
      expect(await runCli(args)).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: "" });
    });
  }
});

test("every command shows an example in its help", async () => {
  const offered = async (...words: string[]) =>
    (await runCli(["__complete", ...words, ""], { env: { EVERRUNS_API_URL: "http://127.0.0.1:1" } })).stdout
      .split("\n")
      .flatMap((line) => (line === "" ? [] : [line.split("\t")[0] ?? ""]));
  // One kind of object of each sort: the verbs of the others are made alike.
  const parents = [
    "agents",
    "sessions",
    "skills",
    "providers",
    "budgets",
    "images",
    "events",
    "messages",
    "files",
  ];
  const verbs = await Promise.all(
    parents.map(async (parent) => (await offered(parent)).map((verb) => [parent, verb])),
  );
  const commands = (await offered()).filter((word) => word !== "help").map((word) => [word]);
  for (const words of [...commands, ...verbs.flat()]) {
    const { stdout } = await runCli([...words, "--help"]);
    expect([words, stdout.split("Examples:\n").length]).toEqual([words, 2]);
    expect(stdout).toMatch(new RegExp(`^  .*everruns ${words.join(" ")}`, "m"));
  }
}, 60_000);
