/** The bench at a tiny size: it takes every part, writes its tables and leaves nothing behind. Its figures mean nothing. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
let directory = "";

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "everruns-t-"));
  // As root the server runs under another user, who has to be able to enter.
  chmodSync(directory, 0o755);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The rows of the first table under a heading, without head and rule. */
function tableUnder(heading: string, markdown: string): string[][] {
  const lines = markdown.slice(markdown.indexOf(heading)).split("\n");
  const start = lines.findIndex((line) => line.startsWith("| "));
  const rows: string[][] = [];
  for (const line of lines.slice(start)) {
    if (!line.startsWith("| ")) break;
    rows.push(line.slice(2, -2).split(" | "));
  }
  return rows.slice(2);
}

test("a quick bench runs every part, writes a line for each goal, and leaves nothing behind", async () => {
  const out = join(directory, "results.md");
  const scratch = join(directory, "tmp");
  mkdirSync(scratch, { mode: 0o755 });
  const child = Bun.spawn([process.execPath, "scripts/bench.ts", "--quick", "--out", out], {
    cwd: ROOT,
    env: { ...process.env, TMPDIR: scratch },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("goals met");

  const markdown = readFileSync(out, "utf8");
  const goals = tableUnder("## Every goal", markdown);
  const whats = goals.map(([what = ""]) => what);
  for (const goal of [
    /six-step runs: grouped writer/,
    /six-step runs: the whole worker/,
    /one-step turns, 1 client$/,
    /one-step turns, 64 clients/,
    /SQL statements a turn, 64 clients/,
    /runs that do nothing/,
    /worker holding the run/,
    /own overhead/,
    /delta from driver to reader/,
    /fan-out/,
    /idle streams/,
    /cancel/,
    /kill -9/,
    /settled steps that ran twice/,
  ]) {
    expect(whats.filter((what) => goal.test(what)).length).toBeGreaterThan(0);
  }
  for (const row of goals) {
    expect(row.length).toBe(7);
    expect(row[1]).toMatch(/^\*\*.+\*\*$/);
    expect(row[6]).toMatch(/^(met|MISSED|MISSED, met here in proportion|not measured)$/);
  }
  const lost = goals.find(([what]) => what?.startsWith("settled steps"));
  expect(lost?.[1]).toBe("**0, 0**");
  expect(markdown).not.toMatch(/NaN|undefined|Infinity/);
  expect(readdirSync(scratch)).toEqual([]);
}, 180_000);

test("words that the bench does not know are refused, with its usage", () => {
  const child = Bun.spawnSync([process.execPath, "scripts/bench.ts", "nothing"], { cwd: ROOT });
  expect(child.exitCode).toBe(2);
  expect(child.stderr.toString()).toContain("usage: everruns bench");
});
