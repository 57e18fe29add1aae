import { afterAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { chmod, chown } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { FileLock } from "../../src/embedded/lock.ts";
import { inspectEmbeddedPostgres, startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import {
  clusterProcesses,
  isRoot,
  killCluster,
  startUser,
  until,
  withSql,
  workDirectory,
} from "./support/clusters.ts";

const work = workDirectory();
/** Unpacked by the first test that needs it, used by all. */
const programDir = join(work.path, "program");

afterAll(() => {
  for (const name of readdirSync(work.path)) {
    if (existsSync(join(work.path, name, "postgres-18"))) killCluster(join(work.path, name));
  }
  work.remove();
});

const start = (dataDir: string) => startEmbeddedPostgres({ dataDir, programDir });

describe("a first start", () => {
  test("gives an empty PostgreSQL 18 in a private directory, without TCP, not as root", async () => {
    const dataDir = work.fresh("first");
    const said: string[] = [];
    const server = await startEmbeddedPostgres({
      dataDir,
      programDir,
      onProgress: (text) => said.push(text),
    });
    expect(server.adopted).toBe(false);
    const found = await withSql(server.address, async (sql) => ({
      version: (await sql`show server_version_num`)[0]?.server_version_num,
      addresses: (await sql`show listen_addresses`)[0]?.listen_addresses,
      fsync: (await sql`show fsync`)[0]?.fsync,
      database: (await sql`select current_database() as name`)[0]?.name,
      tables: (await sql`select count(*)::int as n from pg_tables where schemaname = 'public'`)[0]?.n,
      locale: (
        await sql`select datlocprovider as p, datlocale as l from pg_database where datname = current_database()`
      )[0],
    }));
    expect(found).toEqual({
      version: expect.stringMatching(/^18/),
      addresses: "",
      fsync: "on",
      database: "everruns",
      tables: 0,
      locale: { p: "b", l: "C.UTF-8" },
    });
    const home = join(dataDir, "postgres-18");
    for (const name of ["data", "run"]) expect(statSync(join(home, name)).mode & 0o777).toBe(0o700);
    const uid = statSync(`/proc/${server.pid}`).uid;
    expect(uid).toBe(isRoot ? 65_534 : (process.getuid?.() ?? -1));
    expect(said).toContain(`starting PostgreSQL ${server.version}`);
    await server.stop();
    await server.stop();
    expect(clusterProcesses(dataDir)).toEqual([]);
  });

  test("unpacks again what an interrupted one left half done", async () => {
    const dataDir = work.fresh("interrupted");
    const home = join(dataDir, "postgres-18");
    mkdirSync(join(home, "data.new"), { recursive: true });
    writeFileSync(join(home, "data.new", "PG_VERSION"), "");
    const server = await start(dataDir);
    expect(readFileSync(join(home, "data", "PG_VERSION"), "utf8")).toBe("18\n");
    expect(existsSync(join(home, "data.new"))).toBe(false);
    await server.stop();
  });

  test("in two processes at once gives both the same server", async () => {
    const dataDir = work.fresh("race");
    // Each would unpack the program, too: nothing is shared with other tests here.
    const users = await Promise.all([startUser(dataDir), startUser(dataDir), startUser(dataDir)]);
    expect(users.map((user) => user.ready.error)).toEqual([undefined, undefined, undefined]);
    expect(new Set(users.map((user) => user.ready.pid)).size).toBe(1);
    expect(users.filter((user) => !user.ready.adopted).length).toBe(1);
    await Promise.all(users.map((user) => user.stop()));
    expect(clusterProcesses(dataDir)).toEqual([]);
  });

  const paths: [string, string][] = [
    ["longer than a socket's path may be", "long/".concat("0123456789".repeat(12))],
    ["with spaces, commas, quotes and letters beyond ASCII", `odd, "quoted" 'ünï' $HOME %s`],
  ];
  for (const [title, name] of paths) {
    test(`works in a path ${title}`, async () => {
      const dataDir = work.fresh(name);
      const server = await start(dataDir);
      const user = await startUser(dataDir, { programDir });
      expect(Buffer.byteLength(server.address.socketPath)).toBeLessThanOrEqual(107);
      expect(user.ready.pid).toBe(server.pid);
      expect(await withSql(user.ready.address, (sql) => sql`select 1 as one`)).toHaveLength(1);
      await user.stop();
      await server.stop();
      expect(clusterProcesses(dataDir)).toEqual([]);
      expect(existsSync(server.address.socketPath)).toBe(false);
    });
  }
});

test("looking changes nothing", async () => {
  const dataDir = work.fresh("looked-at");
  expect(inspectEmbeddedPostgres(dataDir)).toBeNull();
  expect(inspectEmbeddedPostgres(join(dataDir, "none"))).toBeNull();
  expect(readdirSync(dataDir)).toEqual([]);
  const server = await start(dataDir);
  expect(inspectEmbeddedPostgres(dataDir)).toEqual({ pid: server.pid, address: server.address });
  await server.stop();
  expect(inspectEmbeddedPostgres(dataDir)).toEqual({ pid: null, address: server.address });
});

describe("several processes", () => {
  test("keep the server until the last of them stops", async () => {
    const dataDir = work.fresh("last");
    const first = await start(dataDir);
    const second = await startUser(dataDir, { programDir });
    expect(second.ready).toMatchObject({ pid: first.pid, adopted: true });
    await first.stop();
    expect(await withSql(second.ready.address, (sql) => sql`select 1 as one`)).toHaveLength(1);
    await second.stop();
    expect(clusterProcesses(dataDir)).toEqual([]);
  });

  test("one killed with -9 counts no longer: the next adopts its server, and stops it", async () => {
    const dataDir = work.fresh("orphan");
    const killed = await startUser(dataDir, { programDir });
    await killed.kill();
    const next = await start(dataDir);
    expect(next).toMatchObject({ pid: killed.ready.pid, adopted: true });
    await next.stop();
    expect(clusterProcesses(dataDir)).toEqual([]);
  });

  test("a wait for another's start ends when its signal aborts", async () => {
    const dataDir = work.fresh("waiting");
    await (await start(dataDir)).stop();
    const lock = new FileLock(join(dataDir, "postgres-18/start.lock"));
    await lock.exclusive(systemClock);
    const abort = new AbortController();
    const waiting = startEmbeddedPostgres({ dataDir, programDir, signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    lock.close();
    expect(clusterProcesses(dataDir)).toEqual([]);
  });
});

describe("after kill -9", () => {
  const insert = (address: Parameters<typeof withSql>[0]) =>
    withSql(address, async (sql) => {
      await sql`create table if not exists kept (n integer)`;
      await sql`insert into kept select generate_series(1, 100)`;
    });
  const count = (address: Parameters<typeof withSql>[0]) =>
    withSql(address, async (sql) => (await sql`select count(*)::int as n from kept`)[0]?.n);

  test("of everything, the next start recovers every row", async () => {
    const dataDir = work.fresh("killed");
    for (let round = 1; round <= 2; round++) {
      const user = await startUser(dataDir, { programDir });
      expect(user.ready.adopted).toBe(false);
      await insert(user.ready.address);
      await user.kill();
      killCluster(dataDir);
    }
    const server = await start(dataDir);
    expect(await count(server.address)).toBe(200);
    await server.stop();
    expect(clusterProcesses(dataDir)).toEqual([]);
  });

  test("of the server alone, its user launches it again", async () => {
    const dataDir = work.fresh("relaunched");
    const server = await start(dataDir);
    await insert(server.address);
    const before = server.pid;
    // Only the postmaster: its children find out by themselves, and may still be there when the next one starts.
    process.kill(before, "SIGKILL");
    await until(() => server.pid !== before);
    expect(await count(server.address)).toBe(100);
    await server.stop();
    expect(clusterProcesses(dataDir)).toEqual([]);
  });

  test("a pid file that names another program is no obstacle", async () => {
    const dataDir = work.fresh("reused");
    await (await start(dataDir)).stop();
    writeFileSync(join(dataDir, "postgres-18/data/postmaster.pid"), `${process.pid}\n`);
    const server = await start(dataDir);
    expect(server.adopted).toBe(false);
    await server.stop();
  });
});

describe("what cannot work says why", () => {
  test("a server that refuses to start is quoted", async () => {
    const dataDir = work.fresh("refusing");
    const starting = startEmbeddedPostgres({ dataDir, programDir, settings: { shared_buffers: "a lot" } });
    await expect(starting).rejects.toMatchObject({
      code: "embedded_failed",
      message: expect.stringContaining('invalid value for parameter "shared_buffers"'),
    });
    expect(clusterProcesses(dataDir)).toEqual([]);
  });

  test("a cluster that a server it cannot see has open", async () => {
    const dataDir = work.fresh("foreign");
    await (await start(dataDir)).stop();
    const found = inspectEmbeddedPostgres(dataDir);
    const stranger = createServer(() => {}).listen(found?.address.socketPath);
    await once(stranger, "listening");
    const fast = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() * 100 };
    await expect(startEmbeddedPostgres({ dataDir, programDir, clock: fast })).rejects.toMatchObject({
      code: "data_dir_unusable",
      message: expect.stringContaining("which this process cannot see"),
    });
    stranger.close();
    expect(clusterProcesses(dataDir)).toEqual([]);
  });

  test("a data directory that is a file", async () => {
    const path = join(work.path, "file");
    writeFileSync(path, "");
    await expect(start(path)).rejects.toMatchObject({ name: "UserError", code: "data_dir_unusable" });
  });

  test.if(isRoot)("a data directory that the server's user cannot enter", async () => {
    const outer = work.fresh("closed");
    await chmod(outer, 0o700);
    await expect(start(join(outer, "inner"))).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining(`cannot enter ${outer}`),
    });
  });
});

describe.if(isRoot)("another user", () => {
  // No such user exists: a container's bare number has no entry in /etc/passwd either.
  const uid = 54_321;

  test("runs the server as itself, and root later finds the same database", async () => {
    const dataDir = work.fresh("user");
    await chown(dataDir, uid, uid);
    const user = await startUser(dataDir, { programDir, uid });
    expect(user.ready.error).toBeUndefined();
    expect(statSync(`/proc/${user.ready.pid}`).uid).toBe(uid);
    const root = await start(dataDir);
    expect(root).toMatchObject({ pid: user.ready.pid, adopted: true });
    await user.stop();
    await root.stop();
    const again = await start(dataDir);
    expect(statSync(`/proc/${again.pid}`).uid).toBe(uid);
    await again.stop();
    expect(clusterProcesses(dataDir)).toEqual([]);
  });

  test("is told whose directory it is", async () => {
    const dataDir = work.fresh("roots");
    await (await start(dataDir)).stop();
    const user = await startUser(dataDir, { programDir, uid });
    expect(user.ready.error).toContain(`this is uid ${uid}`);
    await user.stop();
  });
});
