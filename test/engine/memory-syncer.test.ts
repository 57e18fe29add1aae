import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { manualClock } from "../../src/base/clock.ts";
import { UserError } from "../../src/base/errors.ts";
import { newId } from "../../src/base/id.ts";
import { silentLog } from "../../src/base/log.ts";
import type { RepositoryFile } from "../../src/capabilities/repository.ts";
import { createFileStore } from "../../src/db/files/files.ts";
import { claimSync, failSync, requestSync, storeSync } from "../../src/db/files/memory-sync.ts";
import { deleteTree, findTree, insertTree, updateTree } from "../../src/db/files/trees.ts";
import { createMemorySyncer } from "../../src/engine/memory-syncer.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { ORGANIZATION } from "../support/sessions.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.db.sql`delete from file_trees`;
});

const SOURCE = { provider: "github" as const, repository: "o/r", branch: "main" };
const scope = (id: string) => ({ organizationId: ORGANIZATION, kind: "memory" as const, id });
const newMemory = async (more: object = {}): Promise<string> => {
  const id = newId("mem");
  await insertTree(database.db, {
    ...scope(id),
    name: id,
    description: null,
    source: { ...SOURCE, ...more },
  });
  return id;
};
const stateOf = (id: string) => findTree(database.db, ORGANIZATION, "memory", id);
const pathsOf = async (id: string) =>
  (await createFileStore(database.db, { organizationId: ORGANIZATION, treeId: id }).list("/", true)).map(
    (entry) => entry.path,
  );
const filesOf = (files: Record<string, string>): RepositoryFile[] =>
  Object.entries(files).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
const olderBy = async (id: string, seconds: number) =>
  database.db.sql`
    update file_trees set sync_started_at = sync_started_at - ${seconds} * interval '1 second' where id = ${id}`;

describe("memories with a source", () => {
  test("are claimed once each: when asked, when their interval is over, when a worker was lost", async () => {
    const { db } = database;
    const [asked, regular] = [await newMemory(), await newMemory({ sync_interval_secs: 3_600 })];
    const claimed = await Promise.all([claimSync(db), claimSync(db), claimSync(db)]);
    expect(claimed.map((memory) => memory?.id ?? null).sort()).toEqual([asked, null, regular].sort());
    for (const memory of claimed) if (memory) await storeSync(db, memory, []);
    expect((await stateOf(asked))?.sync_status).toBe("synced");
    expect(await claimSync(db)).toBeNull();
    await olderBy(asked, 5_000);
    await olderBy(regular, 5_000);
    expect((await claimSync(db))?.id).toBe(regular);
    expect(await claimSync(db)).toBeNull();
    await olderBy(regular, 1_000);
    expect((await claimSync(db))?.id).toBe(regular);

    expect(await requestSync(db, ORGANIZATION, asked)).toBe(true);
    expect(await requestSync(db, "org_00000000000000000000000000000002", asked)).toBe(false);
    expect((await claimSync(db))?.id).toBe(asked);
    await updateTree(db, { ...scope(asked), changes: { status: "archived" } });
    expect(await requestSync(db, ORGANIZATION, asked)).toBe(false);
  });

  test("get what was fetched in the place of what was there; what did not change stays", async () => {
    const { db } = database;
    const id = await newMemory();
    const memory = await claimSync(db);
    if (!memory) throw new Error("not claimed");
    expect(await storeSync(db, memory, filesOf({ "/a": "1", "/d/b": "2", "/d/c": "3", "/x": "file" }))).toBe(
      true,
    );
    const store = createFileStore(db, { organizationId: ORGANIZATION, treeId: id });
    const before = await store.stat("/d/b");
    expect(
      await storeSync(db, memory, filesOf({ "/d/b": "2", "/d/c": "changed", "/x/y": "now below" })),
    ).toBe(true);
    expect(await pathsOf(id)).toEqual(["/d", "/d/b", "/d/c", "/x", "/x/y"]);
    expect(await store.stat("/d/b")).toEqual(before);
    expect((await store.read("/d/c"))?.content).toBe("changed");
    const [totals] = await db.sql`
      select t.size_bytes = sum(f.size_bytes) as size, t.entry_count = count(*) as entries
        from file_trees t join files f on f.tree_id = t.id where t.id = ${id} group by t.id`;
    expect(totals).toEqual({ size: true, entries: true });
    await expect(
      store.write({ path: "/d/b", content: "", expectedHash: null, idempotencyKey: null }),
    ).rejects.toMatchObject({ code: "file_readonly" });
  });

  test("keep nothing of a source that they have no more", async () => {
    const { db } = database;
    const id = await newMemory();
    const memory = await claimSync(db);
    if (!memory) throw new Error("not claimed");
    await updateTree(db, { ...scope(id), changes: { source: { ...SOURCE, repository: "other/one" } } });
    expect(await storeSync(db, memory, filesOf({ "/a": "1" }))).toBe(false);
    expect([await pathsOf(id), (await stateOf(id))?.sync_status]).toEqual([[], "pending"]);
    await failSync(db, memory, "late");
    expect((await stateOf(id))?.last_sync_error).toBeNull();
    const again = await claimSync(db);
    await deleteTree(db, scope(id));
    expect(again && (await storeSync(db, again, filesOf({ "/a": "1" })))).toBe(false);
  });

  test("are fetched by a worker; a failure is told and leaves the files", async () => {
    const clock = manualClock();
    const [good, bad] = [await newMemory(), await newMemory({ repository: "o/none" })];
    const stop = new AbortController();
    const done = Promise.withResolvers<void>();
    let looks = 0;
    const syncer = createMemorySyncer({
      db: database.db,
      log: silentLog,
      clock: {
        ...clock,
        // The second look comes when nothing more is due.
        async sleep() {
          looks += 1;
          if (looks < 2) return;
          done.resolve();
          await new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve()));
        },
      },
      async fetchRepository(source) {
        if (source.provider === "github" && source.repository === "o/none") {
          throw new UserError("not_fetched", "there is no such branch");
        }
        return filesOf({ "/README.md": "read me" });
      },
    });
    const running = syncer.run(stop.signal);
    await done.promise;
    expect(await stateOf(good)).toMatchObject({ sync_status: "synced", last_sync_error: null });
    expect((await stateOf(good))?.last_synced_at).toBeInstanceOf(Date);
    expect(await pathsOf(good)).toEqual(["/README.md"]);
    expect(await stateOf(bad)).toMatchObject({
      sync_status: "failed",
      last_sync_error: "there is no such branch",
      last_synced_at: null,
    });
    stop.abort();
    await running;
  });
});
