/** The process for SQL, as the program starts it from a checkout. */
import { join } from "node:path";
import { createSqlRunner } from "../../src/sandbox/sql-runner.ts";

const PROGRAM = join(import.meta.dir, "../../cli/everruns.ts");

export const testSqlRunner = (options: { timeoutMs?: number } = {}) =>
  createSqlRunner({
    command: [process.execPath, PROGRAM, "__sql"],
    timeoutMs: options.timeoutMs ?? 10_000,
    concurrency: 2,
  });
