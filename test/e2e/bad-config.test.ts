/**
 * What a person reads who got a setting wrong: one line that says what is wrong and what to do, the exit code, no
 * secret, no stack trace; and nothing that goes on running.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import {
  clusterProcesses,
  isRoot,
  killCluster,
  withSql,
  workDirectory,
} from "../embedded/support/clusters.ts";
import { executablePath, runExecutable } from "../support/executable.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { startProcess } from "../support/processes.ts";
import { type DatabaseUrl, databaseUrl } from "./support/database-url.ts";

const PASSWORD = "s3cret-e2e-password";
const KEY = randomBytes(32).toString("base64");
const OTHER_KEY = randomBytes(32).toString("base64");

const work = workDirectory();
const cwd = work.fresh("empty");
const dataDir = work.fresh("data");

afterAll(() => {
  killCluster(dataDir);
  work.remove();
});

type Wrong = [name: string, args: string[], env: Record<string, string>, code: 1 | 2, says: RegExp[]];

/** Runs it and holds it against what every refusal must be. @param says  one pattern a line, the last ones */
async function expectRefusal(
  args: readonly string[],
  env: Record<string, string>,
  code: number,
  says: readonly RegExp[],
): Promise<void> {
  const result = await runExecutable([...args], { cwd, env: { EVERRUNS_DATA_DIR: dataDir, ...env } });
  const lines = result.stderr.trimEnd().split("\n");
  expect(lines).toEqual(says.map((pattern) => expect.stringMatching(pattern)));
  expect(lines[0]).toStartWith("everruns: ");
  expect({ code: result.code, stdout: result.stdout }).toEqual({ code, stdout: "" });
  for (const secret of [PASSWORD, KEY, OTHER_KEY]) expect(result.stderr).not.toContain(secret);
  expect(result.stderr).not.toMatch(/\n\s+at |\.ts:\d+|unexpected;/);
}

describe("flags and environment", () => {
  const cases: Wrong[] = [
    ["a flag with a near miss", ["serve", "--prot", "1"], {}, 2, [/unknown option '--prot'.*--port/]],
    ["a command with a near miss", ["srve"], {}, 2, [/unknown command 'srve'.*serve/]],
    ["an argument too many", ["serve", "now"], {}, 2, [/too many arguments.*now/]],
    [
      "a value that is none of those there are",
      ["serve", "--log-level", "loud"],
      {},
      2,
      [/debug, info, warn/],
    ],
    [
      "a host that others can reach",
      ["serve", "--host", "0.0.0.0"],
      {},
      2,
      [/--host 0\.0\.0\.0: .*this machine only/],
    ],
    [
      "several problems, all told at once",
      ["serve", "--port", "70000", "--workers", "many"],
      { EVERRUNS_CONCURRENCY: "0", DATABASE_URL: `mysql://u:${PASSWORD}@h/d`, AUTH_MODE: "some" },
      2,
      [
        /--port: .*0 to 65535.*70000/,
        /DATABASE_URL: .*postgres:/,
        /--workers: .*many/,
        /EVERRUNS_CONCURRENCY/,
        /AUTH_MODE/,
      ],
    ],
    [
      "a variable with a near miss",
      ["serve"],
      { EVERRUNS_LOGLEVEL: "debug" },
      2,
      [/EVERRUNS_LOGLEVEL: .*EVERRUNS_LOG_LEVEL/],
    ],
    [
      "no server to talk to",
      ["run", "--api-url", "http://127.0.0.1:1", "hello"],
      {},
      1,
      [/no server at http:\/\/127\.0\.0\.1:1.*everruns serve/],
    ],
  ];
  for (const [name, args, env, code, says] of cases) {
    test(name, () => expectRefusal(args, env, code, says));
  }
  test("none of them has left anything behind", () => {
    expect([readdirSync(dataDir), readdirSync(cwd)]).toEqual([[], []]);
  });
});

describe("DATABASE_URL", () => {
  let migrated: TestDatabase;
  let empty: TestDatabase;
  const open: DatabaseUrl[] = [];
  /** Settings that point at a database, with a password in them. */
  const pointing = async (database: TestDatabase, rename: (name: string) => string = (name) => name) => {
    const address = await databaseUrl(database.address);
    open.push(address);
    const url = new URL(address.url);
    url.password = PASSWORD;
    url.pathname = rename(url.pathname);
    return { DATABASE_URL: url.href, EVERRUNS_ENCRYPTION_KEY: KEY };
  };

  beforeAll(async () => {
    [migrated, empty] = await Promise.all([testDatabase(), testDatabase({ migrated: false })]);
  });
  afterAll(async () => {
    for (const address of open) await address.stop();
    await migrated?.drop();
    await empty?.drop();
  });

  for (const command of [["serve", "--port", "0"], ["worker"], ["migrate"]]) {
    test(`where nobody listens: ${command[0]}`, () =>
      expectRefusal(command, { DATABASE_URL: `postgres://u:${PASSWORD}@127.0.0.1:1/db` }, 1, [
        /postgres:\/\/u:\*\*\*@127\.0\.0\.1:1\/db: ECONNREFUSED; is it running/,
      ]));
  }

  test("on a host that does not exist", () =>
    expectRefusal(["serve"], { DATABASE_URL: `postgres://u:${PASSWORD}@no-such-host.invalid/db` }, 1, [
      /no-such-host\.invalid.*is DATABASE_URL right/,
    ]));

  test("of a server that is no PostgreSQL", async () => {
    const web = createServer((_, response) => response.end("hello"));
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = web.address() as AddressInfo;
      await expectRefusal(["serve"], { DATABASE_URL: `postgres://u:${PASSWORD}@127.0.0.1:${port}/db` }, 1, [
        /cannot use the database at .*is DATABASE_URL right/,
      ]);
    } finally {
      web.close();
    }
  });

  test("of a database that does not exist", async () =>
    expectRefusal(["serve"], await pointing(empty, (name) => `${name}_not`), 1, [
      /no such database; create it first/,
    ]));

  test("without a schema: serve and worker say what to type", async () => {
    const env = await pointing(empty);
    await expectRefusal(["serve", "--port", "0"], env, 1, [/no everruns schema yet; run `everruns migrate`/]);
    await expectRefusal(["worker"], env, 1, [/no everruns schema yet; run `everruns migrate`/]);
  });

  test("with a schema that is newer than the program", async () => {
    const env = await pointing(migrated);
    const { sql } = migrated.db;
    await sql`insert into schema_migrations (version, name, checksum) values (9999, '9999_future', 'x')`;
    for (const command of ["serve", "worker", "migrate"]) {
      await expectRefusal([command], env, 1, [/schema version 9999 \(9999_future\).*use a newer everruns/]);
    }
    await sql`delete from schema_migrations where version = 9999`;
  });

  test("with a wrong password", async () => {
    const own = work.fresh("password");
    const rules = join(own, "hba.conf");
    writeFileSync(rules, "local all everruns trust\nlocal all all scram-sha-256\n");
    chmodSync(rules, 0o644);
    const postgres = await startEmbeddedPostgres({
      dataDir: own,
      durable: false,
      settings: { hba_file: rules },
    });
    try {
      await withSql(postgres.address, (sql) => sql.unsafe("create role ada login password 'right'"));
      const address = await databaseUrl(postgres.address);
      open.push(address);
      const url = new URL(address.url);
      Object.assign(url, { username: "ada", password: PASSWORD });
      await expectRefusal(["serve"], { DATABASE_URL: url.href }, 1, [
        /postgres:\/\/ada:\*\*\*@.*user or password is wrong; check DATABASE_URL/,
      ]);
    } finally {
      await postgres.stop();
    }
  });

  describe("and the encryption key", () => {
    const keyed = (name: string, content: string, mode: number) => {
      const directory = work.fresh(name);
      const path = join(directory, "encryption.key");
      writeFileSync(path, content);
      chmodSync(path, mode);
      return { directory, path };
    };
    const serveWith = async (directory: string, says: RegExp) => {
      const { DATABASE_URL } = await pointing(migrated);
      await expectRefusal(["serve", "--port", "0", "--data-dir", directory], { DATABASE_URL }, 1, [says]);
    };

    test("that others may read", async () => {
      const { directory, path } = keyed("readable", `${KEY}\n`, 0o644);
      await serveWith(directory, new RegExp(`mode 644\\); type: chmod 600 ${path}`));
    });
    test("of a wrong length", async () => {
      const { directory } = keyed("short", "AAAA\n", 0o600);
      await serveWith(directory, /does not hold 32 bytes as base64 or hex/);
    });
    test("that is empty", async () => {
      const { directory } = keyed("nothing", "", 0o600);
      await serveWith(directory, /does not hold 32 bytes as base64 or hex/);
    });
    test("that is another than the database's", async () => {
      const { sql } = migrated.db;
      await sql`insert into installation (name, value) values ('encryption_key_id', 'somebody')`;
      const { directory } = keyed("other", `${OTHER_KEY}\n`, 0o600);
      await serveWith(directory, /sealed with the key somebody.*EVERRUNS_ENCRYPTION_KEY/);
    });
  });
});

describe("this machine", () => {
  test("a port in use: nothing is left running", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as AddressInfo;
    const own = work.fresh("port");
    try {
      await expectRefusal(
        ["serve", "--port", String(port), "--data-dir", own, "--log-level", "error"],
        {},
        1,
        [new RegExp(`port ${port} on 127\\.0\\.0\\.1 is in use.*--port`)],
      );
      expect(clusterProcesses(own)).toEqual([]);
    } finally {
      other.close();
      killCluster(own);
    }
  });

  test("a data directory that cannot be made", () =>
    expectRefusal(["serve", "--data-dir", "/dev/null/everruns"], {}, 1, [
      /cannot create the data directory \/dev\/null\/everruns.*--data-dir/,
    ]));

  test.skipIf(!isRoot)(
    "no environment, no home and no name: it finds a place, or says what to set",
    async () => {
      // As somebody without an entry in /etc/passwd; root has its own place.
      const command = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", executablePath()];
      const config = await startProcess([...command, "config", "--json"], {
        cwd: "/",
        env: { PATH: process.env.PATH ?? "" },
      }).finished;
      expect(config).toMatchObject({ code: 0, stderr: "" });
      const rows = JSON.parse(config.stdout) as { name: string; value: string }[];
      expect(rows.find(({ name }) => name === "data-dir")?.value).toBe("/tmp/everruns-54321");
      expect(existsSync("/tmp/everruns-54321")).toBe(false);

      const locked = join(work.fresh("locked"), "home");
      mkdirSync(locked, { mode: 0o700 });
      const refused = await startProcess([...command, "serve", "--port", "0"], {
        cwd: "/",
        env: { PATH: process.env.PATH ?? "", HOME: locked },
      }).finished;
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/^everruns: cannot create the data directory .*--data-dir.*\n$/);
    },
  );
});
