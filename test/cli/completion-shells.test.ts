/** Tab, pressed in the shells that this machine has. */
import { beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { seedModel } from "../support/engine.ts";
import { hasTmux, openTerminal } from "../tui/support/tmux.ts";
import { cliFixture } from "./fixture.ts";
import { runCli } from "./support.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** How each is begun with our lines and nothing else of the machine's. */
const SHELLS = [
  { shell: "bash", rc: ".bashrc", begin: (rc: string) => ["bash", "--noprofile", "--rcfile", rc, "-i"] },
  { shell: "zsh", rc: ".zshrc", begin: () => ["zsh", "-d", "-i"] },
  {
    shell: "fish",
    rc: "config.fish",
    begin: (rc: string) => ["fish", "--no-config", "-i", "-C", `source ${rc}`],
  },
];

const at = cliFixture();
beforeAll(async () => {
  await seedModel(at.database.db);
  const bin = join(at.directory, "bin");
  mkdirSync(bin);
  writeFileSync(
    join(bin, "everruns"),
    `#!/bin/sh\nexec "${process.execPath}" --no-env-file ${ROOT}/cli/everruns.ts "$@"\n`,
  );
  chmodSync(join(bin, "everruns"), 0o755);
  writeFileSync(join(at.directory, "letter.txt"), "hello");
  writeFileSync(
    join(at.directory, "config.json"),
    JSON.stringify({
      current: null,
      contexts: { "prod:eu": { api_url: "http://x" }, "prod:us": { api_url: "http://y" } },
    }),
  );
  await runCli(["agents", "create", "--set", "name=triage", "--set", "system_prompt=x"], { env: at.env });
});

describe.each(SHELLS.filter(({ shell }) => hasTmux && Bun.which(shell) !== null))(
  "$shell",
  ({ shell, begin, rc }) => {
    /** What is typed is followed by Tab. @returns the screen once the shell shows the whole line */
    async function tab(typed: string, whole: string, rest = ""): Promise<string> {
      const file = join(at.directory, rc);
      const setUp = shell === "zsh" ? "autoload -U compinit; compinit -u -D\n" : "";
      writeFileSync(file, `${setUp}${(await runCli(["completion", shell])).stdout}`);
      const terminal = openTerminal(begin(file), {
        columns: 100,
        cwd: at.directory,
        env: {
          PATH: `${at.directory}/bin:${process.env.PATH}`,
          EVERRUNS_API_URL: at.server.url,
          EVERRUNS_CONFIG: join(at.directory, "config.json"),
          ZDOTDIR: at.directory,
        },
      });
      try {
        terminal.type("echo rea''dy", "Enter");
        await terminal.until("ready");
        terminal.type(typed, "Tab");
        if (rest !== "") terminal.type(rest);
        return await terminal.until(whole);
      } finally {
        terminal.close();
      }
    }

    test.each([
      ["a command", "everruns agen", "everruns agents"],
      ["an object of the server", "everruns agents get tri", "everruns agents get triage"],
      ["a model by its name", "everruns models get llm", "everruns models get llmsim"],
      ["a flag", "everruns agents list --sea", "everruns agents list --search"],
      ["the value of a flag", "everruns agents list --output=js", "everruns agents list --output=json"],
      ["a file, where one is meant", "everruns images upload lett", "everruns images upload letter.txt"],
      ["the file of a flag", "everruns agents create -f lett", "everruns agents create -f letter.txt"],
      ["a word with a colon", "everruns contexts use prod:e", "everruns contexts use prod:eu"],
    ])("completes %s", async (_what, typed, whole) => {
      expect(await tab(typed, whole)).toContain(whole);
    });

    test.each([
      ["an id", "everruns sessions get lett"],
      ["a name", "everruns agents get lett"],
      ["a message", "everruns run lett"],
      ["a file of the server", "everruns files get session_1 lett"],
    ])("offers no file where %s is meant", async (_what, typed) => {
      expect(await tab(typed, `${typed} and on`, " and on")).not.toContain("letter.txt");
    });
  },
);
