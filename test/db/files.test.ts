import { afterAll, beforeAll, expect, test } from "bun:test";
import { UserError } from "../../src/base/errors.ts";
import { newId } from "../../src/base/id.ts";
import type { FileStore } from "../../src/contract/file-store.ts";
import { limits } from "../../src/contract/limits.ts";
import {
  createFileStore,
  createFileStores,
  initialFileProblems,
  pruneFileChanges,
  putInitialFiles,
  type TreeScope,
} from "../../src/db/files/files.ts";
import { pruneStagedBytes } from "../../src/db/files/staged.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

const ORGANIZATION = "org_00000000000000000000000000000001";
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

const newScope = (): TreeScope => ({ organizationId: ORGANIZATION, treeId: newId("wsp") });
const storeOf = (scope: TreeScope) => createFileStore(database.db, scope);
const newStore = () => storeOf(newScope());
const put = (store: FileStore, path: string, content: string) =>
  store.write({ path, content, expectedHash: null, idempotencyKey: null });
const remove = (store: FileStore, path: string, recursive = false) =>
  store.remove({ path, recursive, idempotencyKey: null });
const sha256 = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");

/** Sizes and counts on the workspace row are kept by arithmetic; here they are counted. */
async function expectExactTotals(scope: TreeScope) {
  const [row] = await database.db.sql`
    select w.size_bytes = coalesce(sum(f.size_bytes), 0) as size, w.entry_count = count(f.path) as entries
      from file_trees w left join files f on f.tree_id = w.id
     where w.id = ${scope.treeId} group by w.id`;
  expect(row).toEqual({ size: true, entries: true });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "ok";
  } catch (error) {
    if (error instanceof UserError) return error.code;
    throw error;
  }
}

test("a file comes back as it was written, its parents are made", async () => {
  const store = newStore();
  const text = "\uFEFFfirst\r\nsecond ☃ 𝄞\n";
  expect(await put(store, "notes//2026/./a.md", text)).toEqual({
    path: "/notes/2026/a.md",
    created: true,
    removed: false,
    sizeBytes: Buffer.byteLength(text),
    hash: sha256(text),
  });
  expect(await store.read("/notes/2026/a.md")).toEqual({
    path: "/notes/2026/a.md",
    content: text,
    encoding: "text",
    hash: sha256(text),
    sizeBytes: Buffer.byteLength(text),
    isReadonly: false,
  });
  expect((await store.list("/", true)).map((entry) => [entry.path, entry.isDirectory])).toEqual([
    ["/notes", true],
    ["/notes/2026", true],
    ["/notes/2026/a.md", false],
  ]);
});

const contents: [string, Uint8Array, "text" | "base64"][] = [
  ["empty content is text", new Uint8Array(0), "text"],
  ["a NUL among the first 8 KiB makes base64", new Uint8Array([65, 0, 66]), "base64"],
  ["a NUL after the first 8 KiB stays text", Buffer.from(`${"a".repeat(8192)}\0`), "text"],
  ["bytes that are not UTF-8 make base64", new Uint8Array([0x41, 0xff, 0xfe]), "base64"],
  ["every byte", Uint8Array.from({ length: 256 }, (_, byte) => byte), "base64"],
];
for (const [name, bytes, encoding] of contents) {
  test(name, async () => {
    const store = newStore();
    await store.write({
      path: "/f",
      content: Buffer.from(bytes).toString("base64"),
      encoding: "base64",
      expectedHash: null,
      idempotencyKey: null,
    });
    const file = await store.read("/f");
    expect(file?.encoding).toBe(encoding);
    const back = Buffer.from(file?.content ?? "", encoding === "text" ? "utf8" : "base64");
    expect(back.equals(Buffer.from(bytes))).toBe(true);
  });
}

test("content that claims to be base64 and is not is refused", async () => {
  const store = newStore();
  for (const content of ["a", "ab$c", "abcd=", "====", "ab=c"]) {
    expect(
      await codeOf(
        store.write({ path: "/f", content, encoding: "base64", expectedHash: null, idempotencyKey: null }),
      ),
    ).toBe("invalid_request");
  }
});

const refusedPaths: [string, string][] = [
  ["dots that climb", "/a/../b"],
  ["a NUL", "/a\0b"],
  ["a line break", "/a\nb"],
  ["the reserved first segment", "/_/a"],
  ["a lone surrogate", "/a\ud800"],
  ["a long path", `/${"a/".repeat(600)}b`],
  ["a long name", `/${"é".repeat(130)}`],
  ["the root", "/"],
];
for (const [name, path] of refusedPaths) {
  test(`a path is refused: ${name}`, async () => {
    expect(await codeOf(put(newStore(), path, "x"))).toBe("invalid_request");
  });
}

test("files and directories do not take each other's place", async () => {
  const store = newStore();
  await put(store, "/a/b", "x");
  expect(await codeOf(put(store, "/a", "x"))).toBe("conflict");
  expect(await codeOf(put(store, "/a/b/c", "x"))).toBe("conflict");
  expect(await store.read("/a")).toBeNull();
  expect(await codeOf(store.list("/a/b", false))).toBe("invalid_request");
  expect(await codeOf(store.list("/nothing", false))).toBe("not_found");
});

test("a write with the expected hash stands only while nobody else wrote", async () => {
  const store = newStore();
  const { hash } = await put(store, "/f", "one");
  const write = (expectedHash: string, content: string) =>
    store.write({ path: "/f", content, expectedHash, idempotencyKey: null });
  expect(await codeOf(write(hash, "two"))).toBe("ok");
  expect(await codeOf(write(hash, "three"))).toBe("conflict");
  expect((await store.read("/f"))?.content).toBe("two");
  expect(
    await codeOf(store.write({ path: "/new", content: "", expectedHash: hash, idempotencyKey: null })),
  ).toBe("conflict");
});

test("the same key answers as the first time and changes nothing (killed before the commit)", async () => {
  const scope = newScope();
  const store = storeOf(scope);
  const first = await store.write({
    path: "/f",
    content: "one",
    expectedHash: null,
    idempotencyKey: "turn:1",
  });
  await put(store, "/f", "someone else's");
  const again = storeOf(scope);
  expect(
    await again.write({ path: "/f", content: "one", expectedHash: null, idempotencyKey: "turn:1" }),
  ).toEqual(first);
  expect((await again.read("/f"))?.content).toBe("someone else's");
  expect(await again.recall("turn:1")).toEqual(first);
  expect(await again.recall("turn:2")).toBeNull();

  const removed = await store.remove({ path: "/f", recursive: false, idempotencyKey: "turn:3" });
  expect(removed.removed).toBe(true);
  await put(store, "/f", "back");
  expect(await again.remove({ path: "/f", recursive: false, idempotencyKey: "turn:3" })).toEqual(removed);
  expect((await store.read("/f"))?.content).toBe("back");
  await expectExactTotals(scope);
});

test("a directory lists its own entries, or all below it, by path", async () => {
  const store = newStore();
  for (const path of ["/a/z", "/a/b/c", "/a-b", "/a0", "/a/ü", "/b"]) await put(store, path, path);
  const paths = async (path: string, recursive: boolean) =>
    (await store.list(path, recursive)).map((entry) => entry.path);
  expect(await paths("/", false)).toEqual(["/a", "/a-b", "/a0", "/b"]);
  expect(await paths("/a", false)).toEqual(["/a/b", "/a/z", "/a/ü"]);
  expect(await paths("/a", true)).toEqual(["/a/b", "/a/b/c", "/a/z", "/a/ü"]);
  expect(await newStore().list("/", true)).toEqual([]);
});

test("deleting: nothing, a file, an empty directory, a full one", async () => {
  const scope = newScope();
  const store = storeOf(scope);
  for (const path of ["/a/b/c", "/a/d", "/a0", "/a-"]) await put(store, path, "12345");
  expect((await remove(store, "/nothing")).removed).toBe(false);
  expect(await codeOf(remove(store, "/a"))).toBe("directory_not_empty");
  expect(await codeOf(remove(store, "/", true))).toBe("invalid_request");
  expect((await remove(store, "/a/b/c")).removed).toBe(true);
  expect((await remove(store, "/a/b")).removed).toBe(true);
  await expectExactTotals(scope);
  expect((await remove(store, "/a", true)).removed).toBe(true);
  expect((await store.list("/", true)).map((entry) => entry.path)).toEqual(["/a-", "/a0"]);
  await expectExactTotals(scope);
});

test("what is read-only is neither written nor deleted, not even with the directory above it", async () => {
  const scope = newScope();
  await putInitialFiles(database.db, scope, [
    { path: "/docs/rules.md", content: "be kind", is_readonly: true },
    { path: "docs/data.bin", content: "AAEC", encoding: "base64" },
  ]);
  const store = storeOf(scope);
  expect(await codeOf(put(store, "/docs/rules.md", "be rude"))).toBe("file_readonly");
  expect(await codeOf(remove(store, "/docs/rules.md"))).toBe("file_readonly");
  expect(await codeOf(remove(store, "/docs", true))).toBe("file_readonly");
  expect((await store.stat("/docs/rules.md"))?.isReadonly).toBe(true);
  expect((await store.read("/docs/data.bin"))?.content).toBe("AAEC");
  await expectExactTotals(scope);
});

test("initial files are put all or none, and putting them again changes nothing more", async () => {
  const scope = newScope();
  const good = [
    { path: "/a", content: "1" },
    { path: "/b/c", content: "2", is_readonly: true },
  ];
  expect(await codeOf(putInitialFiles(database.db, scope, [...good, { path: "/a/x", content: "" }]))).toBe(
    "conflict",
  );
  expect(await storeOf(scope).list("/", true)).toEqual([]);
  await putInitialFiles(database.db, scope, good);
  await putInitialFiles(database.db, scope, good);
  expect((await storeOf(scope).list("/", true)).map((entry) => entry.path)).toEqual(["/a", "/b", "/b/c"]);
  await expectExactTotals(scope);
  expect(initialFileProblems(good)).toEqual([]);
  expect(initialFileProblems([{ path: "../a", content: "" }])[0]).toContain("..");
});

test("a file and a workspace have a largest size", async () => {
  const scope = newScope();
  const store = storeOf(scope);
  expect(await codeOf(put(store, "/f", "x".repeat(limits.fileBytesMax)))).toBe("ok");
  expect(await codeOf(put(store, "/f", "x".repeat(limits.fileBytesMax + 1)))).toBe("limit_exceeded");
  await expectExactTotals(scope);
  await database.db.sql`
    update file_trees set size_bytes = ${limits.workspaceBytesMax - 3} where id = ${scope.treeId}`;
  expect(await codeOf(put(store, "/g", "1234"))).toBe("limit_exceeded");
  expect(await codeOf(put(store, "/g", "123"))).toBe("ok");
  await database.db.sql`
    update file_trees set entry_count = ${limits.workspaceEntriesMax - 1} where id = ${scope.treeId}`;
  expect(await codeOf(put(store, "/d/h", ""))).toBe("limit_exceeded");
  expect(await codeOf(put(store, "/f", ""))).toBe("ok");
});

test("twenty stores writing into one workspace at once: every file stands, the totals are exact", async () => {
  const scope = newScope();
  const stores = Array.from({ length: 20 }, () => storeOf(scope));
  await Promise.all(stores.map((store, index) => put(store, `/shared/${index}`, "x".repeat(index))));
  await Promise.all(stores.map((store, index) => put(store, "/one", `${index}`)));
  await Promise.all(stores.map((store, index) => remove(store, `/shared/${index % 10}`)));
  expect((await storeOf(scope).list("/shared", true)).length).toBe(10);
  await expectExactTotals(scope);
});

test("another organization sees nothing and changes nothing (I12)", async () => {
  const scope = newScope();
  await put(storeOf(scope), "/f", "secret");
  const other = "org_00000000000000000000000000000002";
  await database.db
    .sql`insert into organizations (id, name) values (${other}, 'Other') on conflict do nothing`;
  const foreign = storeOf({ ...scope, organizationId: other });
  expect(await foreign.read("/f")).toBeNull();
  expect(await foreign.stat("/f")).toBeNull();
  expect(await foreign.list("/", true)).toEqual([]);
  expect(await codeOf(put(foreign, "/f", "mine"))).toBe("not_found");
  expect(await codeOf(remove(foreign, "/f"))).toBe("not_found");
  expect((await storeOf(scope).read("/f"))?.content).toBe("secret");
});

test("several files are read in the order that was asked for", async () => {
  const store = newStore();
  for (const path of ["/a", "/b", "/c"]) await put(store, path, path);
  expect((await store.readMany(["c", "/nothing", "/a"])).map((file) => file.content)).toEqual(["/c", "/a"]);
  expect((await store.stat("/"))?.isDirectory).toBe(true);
});

test("pieces of contents that a killed process left are swept, others are not", async () => {
  const { sql } = database.db;
  const [old, young] = [crypto.randomUUID(), crypto.randomUUID()];
  await sql`
    insert into staged_bytes (upload_id, position, piece, staged_at)
    select ${old}::uuid, n, 'x'::bytea, now() - interval '2 hours' from generate_series(0, 2) n
    union all select ${young}::uuid, 0, 'x'::bytea, now()`;
  expect(await pruneStagedBytes(database.db, 2)).toBe(2);
  expect(await pruneStagedBytes(database.db, 2)).toBe(1);
  expect(await pruneStagedBytes(database.db, 2)).toBe(0);
  const left = await sql<{ upload_id: string }[]>`select upload_id from staged_bytes`;
  expect(left.map((row) => row.upload_id)).toEqual([young]);
});

test("old changes are forgotten a batch at a time", async () => {
  const scope = newScope();
  const store = storeOf(scope);
  for (const key of ["old:1", "old:2", "new"]) {
    await store.write({ path: "/f", content: key, expectedHash: null, idempotencyKey: key });
  }
  await database.db.sql`
    update file_changes set created_at = now() - interval '2 days'
     where tree_id = ${scope.treeId} and idempotency_key like 'old:%'`;
  const day = 24 * 3_600_000;
  expect(await pruneFileChanges(database.db, { olderThanMs: day, rowsMax: 1 })).toBe(1);
  expect(await pruneFileChanges(database.db, { olderThanMs: day, rowsMax: 10 })).toBe(1);
  expect(await store.recall("old:1")).toBeNull();
  expect(await store.recall("new")).not.toBeNull();
});

test("a turn's parallel calls, each with a store of its own, all stand", async () => {
  const scope = newScope();
  const storeFor = createFileStores(database.db);
  const numbers = Array.from({ length: 128 }, (_, index) => index);
  await Promise.all(numbers.map((index) => put(storeFor(scope), `/${index}`, "x")));
  expect((await storeFor(scope).list("/", false)).length).toBe(128);
  await expectExactTotals(scope);
  const failed = await codeOf(put(storeFor(scope), "/_/x", ""));
  expect([failed, await codeOf(put(storeFor(scope), "/after", ""))]).toEqual(["invalid_request", "ok"]);
});
