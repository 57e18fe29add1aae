import { afterAll, beforeAll, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { type Invoked, invokeTool } from "../../src/capabilities/invoke.ts";
import { sessionFiles } from "../../src/capabilities/session-files.ts";
import type { FileStore } from "../../src/contract/file-store.ts";
import { limits } from "../../src/contract/limits.ts";
import { createFileStore, putInitialFiles } from "../../src/db/files/files.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { type RecordedContext, toolContext } from "../support/tool-context.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

const newScope = () => ({
  organizationId: "org_00000000000000000000000000000001",
  treeId: newId("wsp"),
});
const newFiles = () => createFileStore(database.db, newScope());
const tools = new Map(sessionFiles.tools(undefined).map((tool) => [tool.name, tool]));

function call(
  files: FileStore,
  name: string,
  input: unknown,
  context: RecordedContext = toolContext({ files }),
) {
  return invokeTool(tools.get(name)!, JSON.stringify(input), context, {
    timeoutMs: 30_000,
    outputBytesMax: limits.toolResultBytesMax,
  });
}
async function contentOf(outcome: Promise<Invoked>): Promise<string> {
  const settled = await outcome;
  if (!settled.ok) throw new Error(`the call failed: ${settled.error}`);
  return settled.content;
}
async function errorOf(outcome: Promise<Invoked>): Promise<string> {
  const settled = await outcome;
  if (settled.ok) throw new Error(`the call succeeded: ${settled.content}`);
  expect(settled.fault).toBeUndefined();
  return settled.error;
}
const hashIn = (content: string) => /hash ([0-9a-f]{64})/.exec(content)?.[1] ?? "";
const write = (files: FileStore, path: string, content: string) =>
  contentOf(call(files, "write_file", { path, content }));
const textOf = async (files: FileStore, path: string) => (await files.read(path))?.content;

test("write, read with numbers, and the head that says which lines", async () => {
  const files = newFiles();
  const context = toolContext({ files });
  const written = await contentOf(
    call(files, "write_file", { path: "notes/a.md", content: "one\ntwo\nthree\n" }, context),
  );
  const { hash, ...rest } = JSON.parse(written);
  expect(rest).toEqual({ path: "/notes/a.md", created: true, size_bytes: 14 });
  expect(context.written).toEqual([
    { path: "/notes/a.md", operation: "write", sizeBytes: 14, created: true },
  ]);
  expect(await contentOf(call(files, "read_file", { path: "/notes/a.md" }))).toBe(
    `/notes/a.md (lines 1-3 of 3, 14 bytes, hash ${hash})\n     1\tone\n     2\ttwo\n     3\tthree`,
  );
  expect(await contentOf(call(files, "read_file", { path: "/notes/a.md", offset: 2, limit: 1 }))).toBe(
    `/notes/a.md (lines 2-2 of 3, 14 bytes, hash ${hash})\n     2\ttwo\n[… read on with offset=3]`,
  );
});

test("a file larger than an answer is read in parts that join without a gap", async () => {
  const files = newFiles();
  const lines = Array.from({ length: 9_000 }, (_, index) => `line ${index} ${"ü".repeat(index % 40)}`);
  await write(files, "/long", lines.join("\n"));
  const seen: string[] = [];
  for (let offset = 1; ; ) {
    const content = await contentOf(call(files, "read_file", { path: "/long", offset, limit: 100_000 }));
    expect(content).not.toContain("bytes left out");
    const [, ...shown] = content.split("\n");
    const more = /^\[… read on with offset=(\d+)\]$/.exec(shown.at(-1) ?? "");
    seen.push(...(more ? shown.slice(0, -1) : shown).map((line) => line.slice(line.indexOf("\t") + 1)));
    if (!more) break;
    offset = Number(more[1]);
  }
  expect(seen).toEqual(lines);
});

const reads: [string, string, string][] = [
  ["an empty file", "", "/f (empty, hash"],
  ["a very long line", "x".repeat(10_000), "[… 6000 more characters]"],
  ["a last line without an end", "a\nb", "lines 1-2 of 2"],
  ["Windows line ends", "a\r\nb\r\n", "     1\ta\n     2\tb"],
];
for (const [name, content, expected] of reads) {
  test(`reads ${name}`, async () => {
    const files = newFiles();
    await write(files, "/f", content);
    expect(await contentOf(call(files, "read_file", { path: "/f" }))).toContain(expected);
  });
}

test("binary content is written as base64 and not shown", async () => {
  const files = newFiles();
  await contentOf(call(files, "write_file", { path: "/b", content: "AAEC", encoding: "base64" }));
  expect(await contentOf(call(files, "read_file", { path: "/b" }))).toContain("binary, 3 bytes");
  expect(
    await errorOf(call(files, "write_file", { path: "/b", content: "???", encoding: "base64" })),
  ).toContain("not base64");
  expect(await errorOf(call(files, "edit_file", { path: "/b", old_string: "a", new_string: "b" }))).toContain(
    "binary",
  );
});

const edits: [string, string, Record<string, unknown>, string | null, string][] = [
  ["one place", "a b c", { old_string: "b", new_string: "x" }, "a x c", '"replacements":1'],
  ["text with dollar signs", "a b", { old_string: "b", new_string: "$& $1" }, "a $& $1", '"replacements":1'],
  ["every place", "b a b", { old_string: "b", new_string: "", replace_all: true }, " a ", '"replacements":2'],
  ["two places, not told which", "b a b", { old_string: "b", new_string: "x" }, null, "occurs 2 times"],
  ["nothing", "a", { old_string: "b", new_string: "x" }, null, "does not occur in /f"],
  ["the same", "a", { old_string: "a", new_string: "a" }, null, "are the same"],
  [
    "text with line numbers",
    "one\n",
    { old_string: "     1\tone", new_string: "x" },
    null,
    "line numbers of read_file",
  ],
  ["other white space", "a\n  b", { old_string: "a b", new_string: "x" }, null, "with other white space"],
  ["Windows line ends", "a\r\nb", { old_string: "a\nb", new_string: "x" }, null, "lines end in \\r\\n"],
  ["no text at all", "a", { old_string: "", new_string: "x" }, null, "old_string"],
];
for (const [name, before, edit, after, said] of edits) {
  test(`edit: ${name}`, async () => {
    const files = newFiles();
    await write(files, "/f", before);
    const outcome = call(files, "edit_file", { path: "/f", ...edit });
    expect(after === null ? await errorOf(outcome) : await contentOf(outcome)).toContain(said);
    expect(await textOf(files, "/f")).toBe(after ?? before);
  });
}

test("an expected hash guards writes and edits against changes in between", async () => {
  const files = newFiles();
  await write(files, "/f", "one");
  const expected_hash = hashIn(await contentOf(call(files, "read_file", { path: "/f" })));
  await write(files, "/f", "one two");
  for (const [name, input] of [
    ["write_file", { content: "mine" }],
    ["edit_file", { old_string: "one", new_string: "mine" }],
  ] as const) {
    expect(await errorOf(call(files, name, { path: "/f", expected_hash, ...input }))).toContain(
      "has changed",
    );
    expect(await errorOf(call(files, name, { path: "/f", expected_hash: "abc", ...input }))).toContain(
      "not a hash",
    );
  }
  expect(await textOf(files, "/f")).toBe("one two");
});

test("a call that is repeated after a crash answers as before and changes nothing", async () => {
  const files = newFiles();
  const repeated = async (name: string, input: unknown, key: string) => {
    const first = await contentOf(call(files, name, input, toolContext({ files, idempotencyKey: key })));
    const before = await files.list("/", true);
    const context = toolContext({ files, idempotencyKey: key });
    const second = await contentOf(call(files, name, input, context));
    expect(await files.list("/", true)).toEqual(before);
    // The event of the change is stored with the call's result, so the repeated call announces it again.
    expect(context.written).toHaveLength(1);
    const withoutCount = ({ replacements: _, ...rest }: Record<string, unknown>) => rest;
    expect(withoutCount(JSON.parse(second))).toEqual(withoutCount(JSON.parse(first)));
  };
  await repeated("write_file", { path: "/f", content: "a" }, "turn:1");
  await repeated("edit_file", { path: "/f", old_string: "a", new_string: "aa" }, "turn:2");
  expect(await textOf(files, "/f")).toBe("aa");
  await repeated("delete_file", { path: "/f" }, "turn:3");
});

test("parallel edits of one file all stand", async () => {
  const files = newFiles();
  await write(files, "/f", "a b c d");
  await Promise.all(
    ["a", "b", "c", "d"].map((word) =>
      contentOf(call(files, "edit_file", { path: "/f", old_string: word, new_string: word.toUpperCase() })),
    ),
  );
  expect(await textOf(files, "/f")).toBe("A B C D");
});

test("what is read-only stays as it is", async () => {
  const scope = newScope();
  await putInitialFiles(database.db, scope, [{ path: "/rules.md", content: "be kind", is_readonly: true }]);
  const files = createFileStore(database.db, scope);
  for (const [name, input] of [
    ["write_file", { path: "/rules.md", content: "" }],
    ["edit_file", { path: "/rules.md", old_string: "kind", new_string: "rude" }],
    ["delete_file", { path: "/rules.md" }],
  ] as const) {
    expect(await errorOf(call(files, name, input))).toContain("read-only");
  }
  expect(await contentOf(call(files, "list_directory", {}))).toBe("/rules.md (7 bytes, read-only)");
});

async function tree(): Promise<FileStore> {
  const files = newFiles();
  await write(files, "/README.md", "# Title\nSee src.\n");
  await write(files, "/src/a.ts", "export const one = 1;\nexport const two = 2;\n");
  await write(files, "/src/deep/b.ts", "const ONE = 'one';\n");
  await write(files, "/src/deep/c.json", '{"one": 1}');
  return files;
}

const looks: [string, Record<string, unknown>, string][] = [
  ["list_directory", {}, "/README.md (17 bytes)\n/src/"],
  [
    "list_directory",
    { path: "/src", recursive: true },
    "/src/a.ts (44 bytes)\n/src/deep/\n/src/deep/b.ts (19 bytes)\n/src/deep/c.json (10 bytes)",
  ],
  ["glob", { pattern: "**/*.ts" }, "/src/a.ts (44 bytes)\n/src/deep/b.ts (19 bytes)"],
  ["glob", { pattern: "*.ts" }, "No files match."],
  [
    "glob",
    { pattern: "*.{ts,json}", path: "/src/deep" },
    "/src/deep/b.ts (19 bytes)\n/src/deep/c.json (10 bytes)",
  ],
  ["glob", { pattern: "/src/*.ts" }, "/src/a.ts (44 bytes)"],
  [
    "grep_files",
    { pattern: "one" },
    "/src/a.ts:1: export const one = 1;\n/src/deep/b.ts:1: const ONE = 'one';\n/src/deep/c.json:1: {\"one\": 1}",
  ],
  [
    "grep_files",
    { pattern: "\\bone\\b", include: "**/*.ts", path: "/src" },
    "/src/a.ts:1: export const one = 1;\n/src/deep/b.ts:1: const ONE = 'one';",
  ],
  ["grep_files", { pattern: "^const one", ignore_case: true }, "/src/deep/b.ts:1: const ONE = 'one';"],
  ["grep_files", { pattern: "ONE", path: "/src/deep/b.ts" }, "/src/deep/b.ts:1: const ONE = 'one';"],
  ["grep_files", { pattern: "= 1;", literal: true }, "/src/a.ts:1: export const one = 1;"],
  [
    "grep_files",
    { pattern: "const", max_matches: 1 },
    "/src/a.ts:1: export const one = 1;\n[… only the first 1 matches are shown]",
  ],
  ["grep_files", { pattern: "nowhere" }, "No matches."],
];
for (const [name, input, expected] of looks) {
  test(`${name} ${JSON.stringify(input)}`, async () =>
    expect(await contentOf(call(await tree(), name, input))).toBe(expected));
}

test("several files at once, each with its share, missing ones said", async () => {
  const files = await tree();
  await write(files, "/large", "0123456789\n".repeat(20_000));
  const content = await contentOf(
    call(files, "read_many_files", { paths: ["/README.md", "/none", "/large", "/src/a.ts"] }),
  );
  for (const part of [
    "     1\t# Title",
    "/none: there is no such file",
    "[… read on with offset=",
    "export const two",
  ]) {
    expect(content).toContain(part);
  }
  expect(content).not.toContain("bytes left out");
});

test("what is there, and what is not", async () => {
  const files = await tree();
  const stat = async (path: string) => JSON.parse(await contentOf(call(files, "stat_file", { path })));
  expect(await stat("/src")).toMatchObject({ exists: true, is_directory: true });
  expect(await stat("/src/a.ts")).toMatchObject({ exists: true, is_directory: false, size_bytes: 44 });
  expect(await stat("/none")).toEqual({ path: "/none", exists: false });
});

const failures: [string, Record<string, unknown>, string][] = [
  ["read_file", { path: "/none" }, "There is no file /none."],
  ["read_file", { path: "/src" }, "There is no file /src."],
  ["read_file", { path: "/src/a.ts", offset: 9 }, "has 2 lines; there is no line 9"],
  ["read_file", { path: "/../etc/passwd" }, ".."],
  ["list_directory", { path: "/none" }, "there is no directory /none"],
  ["list_directory", { path: "/README.md" }, "is a file, not a directory"],
  ["delete_file", { path: "/none" }, "There is nothing at /none."],
  ["delete_file", { path: "/src" }, "recursive=true"],
  ["write_file", { path: "/src", content: "" }, "is a directory"],
  ["write_file", { path: "/README.md/x", content: "" }, "cannot be below it"],
  ["edit_file", { path: "/none", old_string: "a", new_string: "b" }, "There is no file /none."],
  ["grep_files", { pattern: "(" }, "not closed"],
  ["grep_files", { pattern: "(?=x)" }, "lookahead"],
  ["glob", { pattern: "x".repeat(600) }, "at most 500 characters"],
];
for (const [name, input, expected] of failures) {
  test(`${name} ${JSON.stringify(input).slice(0, 60)} is told why it cannot`, async () => {
    expect(await errorOf(call(await tree(), name, input))).toContain(expected);
  });
}

test("a search that would take too long says so, and lets others work meanwhile", async () => {
  const files = newFiles();
  await write(files, "/f", `${"a".repeat(999)}\n`.repeat(3_000));
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 0);
  const content = await contentOf(
    call(files, "grep_files", { pattern: "(a|b|c|d|e|f)*(a|b|c|d|e|f)*(a|b|c|d|e|f)*x" }),
  );
  clearInterval(timer);
  expect(content).toContain("the pattern takes too long");
  expect(turns).toBeGreaterThan(1);
});

test("a search obeys its signal", async () => {
  const files = newFiles();
  await write(files, "/f", `${"a".repeat(999)}\n`.repeat(2_000));
  const cancel = new AbortController();
  setImmediate(() => cancel.abort());
  const outcome = await call(
    files,
    "grep_files",
    { pattern: "(a|b|c|d|e|f)*(a|b|c|d|e|f)*x" },
    toolContext({ files, signal: cancel.signal }),
  );
  expect(outcome).toMatchObject({ ok: false, status: "cancelled" });
});
