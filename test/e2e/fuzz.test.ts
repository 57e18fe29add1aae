/**
 * Random requests against the executable, with its worker at work, for some 20 seconds, from the same seed every time:
 * what fails here was broken by a change. `scripts/fuzz.ts` looks further, from another seed each time and for as long
 * as one likes (EVERRUNS_FUZZ_SEED, EVERRUNS_FUZZ_SECONDS).
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { killCluster, workDirectory } from "../embedded/support/clusters.ts";
import { fuzz, newReport } from "../support/api/fuzz.ts";
import { createWorld } from "../support/api/world.ts";
import { type RunningServer, serveExecutable } from "../support/executable.ts";
import { callerOf, conversationWorks, residentBytes } from "./support/fuzzed-server.ts";

const SECONDS = Number(process.env.EVERRUNS_FUZZ_SECONDS ?? 16);
const SEED = Number(process.env.EVERRUNS_FUZZ_SEED ?? 552_741_232);
/** Beyond what the server takes to get warm. */
const GROWTH_BYTES_MAX = 400 * 1024 * 1024;

const work = workDirectory();
const cwd = work.fresh("empty");
const dataDir = work.fresh("data");
let server: RunningServer;

beforeAll(async () => {
  server = await serveExecutable(["--data-dir", dataDir], { cwd });
});
afterAll(async () => {
  await server.kill();
  killCluster(dataDir);
  work.remove();
});

test(
  `random requests, seed ${SEED}: never 500, every answer as documented, and the server is as well as before`,
  async () => {
    const world = await createWorld(callerOf(server.url));
    const report = newReport();
    const end = performance.now() + SECONDS * 1_000;
    const until = (share: number) => end - SECONDS * 1_000 * (1 - share);
    // One call after the other can be repeated exactly; several at a time find what only they can.
    const phase = (lanes: number, share: number) =>
      fuzz(world, { seed: SEED, lanes, report, isOver: () => performance.now() > until(share) });
    await phase(1, 0.4);
    const warm = residentBytes(server.pid);
    await phase(6, 1);
    const counts = [...report.byStatus].sort(([a], [b]) => a - b).map(([status, n]) => `${n}× ${status}`);
    console.log(
      `fuzz: seed ${SEED}, ${report.calls} calls of ${world.operations.length} operations, ` +
        `${report.succeeded.size} of them with success; ${counts.join(", ")}`,
    );
    expect(report.violations).toEqual([]);
    expect(report.calls).toBeGreaterThan(500);
    expect(residentBytes(server.pid) - warm).toBeLessThan(GROWTH_BYTES_MAX);
    expect(await conversationWorks(server.url)).toBe("Still here.");
  },
  SECONDS * 1_000 + 60_000,
);
