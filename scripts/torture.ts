/**
 * `bun scripts/torture.ts [--minutes 10] [--seed N] [--sessions N] [--workers N]`: workers, servers and PostgreSQL
 * are killed, stopped, drained and restarted at random while clients go on talking; at the end the whole history is
 * read and must show none of it. Ends with 1 when it does, with the evidence, and keeps logs and data.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "./build.ts";
import { torture } from "./torture/run.ts";

const VIOLATIONS_SHOWN_MAX = 40;

async function main(args: readonly string[]): Promise<number> {
  const known = ["minutes", "seed", "sessions", "workers"] as const;
  const values = new Map<string, number>();
  for (let at = 0; at < args.length; at += 2) {
    const name = known.find((one) => `--${one}` === args[at]);
    const value = Number(args[at + 1]);
    if (!name || !(value > 0)) {
      console.error(`usage: bun scripts/torture.ts ${known.map((one) => `[--${one} N]`).join(" ")}`);
      return 2;
    }
    values.set(name, value);
  }
  const seed = values.get("seed") ?? Math.floor(Math.random() * 1e9);
  const minutes = values.get("minutes") ?? 10;
  console.log(`torture: ${minutes} minutes, seed ${seed}`);
  const interruption = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => interruption.abort());
  const directory = mkdtempSync(join(tmpdir(), "everruns-torture-build-"));
  try {
    const executable = join(directory, "torture-everruns");
    await build({ output: executable, level: "fast", entry: "scripts/torture/executable.ts" });
    const result = await torture({
      seed,
      executable,
      minutes,
      turnsEach: null,
      sessions: values.get("sessions") ?? 12,
      workers: values.get("workers") ?? 3,
      signal: interruption.signal,
      ...(process.stdout.isTTY ? { onProgress: (line) => process.stdout.write(`\r\x1b[K${line}`) } : {}),
    });
    if (process.stdout.isTTY) process.stdout.write("\r\x1b[K");
    for (const [name, value] of Object.entries(result.counts)) console.log(`  ${name.padEnd(48)} ${value}`);
    for (const { rule, what } of result.violations.slice(0, VIOLATIONS_SHOWN_MAX)) {
      console.log(`VIOLATION ${rule}: ${what.slice(0, 1_000)}`);
    }
    if (result.keptIn !== null) console.log(`logs and data are kept in ${result.keptIn}`);
    return result.violations.length === 0 ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
