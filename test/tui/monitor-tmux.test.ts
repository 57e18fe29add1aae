import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type LiveServer, startServer, until } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { hasTmux, openTerminal } from "./support/tmux.ts";

const CLI = join(import.meta.dir, "../../cli/everruns.ts");

describe.skipIf(!hasTmux)("everruns monitor in a real terminal (only where tmux is installed)", () => {
  let database: TestDatabase;
  let server: LiveServer;
  beforeAll(async () => {
    database = await testDatabase();
    server = await startServer(database);
  });
  afterAll(async () => {
    await server.stop();
    await database.drop();
  });
  const open = (columns = 80, rows = 24) =>
    openTerminal([process.execPath, "--no-env-file", CLI, "monitor", "--api-url", server.url], {
      columns,
      rows,
    });
  /** Its processes, told by the address that no other has. */
  const processes = () =>
    Bun.spawnSync(["pgrep", "-f", `monitor --api-url ${server.url}$`])
      .stdout.toString()
      .trim();

  test("fits 80 × 24, goes to a list, and leaves the terminal as it was", async () => {
    const terminal = open();
    const shown = await terminal.until("calls to decide");
    expect(shown.split("\n").length).toBeLessThanOrEqual(24);
    for (const line of shown.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    terminal.type(":work", "Enter");
    await terminal.until(/workers · 0[\s\S]*no workers/);
    terminal.press("q");
    const left = await terminal.until("exit code 0");
    expect(left).not.toContain("calls to decide");
    terminal.close();
  }, 30_000);

  test("ends with its terminal", async () => {
    const terminal = open();
    await terminal.until("calls to decide");
    expect(processes()).not.toBe("");
    terminal.close();
    await until(() => processes() === "");
  }, 30_000);
});
