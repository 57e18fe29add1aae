/**
 * A process that uses the embedded PostgreSQL: `bun user-process.ts DATA_DIR PROGRAM_DIR`.
 * Prints one line of JSON when it is ready or has failed, stops when its standard input closes.
 */
import { startEmbeddedPostgres } from "../../../src/embedded/postgres.ts";

const [dataDir = "", programDir = ""] = process.argv.slice(2);
try {
  const server = await startEmbeddedPostgres({ dataDir, ...(programDir ? { programDir } : {}) });
  console.log(JSON.stringify({ pid: server.pid, adopted: server.adopted, address: server.address }));
  await Bun.stdin.text();
  await server.stop();
} catch (error) {
  console.log(JSON.stringify({ error: error instanceof Error ? error.message : String(error) }));
  process.exitCode = 1;
}
