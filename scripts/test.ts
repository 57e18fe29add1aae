/**
 * Runs the tests on one throw-away PostgreSQL and closes with the line that CI reads:
 * `N passed, N failed[, N skipped]`.
 *
 *   ./everruns test                    types, lint, format, the build, and all tests
 *   ./everruns test test/llm -t retry  some of them; arguments go to `bun test`
 *
 * In the environment: EVERRUNS_TEST_DATABASE_URL runs them on another server (its databases are created and
 * dropped), EVERRUNS_TEST_EXECUTABLE tests an executable that is built already.
 */
import { chmodSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../src/embedded/postgres.ts";
import { runningServer } from "../src/embedded/server.ts";
import { build } from "./build.ts";
import { runChecks } from "./check.ts";

const ROOT = join(import.meta.dir, "..");
const DIRECTORY_PREFIX = "everruns-test-";
const TEST_MS_MAX = 30_000;

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

async function main(args: readonly string[]): Promise<number> {
  removeAbandonedRuns();
  const directory = mkdtempSync(join(tmpdir(), `${DIRECTORY_PREFIX}${process.pid}-`));
  const interruption = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => interruption.abort(new Error(`interrupted by ${signal}`)));
  }
  let server: EmbeddedPostgres | null = null;
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  try {
    // As root the server runs under another user, who has to be able to enter.
    chmodSync(directory, 0o755);
    const env: Record<string, string | undefined> = { ...process.env };
    if (!process.env.EVERRUNS_TEST_DATABASE_URL) {
      server = await startEmbeddedPostgres({
        dataDir: directory,
        durable: false,
        signal: interruption.signal,
        // Each test file has its own pools, and files run one after the other or side by side.
        settings: { max_connections: "300" },
      });
      env.EVERRUNS_TEST_SOCKET = server.address.socketPath;
    }
    if (args.length === 0) {
      for (const result of await runChecks()) add(totals, result.isPassed);
    }
    if (needsExecutable(args) && !process.env.EVERRUNS_TEST_EXECUTABLE) {
      env.EVERRUNS_TEST_EXECUTABLE = join(directory, "everruns");
      add(totals, await buildExecutable(env.EVERRUNS_TEST_EXECUTABLE));
    }
    interruption.signal.throwIfAborted();
    const run = { directory, env, totals, signal: interruption.signal };
    await Promise.all(lanes(args).map((paths, lane) => runTests(paths, lane, run)));
  } catch (error) {
    totals.failed += 1;
    console.error(error instanceof Error ? error.message : error);
  } finally {
    await server?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
  console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
  return totals.failed === 0 ? 0 : 1;
}

/** Tests that mostly wait for other programs: the command line and the terminal. */
const WAITING = ["cli", "client", "tui"];

/** Which tests run side by side; those that are asked for by name run alone. */
function lanes(args: readonly string[]): string[][] {
  if (args.length > 0) return [[...args]];
  const all = readdirSync(join(ROOT, "test"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.name.includes(".test."))
    .map(({ name }) => name);
  const paths = (names: readonly string[]) => names.map((name) => `./test/${name}`);
  return [paths(all.filter((name) => !WAITING.includes(name))), paths(WAITING)];
}

/** @param lane  the output of the first is shown as it comes, that of others when they are through */
async function runTests(
  args: readonly string[],
  lane: number,
  run: { directory: string; env: Record<string, string | undefined>; totals: Totals; signal: AbortSignal },
): Promise<void> {
  const report = join(run.directory, `junit-${lane}.xml`);
  const output = join(run.directory, `output-${lane}.txt`);
  const shown = lane === 0 ? "inherit" : openSync(output, "w");
  const child = Bun.spawn(
    [
      process.execPath,
      ...["test", "--no-env-file", `--timeout=${TEST_MS_MAX}`],
      ...["--reporter=junit", `--reporter-outfile=${report}`],
      ...args,
    ],
    { cwd: ROOT, env: run.env, stdio: ["ignore", shown, shown] },
  );
  const end = () => child.kill("SIGTERM");
  run.signal.addEventListener("abort", end, { once: true });
  const code = await child.exited;
  if (lane > 0) process.stdout.write(readFileSync(output));
  run.signal.throwIfAborted();
  const found = existsSync(report) ? readReport(readFileSync(report, "utf8")) : null;
  run.totals.passed += found?.passed ?? 0;
  run.totals.skipped += found?.skipped ?? 0;
  // A file that cannot be loaded, or a crash, shows in the exit code alone.
  run.totals.failed += Math.max(found?.failed ?? 0, code === 0 ? 0 : 1);
}

/** The totals of a JUnit report, or null when it has none. */
export function readReport(xml: string): Totals | null {
  const head = /<testsuites\b[^>]*>/.exec(xml)?.[0];
  if (!head) return null;
  const count = (name: string) => Number(new RegExp(`\\s${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failed = count("failures") + count("errors");
  const skipped = count("skipped");
  return { passed: count("tests") - failed - skipped, failed, skipped };
}

function needsExecutable(args: readonly string[]): boolean {
  return args.length === 0 || args.some((arg) => arg.includes("e2e"));
}

async function buildExecutable(output: string): Promise<boolean> {
  const start = performance.now();
  try {
    await build({ output, level: "fast" });
  } catch (error) {
    console.log(`(fail) build: ${error instanceof Error ? error.message : error}`);
    return false;
  }
  console.log(`(pass) build [${((performance.now() - start) / 1000).toFixed(1)} s]`);
  return true;
}

function add(totals: Totals, isPassed: boolean): void {
  if (isPassed) totals.passed += 1;
  else totals.failed += 1;
}

/** What a run left behind that was killed with -9: its server and its directory. */
function removeAbandonedRuns(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(new RegExp(`^${DIRECTORY_PREFIX}(\\d+)-`).exec(name)?.[1] ?? 0);
    if (pid === 0 || isAlive(pid)) continue;
    const directory = join(tmpdir(), name);
    try {
      const server = runningServer(join(directory, "postgres-18/data"));
      if (server !== null) process.kill(server, "SIGQUIT");
      rmSync(directory, { recursive: true, force: true });
    } catch {
      // Another user's: theirs to remove.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
