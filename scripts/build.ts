/**
 * Builds the one executable.
 *
 *   ./everruns build [--output PATH]   dist/everruns, archives at their best level (20 s more, once)
 *   ./everruns build --fast            archives as they are
 *
 * A script and not a command line, because of the plugin below. Not `splitting`: Bun 1.4 initialises modules of an
 * import cycle in the wrong order then (oven-sh/bun#42837). Bytecode is what makes the start quick: `--version` in
 * 20 ms instead of 110.
 */
import { chmodSync, mkdirSync, renameSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { BunPlugin } from "bun";
import { type PackLevel, packPostgres } from "./pack-postgres.ts";

const ROOT = join(import.meta.dir, "..");

export interface BuildOptions {
  /** Path of the executable. */
  output: string;
  level: PackLevel;
  /** The program, below the root; that of the product when absent. */
  entry?: string;
}

/** @throws Error with what the bundler says */
export async function build({ output, level, entry = "cli/everruns.ts" }: BuildOptions): Promise<void> {
  await packPostgres(level);
  mkdirSync(dirname(output), { recursive: true });
  // Written beside and renamed: a running executable cannot be written to, and nobody starts half a file.
  const temporary = `${output}.${process.pid}.new`;
  const result = await Bun.build({
    entrypoints: [join(ROOT, entry)],
    compile: {
      outfile: temporary,
      // Otherwise the executable would obey a stranger's .env and bunfig.toml in whatever directory it is started.
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
    format: "esm",
    // Names of classes are kept: libraries put them into errors, and log lines are read by people.
    minify: { whitespace: true, syntax: true, identifiers: true, keepNames: true },
    bytecode: true,
    sourcemap: "none",
    define: {
      "process.env.NODE_ENV": '"production"',
      "process.env.EVERRUNS_BUILD_COMMIT": JSON.stringify(await commit()),
    },
    plugins: [withoutDevtools],
    throw: false,
  });
  if (!result.success) throw new Error(result.logs.map(String).join("\n"));
  chmodSync(temporary, 0o755);
  renameSync(temporary, output);
}

/** Ink imports its debugger when DEV is set; the import is hoisted, so that without it nothing would start. */
const withoutDevtools: BunPlugin = {
  name: "without-react-devtools",
  setup(bundler) {
    bundler.onResolve({ filter: /^react-devtools-core$/ }, () => ({
      path: "none",
      namespace: "without-devtools",
    }));
    bundler.onLoad({ filter: /.*/, namespace: "without-devtools" }, () => ({
      contents: "export default { initialize() {}, connectToDevTools() {} };",
      loader: "js",
    }));
  },
};

/** The short commit id, with a "+" when there are changes on top; "" outside a git checkout. */
async function commit(): Promise<string> {
  const git = async (...args: string[]) => {
    const child = Bun.spawn(["git", "-C", ROOT, ...args], { stdout: "pipe", stderr: "ignore" });
    const [out, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
    return code === 0 ? out.trim() : null;
  };
  if (Bun.which("git") === null) return "";
  const id = await git("rev-parse", "--short=10", "HEAD");
  const changes = await git("status", "--porcelain", "--untracked-files=no");
  return id === null ? "" : id + (changes ? "+" : "");
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  const at = args.indexOf("--output");
  const output = resolve(ROOT, (at >= 0 && args[at + 1]) || "dist/everruns");
  const start = performance.now();
  try {
    await build({ output, level: args.includes("--fast") ? "fast" : "release" });
  } catch (error) {
    console.error(`the build failed:\n${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
  const megabytes = (statSync(output).size / 1e6).toFixed(0);
  console.log(`${output}: ${megabytes} MB in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
