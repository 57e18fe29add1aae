/** Memories inside the files of a session, on real trees. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { UserError } from "../../src/base/errors.ts";
import { newId } from "../../src/base/id.ts";
import { mountFiles } from "../../src/capabilities/mounted-files.ts";
import type { FileStore } from "../../src/contract/file-store.ts";
import { createFileStore } from "../../src/db/files/files.ts";
import { deleteTree, insertTree, updateTree } from "../../src/db/files/trees.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { ORGANIZATION } from "../support/sessions.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

const newMemory = async (): Promise<string> => {
  const id = newId("mem");
  const tree = { organizationId: ORGANIZATION, id, kind: "memory" as const };
  await insertTree(database.db, { ...tree, name: id, description: null, source: null });
  return id;
};
const storeOf = (treeId: string) => createFileStore(database.db, { organizationId: ORGANIZATION, treeId });
const put = (store: FileStore, path: string, content: string, idempotencyKey: string | null = null) =>
  store.write({ path, content, expectedHash: null, idempotencyKey });
const remove = (store: FileStore, path: string) =>
  store.remove({ path, recursive: true, idempotencyKey: null });
const paths = async (store: FileStore, path: string, recursive = false) =>
  (await store.list(path, recursive)).map((entry) => entry.path);
const codeOf = async (promise: Promise<unknown>) => {
  try {
    await promise;
    return "ok";
  } catch (error) {
    if (error instanceof UserError) return `${error.code}: ${error.message}`;
    throw error;
  }
};

let [notes, docs] = ["", ""];
let base: FileStore;
let files: FileStore;

describe("memories in the files of a session", () => {
  beforeEach(async () => {
    [notes, docs] = [await newMemory(), await newMemory()];
    base = storeOf(newId("wsp"));
    await put(base, "/own.txt", "own");
    await put(base, "/project/own.txt", "own");
    await put(base, "/notes/hidden.txt", "hidden by the mount");
    await put(storeOf(notes), "/a/old.md", "old");
    await put(storeOf(docs), "/guide.md", "guide");
    files = mountFiles(base, [
      { path: "/notes", isWritable: true, files: storeOf(notes) },
      { path: "/project/team/docs", isWritable: false, files: storeOf(docs) },
    ]);
  });

  test("stand at their places, with the directories above them, and hide what is there", async () => {
    expect(await paths(files, "/")).toEqual(["/notes", "/own.txt", "/project"]);
    expect(await paths(files, "/project")).toEqual(["/project/own.txt", "/project/team"]);
    expect(await paths(files, "/project/team")).toEqual(["/project/team/docs"]);
    expect(await paths(files, "/project/team/docs")).toEqual(["/project/team/docs/guide.md"]);
    expect(await paths(files, "/", true)).toEqual([
      "/notes",
      "/notes/a",
      "/notes/a/old.md",
      "/own.txt",
      "/project",
      "/project/own.txt",
      "/project/team",
      "/project/team/docs",
      "/project/team/docs/guide.md",
    ]);
    expect(await files.read("/notes/hidden.txt")).toBeNull();
    expect(await files.stat("/project/team")).toMatchObject({ isDirectory: true, isReadonly: false });
    expect(await files.stat("/project/team/docs")).toMatchObject({ isDirectory: true, isReadonly: true });
    expect(await files.stat("/project/team/docs/guide.md")).toMatchObject({ isReadonly: true, sizeBytes: 5 });
    expect(await files.stat("/project/team/docs/none")).toBeNull();
  });

  test("are read with the others, in the order that was asked for", async () => {
    expect((await files.read("/notes/a/old.md"))?.content).toBe("old");
    const wanted = ["/project/team/docs/guide.md", "own.txt", "/none", "/notes/a/old.md"];
    expect((await files.readMany(wanted)).map((file) => [file.path, file.content, file.isReadonly])).toEqual([
      ["/project/team/docs/guide.md", "guide", true],
      ["/own.txt", "own", false],
      ["/notes/a/old.md", "old", false],
    ]);
  });

  test("take writes where they may be written, and nowhere else", async () => {
    const change = await put(files, "/notes/new.md", "new", "turn:1");
    expect(change).toMatchObject({ path: "/notes/new.md", created: true });
    expect((await storeOf(notes).read("/new.md"))?.content).toBe("new");
    expect(await base.read("/notes/new.md")).toBeNull();
    expect(await files.recall("turn:1")).toMatchObject({ path: "/notes/new.md" });
    expect(await put(files, "/notes/new.md", "again", "turn:1")).toEqual(change);
    expect((await remove(files, "/notes/new.md")).removed).toBe(true);
    expect((await put(files, "/elsewhere.txt", "x")).created).toBe(true);
    expect((await base.read("/elsewhere.txt"))?.content).toBe("x");

    const refused: [string, Promise<unknown>, RegExp][] = [
      ["a write into one for reading", put(files, "/project/team/docs/x", ""), /^file_readonly: .*docs\/x/],
      ["a removal from one for reading", remove(files, "/project/team/docs/guide.md"), /^file_readonly/],
      ["a file in the place of a mount", put(files, "/notes", ""), /^conflict/],
      ["a file in the place above a mount", put(files, "/project/team", ""), /^conflict/],
      ["the mount itself", remove(files, "/notes"), /^file_readonly/],
      ["what holds a mount", remove(files, "/project"), /^file_readonly/],
      ["everything", remove(files, "/"), /^file_readonly/],
      ["what is missing, listed", files.list("/notes/none", false), /^not_found: in \/notes: .*none/],
    ];
    for (const [name, promise, expected] of refused) {
      expect([name, await codeOf(promise)]).toEqual([name, expect.stringMatching(expected)]);
    }
    expect((await storeOf(docs).list("/", true)).length).toBe(1);
  });

  test("one that is archived is read and not written; one that is deleted is empty", async () => {
    const tree = { organizationId: ORGANIZATION, kind: "memory" as const, id: notes };
    await updateTree(database.db, { ...tree, changes: { status: "archived" } });
    expect((await files.read("/notes/a/old.md"))?.content).toBe("old");
    expect(await codeOf(put(files, "/notes/a/old.md", ""))).toMatch(/^archived: in \/notes/);
    await deleteTree(database.db, tree);
    expect(await files.read("/notes/a/old.md")).toBeNull();
    expect(await paths(files, "/notes")).toEqual([]);
    expect(await codeOf(put(files, "/notes/x", ""))).toMatch(/^not_found: in \/notes/);
  });

  test("one of another organization shows nothing and takes nothing", async () => {
    const foreign = createFileStore(database.db, {
      organizationId: "org_00000000000000000000000000000002",
      treeId: notes,
    });
    const mounted = mountFiles(base, [{ path: "/notes", isWritable: true, files: foreign }]);
    expect(await paths(mounted, "/notes", true)).toEqual([]);
    expect(await codeOf(put(mounted, "/notes/x", ""))).toMatch(/^not_found/);
  });
});
