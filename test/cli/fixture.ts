/** What most tests of the command line begin with: a server that answers, and a folder of their own. */
import { afterAll, beforeAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LiveServer, startServer } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { type Finished, runCli } from "./support.ts";

export interface CliFixture {
  database: TestDatabase;
  server: LiveServer;
  /** Absolute; goes away with its contents. */
  directory: string;
  /** Names the server. */
  env: Record<string, string>;
  cli(...args: string[]): Promise<Finished>;
}

/** Filled before the first test of the file (or of the `describe`) that calls this, and taken down after the last. */
export function cliFixture(): CliFixture {
  const fixture: Partial<CliFixture> = {};
  beforeAll(async () => {
    const database = await testDatabase();
    const server = await startServer(database);
    const env = { EVERRUNS_API_URL: server.url };
    Object.assign(fixture, {
      database,
      server,
      directory: mkdtempSync(join(tmpdir(), "everruns-test-")),
      env,
      cli: (...args) => runCli(args, { env: fixture.env ?? env }),
    } satisfies CliFixture);
  });
  afterAll(async () => {
    rmSync(fixture.directory ?? "", { recursive: true });
    await fixture.server?.stop();
    await fixture.database?.drop();
  });
  return fixture as CliFixture;
}
