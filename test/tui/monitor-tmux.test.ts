import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../support/live.ts";
import { testDatabase } from "../support/postgres.ts";
import { describeMonitor } from "./support/monitor-scenes.ts";
import { hasTmux, openTerminal } from "./support/tmux.ts";

const CLI = join(import.meta.dir, "../../cli/everruns.ts");

describeMonitor("the sources", () => [process.execPath, "--no-env-file", CLI]);

test.skipIf(!hasTmux)(
  "a monitor that breaks gives the terminal back, and says why (only with tmux)",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "everruns-break-"));
    const database = await testDatabase();
    const server = await startServer(database);
    // Breaks as a bug would: from nowhere, in the midst of the work.
    const [preload, flag] = [join(directory, "break.ts"), join(directory, "now")];
    await Bun.write(
      preload,
      `import { existsSync } from "node:fs";
     setInterval(() => { if (existsSync(${JSON.stringify(flag)})) throw new Error("a bug of ours"); }, 20).unref();`,
    );
    const terminal = openTerminal([
      process.execPath,
      "--no-env-file",
      "--preload",
      preload,
      CLI,
      "monitor",
      "--api-url",
      server.url,
    ]);
    try {
      await terminal.until("to decide");
      await Bun.write(flag, "");
      const left = await terminal.until("exit code 1");
      expect(left).toContain("everruns: a bug of ours");
      expect(left).not.toContain("to decide");
      expect(terminal.modes()).toEqual({ isAlternate: false, isCursorShown: true });
    } finally {
      terminal.close();
      await server.stop();
      await database.drop();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  30_000,
);
