/**
 * `bun scripts/fuzz.ts [--minutes 10] [--seed N]`: random requests against a server of its own, for as long as you
 * like. The same seed makes the same calls as long as they go one after the other, which is the first part of it.
 */

async function main(args: readonly string[]): Promise<number> {
  const known = ["minutes", "seed"] as const;
  const values = new Map<string, number>();
  for (let at = 0; at < args.length; at += 2) {
    const name = known.find((one) => `--${one}` === args[at]);
    const value = Number(args[at + 1]);
    if (!name || !(value > 0)) {
      console.error(`usage: bun scripts/fuzz.ts ${known.map((one) => `[--${one} N]`).join(" ")}`);
      return 2;
    }
    values.set(name, value);
  }
  const child = Bun.spawn([process.execPath, "scripts/test.ts", "test/e2e/fuzz.test.ts"], {
    cwd: `${import.meta.dir}/..`,
    env: {
      ...process.env,
      EVERRUNS_FUZZ_SECONDS: String((values.get("minutes") ?? 10) * 60),
      EVERRUNS_FUZZ_SEED: String(values.get("seed") ?? Math.floor(Math.random() * 1e9)),
    },
    stdio: ["ignore", "inherit", "inherit"],
  });
  return child.exited;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
