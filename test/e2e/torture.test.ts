/**
 * The short form of `bun scripts/torture.ts`: real processes and a real PostgreSQL, troubled at random until every
 * client has had its turns; then the whole history must be sound (I1 to I8, I10, I11).
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "../../scripts/build.ts";
import { torture } from "../../scripts/torture/run.ts";
import { workDirectory } from "../embedded/support/clusters.ts";
import { executablePath } from "../support/executable.ts";

const TORTURE_MS_MAX = 180_000;

const work = workDirectory();
const executable = join(work.path, "torture-everruns");

beforeAll(() => build({ output: executable, level: "fast", entry: "scripts/torture/executable.ts" }));
afterAll(() => work.remove());

test("the tools that write down their executions are in this program alone", () => {
  const has = (path: string) => readFileSync(path).includes("torture_");
  expect([has(executable), has(executablePath())]).toEqual([true, false]);
});

test(
  "kills, sleeps, drains and database restarts leave a sound history (I1 to I8, I10, I11)",
  async () => {
    const seed = Number(process.env.TORTURE_SEED ?? Math.floor(Math.random() * 1e9));
    const { violations, counts, keptIn } = await torture({
      seed,
      executable,
      minutes: null,
      turnsEach: 3,
      sessions: 8,
      workers: 3,
    });
    console.log(`torture, seed ${seed}: ${JSON.stringify(counts)}`);
    expect({ violations, keptIn }).toEqual({ violations: [], keptIn: null });
  },
  TORTURE_MS_MAX,
);
