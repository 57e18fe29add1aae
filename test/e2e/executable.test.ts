/** The executable alone in an empty directory with an empty environment: no Bun, no Node, no PostgreSQL, no key. */
import { afterAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { clusterProcesses, killCluster, workDirectory } from "../embedded/support/clusters.ts";
import { type RunningServer, runExecutable, serveExecutable } from "../support/executable.ts";

const work = workDirectory();
const cwd = work.fresh("empty");
const dataDir = work.fresh("data");
let server: RunningServer | null = null;

afterAll(async () => {
  await server?.kill();
  killCluster(dataDir);
  work.remove();
});

const serve = () => serveExecutable(["--data-dir", dataDir], { cwd });
const run = (...args: string[]) =>
  runExecutable(args, { cwd, env: server === null ? {} : { EVERRUNS_API_URL: server.url } });
const sessions = async (url: string) => {
  const page = (await (await fetch(`${url}/v1/sessions`)).json()) as { data: { id: string }[] };
  return page.data.map((session) => session.id);
};

describe("the executable", () => {
  test("prints its version", async () => {
    expect(await run("--version")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+( \(\w+\+?\))?\n$/),
      stderr: "",
    });
  });

  test("refuses what it does not know with one line", async () => {
    const { code, stdout, stderr } = await run("serve", "--prot", "1");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^everruns: .*--port.*\n$/);
  });

  test("serves, and answers a message", async () => {
    server = await serve();
    const { code, stdout, stderr } = await run("run", "hello");
    expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.trim()).not.toBe("");
    expect(await sessions(server.url)).toHaveLength(1);
  });

  test("has the session still after kill -9 of everything", async () => {
    const before = server === null ? [] : await sessions(server.url);
    await server?.kill();
    killCluster(dataDir);
    server = await serve();
    expect(before).toHaveLength(1);
    expect(await sessions(server.url)).toEqual(before);
  });

  test("says so when its port is in use", async () => {
    const port = new URL(server?.url ?? "").port;
    const { code, stderr } = await run("serve", "--data-dir", dataDir, "--port", port);
    expect(code).toBe(1);
    expect(stderr).toContain(port);
    expect(stderr).toContain("in use");
  });

  test("stops at SIGTERM with its database, and has written nothing elsewhere", async () => {
    expect(await server?.stop()).toBe(0);
    server = null;
    expect(clusterProcesses(dataDir)).toEqual([]);
    expect(readdirSync(cwd)).toEqual([]);
    expect(readdirSync(join(dataDir))).toContain("postgres-18");
  });
});
