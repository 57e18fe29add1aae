/** What operators look after on the command line: schedules, breakers, dead runs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { uuidOf } from "../../src/base/id.ts";
import { type MonitorWorld, startMonitorWorld } from "../tui/support/monitor-world.ts";
import { runCli } from "./support.ts";

describe("for operators", () => {
  let world: MonitorWorld;
  beforeAll(async () => {
    world = await startMonitorWorld();
  });
  afterAll(() => world.close());
  const run = async (line: string) => {
    const { code, stdout, stderr } = await runCli(line.split(" "), { env: { EVERRUNS_API_URL: world.url } });
    expect({ line, code, stderr }).toEqual({ line, code: 0, stderr: "" });
    return stdout;
  };

  test("a dead run is listed and taken up again; the answer is a word and no JSON", async () => {
    const listed = await run("dead-runs");
    const [, runId = ""] = / (turn_[0-9a-f]{32}) /.exec(listed) ?? [];
    expect(listed).toContain("provider_quota_exhausted");
    const id = uuidOf(runId);
    expect(await run("dead-runs -o id")).toBe(`${id}\n`);
    expect(await run(`dead-runs retry ${id}`)).toBe(`retry: ${id}\n`);
    const { body } = await world.app.get(`/runs?limit=1`);
    expect(body.data[0].retried_run_id).toBe(runId);
  });

  test("a schedule is switched on and off", async () => {
    const id = (await run("schedules -o id")).trim();
    await run(`schedules resume ${id}`);
    expect(await run("schedules")).toMatch(/nightly-report +on +0 3 \* \* \*/);
    await run(`schedules pause ${id}`);
    expect(await run("schedules")).toMatch(/nightly-report +paused/);
  });

  test("a breaker is known by its key, closed and opened", async () => {
    const key = (await run("breakers -o id")).trim();
    expect(key).toEndWith(":old-model");
    await run(`breakers close ${key}`);
    expect(await run("breakers")).toContain(" closed ");
    await run(`breakers open ${key}`);
    expect(await run("breakers")).toContain(" open ");
  });
});
