import { describe, expect, test } from "bun:test";
import { runCli } from "./support.ts";

const complete = async (...words: string[]) =>
  (await runCli(["__complete", ...words], { env: { EVERRUNS_API_URL: "http://127.0.0.1:1" } })).stdout
    .split("\n")
    .flatMap((line) => (line === "" ? [] : [line.split("\t")[0] ?? ""]));

describe("completion", () => {
  test.each([
    [["cha"], ["chat"]],
    [["sessions", "f"], ["fork"]],
    [["runs", "re"], ["retry"]],
    [
      ["agents", "-o", ""],
      ["table", "json", "yaml", "id"],
    ],
    [["agents", "list", "--sea"], ["--search"]],
    [["migrate", "st"], ["status"]],
    [["serve", "--port", "9000", "--ho"], ["--host"]],
    [["agents", "list", "--output=js"], ["--output=json"]],
    [["agents", "list", "--output", "=", "js"], ["json"]],
    [["agents", "-V", "expo"], ["export"]],
    [["completion", "z"], ["zsh"]],
    [
      ["runs", "--status", "c"],
      ["completed", "cancelled"],
    ],
    [["agents", "--include-archived", ""], ["true"]],
    [["runs", "-n", ""], []],
    [["nothing-of-ours", "x"], []],
  ])("%j: %j", async (words, offered) => {
    expect(await complete(...words)).toEqual(offered);
  });

  test("every word that is offered exists, and nothing hidden is", async () => {
    const words = await complete("");
    expect(words.length).toBeGreaterThan(15);
    expect(words.filter((word) => word.startsWith("__"))).toEqual([]);
    for (const word of words.filter((each) => each !== "help")) {
      expect([word, (await runCli([word, "--help"])).code]).toEqual([word, 0]);
    }
  });

  test("bash gets the words through the printed function", async () => {
    const { stdout } = await runCli(["completion", "bash"]);
    const program = `everruns() { ${JSON.stringify(process.execPath)} --no-env-file cli/everruns.ts "$@"; }
${stdout}
COMP_WORDS=(everruns sess); COMP_CWORD=1; _everruns; echo "\${COMPREPLY[@]}"
COMP_WORDS=(everruns events t); COMP_CWORD=2; _everruns; echo "\${COMPREPLY[@]}"`;
    const ended = Bun.spawnSync(["bash", "-c", program], { cwd: `${import.meta.dir}/../..` });
    expect(ended.stdout.toString()).toBe("sessions\ntail\n");
  });

  test("zsh and fish get theirs, others a word", async () => {
    expect((await runCli(["completion", "zsh"])).stdout).toStartWith("#compdef everruns\n");
    expect((await runCli(["completion", "fish"])).stdout).toEndWith(
      "complete -c everruns -f -a '(__everruns_complete)'\n",
    );
    const { code, stderr } = await runCli(["completion", "tcsh"]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining("bash, zsh, fish") });
  });
});
