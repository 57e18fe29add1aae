/**
 * Types, lint and format; each counts as one test of the run.
 *
 *   ./everruns check
 */
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");

const CHECKS = [
  { name: "types", command: ["node_modules/.bin/tsc", "--noEmit"] },
  {
    name: "lint and format",
    command: ["node_modules/.bin/biome", "ci", "--colors=off", "--max-diagnostics=50", "."],
  },
] as const;

export interface CheckResult {
  name: string;
  isPassed: boolean;
}

/** Runs all checks at the same time and prints what they complain about. */
export async function runChecks(): Promise<CheckResult[]> {
  return Promise.all(CHECKS.map(({ name, command }) => check(name, command)));
}

async function check(name: string, command: readonly string[]): Promise<CheckResult> {
  const start = performance.now();
  // The tools are started by this very Bun: their own first lines ask for a Node that need not be there.
  const child = Bun.spawn([process.execPath, ...command], {
    cwd: ROOT,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, problems, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const isPassed = code === 0;
  if (!isPassed) process.stdout.write(`${out}${problems}`);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${isPassed ? "(pass)" : "(fail)"} ${name} [${seconds} s]`);
  return { name, isPassed };
}

if (import.meta.main) {
  const results = await runChecks();
  const failed = results.filter((result) => !result.isPassed).length;
  console.log(`${results.length - failed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}
