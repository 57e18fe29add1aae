/** Who may import whom, and what else is architecture: read from the sources, so that it cannot drift. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

const ROOT = join(import.meta.dir, "..");

/** Room → the rooms that it may import, itself aside. Type imports count. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  contract: ["base"],
  config: ["base"],
  db: ["base", "contract"],
  embedded: ["base"],
  llm: ["base", "contract"],
  capabilities: ["base", "contract"],
  client: ["base", "contract"],
  sandbox: ["base", "contract"],
  engine: ["base", "contract", "db", "llm", "capabilities"],
  api: ["base", "contract", "db", "capabilities"],
  tui: ["base", "contract", "client"],
  cli: [
    "base",
    "contract",
    "config",
    "db",
    "embedded",
    "llm",
    "capabilities",
    "client",
    "sandbox",
    "engine",
    "api",
    "tui",
    "migrations",
  ],
  migrations: [],
};

interface Source {
  /** Path below the root: `src/db/runs.ts`. */
  path: string;
  text: string;
}

function sourcesOf(...directories: string[]): Source[] {
  return directories.flatMap((directory) =>
    readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        return { path: relative(ROOT, path), text: readFileSync(path, "utf8") };
      }),
  );
}

function roomOf(path: string): string {
  const [first, second] = path.split("/");
  return first === "src" ? (second ?? "") : (first ?? "");
}

/** What a file imports: `from "…"`, `import "…"`, `import("…")`. */
function importsOf({ text }: Source): string[] {
  const code = withoutComments(text);
  return [...code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1] ?? "");
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

function importViolations(sources: readonly Source[]): string[] {
  return sources.flatMap((source) => {
    const room = roomOf(source.path);
    return importsOf(source)
      .filter((target) => target.startsWith("."))
      .map((target) => join(source.path, "..", target))
      .filter((target) => target !== "package.json")
      .flatMap((target) => {
        const other = roomOf(target);
        const isPrivate = /\/_[^/]+$/.test(target);
        if (other === room) return [];
        if (isPrivate) return [`${source.path} imports ${target}, which is private to its room`];
        return MAY_IMPORT[room]?.includes(other) ? [] : [`${source.path} imports ${target}`];
      });
  });
}

/** Reads the environment, prints or exits outside the composition root. */
function effectViolations(sources: readonly Source[]): string[] {
  return sources
    .filter((source) => roomOf(source.path) !== "cli")
    .filter((source) =>
      /\bprocess\.(env|exit|argv|stdout|stderr)\b|\bconsole\.(log|info|warn|error|debug)\b/.test(
        withoutComments(source.text),
      ),
    )
    .map((source) => source.path);
}

describe("the rooms of the house", () => {
  const sources = sourcesOf("src", "cli", "migrations");

  test("every room is in the table", () => {
    const rooms = new Set(sources.map((source) => roomOf(source.path)));
    expect([...rooms].filter((room) => !(room in MAY_IMPORT))).toEqual([]);
  });

  test("imports go in the direction of the table", () => {
    expect(importViolations(sources)).toEqual([]);
  });

  test("only cli reads the environment, prints and exits", () => {
    expect(effectViolations(sources)).toEqual([]);
  });

  test("only two files of the contract import TypeBox", () => {
    const users = sources.filter((source) => importsOf(source).some((target) => target.includes("typebox")));
    expect(users.map((source) => source.path).sort()).toEqual([
      "src/contract/check.ts",
      "src/contract/schema.ts",
    ]);
  });

  test("begin and reserve are called by the transaction lane alone", () => {
    const users = sources.filter((source) => /\.(begin|reserve)\(/.test(withoutComments(source.text)));
    expect(users.map((source) => source.path)).toEqual(["src/db/tx.ts"]);
  });

  test("no file re-exports another as a whole", () => {
    expect(sources.filter((source) => /^export \*/m.test(source.text)).map((source) => source.path)).toEqual(
      [],
    );
  });

  test("no file is longer than 450 lines", () => {
    const long = sources.filter((source) => source.text.split("\n").length > 450);
    expect(long.map((source) => source.path)).toEqual([]);
  });

  test("the checks find what they look for", () => {
    const bad = (path: string, text: string): Source => ({ path, text });
    expect(
      importViolations([
        bad("src/api/x.ts", 'import { a } from "../engine/run.ts";'),
        bad("src/tui/x.ts", 'import type { A } from "../db/pool.ts";'),
        bad("src/engine/x.ts", 'const a = await import("../capabilities/_safe-fetch.ts");'),
        bad("src/base/x.ts", 'import "../contract/schema.ts";'),
        bad("src/db/x.ts", 'import { a } from "./pool.ts";\nimport { b } from "postgres";'),
      ]),
    ).toEqual([
      "src/api/x.ts imports src/engine/run.ts",
      "src/tui/x.ts imports src/db/pool.ts",
      "src/engine/x.ts imports src/capabilities/_safe-fetch.ts, which is private to its room",
      "src/base/x.ts imports src/contract/schema.ts",
    ]);
    expect(
      effectViolations([bad("src/db/x.ts", "console.log(1)"), bad("cli/x.ts", "process.exit(1)")]),
    ).toEqual(["src/db/x.ts"]);
  });
});
