/** Changes of a tree's files: read, plan, write if nobody else did. See `files.ts`. */
import { backoffMs } from "../../base/backoff.ts";
import { systemClock } from "../../base/clock.ts";
import { RetryableError, UserError } from "../../base/errors.ts";
import { ancestorsOf } from "../../base/path.ts";
import type { FileChange } from "../../contract/file-store.ts";
import type { Db } from "../pool.ts";
import { asRetryable } from "../sqlstate.ts";
import type { FilePlan, KnownEntry, Subtree, TreeState } from "./_file-plan.ts";
import { ENTRY_COLUMNS, type EntryRow } from "./_file-rows.ts";
import type { TreeScope } from "./files.ts";
import { bytesOf, type Sent, withContents } from "./staged.ts";

/** Races lost in a row before the change is given up; each one means that somebody else's change stood. */
const RACES_MAX = 50;
const RACE_BACKOFF = { baseMs: 2, capMs: 100 };

export interface Committed {
  changes: FileChange[];
  /** The entries that were written, moved or copied, at their new paths; empty when a known key was answered. */
  entries: EntryRow[];
}

/**
 * Reads, plans, writes; again when somebody else was faster. Answers a known key without planning.
 *
 * @param input.isSetup  the tree may come into being by this change, and is then `starting`
 */
export async function commitChange(
  db: Db,
  scope: TreeScope,
  input: { paths: readonly string[]; idempotencyKey: string | null; isSetup?: boolean },
  plan: (state: TreeState) => FilePlan | Promise<FilePlan>,
): Promise<Committed> {
  for (let race = 0; race < RACES_MAX; race += 1) {
    const known = await readState(db, scope, input.paths, input.idempotencyKey);
    if (known.change) return { changes: [known.change], entries: [] };
    const planned = await plan(known.state);
    const entries = await writePlan(db, scope, known.state.version, planned, input);
    if (entries !== null) return { changes: planned.changes, entries };
    await systemClock.sleep(backoffMs(RACE_BACKOFF, race));
  }
  throw new RetryableError("unavailable", "the files are being changed by many at once; try again");
}

async function readState(
  { sql }: Db,
  scope: TreeScope,
  paths: readonly string[],
  idempotencyKey: string | null,
): Promise<{ state: TreeState; change: FileChange | null }> {
  const relevant = [...new Set(paths.flatMap((path) => [...ancestorsOf(path), path]))];
  const [row] = await retryable(
    sql<StateRow[]>`
      select t.organization_id, t.status, t.source is not null as has_source, t.files_version, t.size_bytes, t.entry_count,
             (select jsonb_agg(jsonb_build_object('path', f.path, 'is_directory', f.is_directory,
                       'is_readonly', f.is_readonly, 'size_bytes', f.size_bytes, 'hash', f.hash))
                from files f where f.tree_id = t.id and f.path = any(${relevant})) as entries,
             (select to_jsonb(c) from file_changes c
               where c.tree_id = t.id and c.idempotency_key = ${idempotencyKey}) as change
        from file_trees t where t.id = ${scope.treeId}`,
  );
  const isWorkspace = scope.treeId.startsWith("wsp_");
  if (!row && isWorkspace) {
    return { state: { version: 0, sizeBytes: 0, entryCount: 0, entries: new Map() }, change: null };
  }
  if (row?.organization_id !== scope.organizationId || row.status === "deleted") {
    throw new UserError("not_found", `there is no such ${isWorkspace ? "workspace" : "memory"}`);
  }
  if (row.status === "archived") {
    throw new UserError("archived", `the ${isWorkspace ? "workspace" : "memory"} is archived and read-only`);
  }
  if (row.has_source) {
    throw new UserError("file_readonly", "the files of this memory come from its source and are read-only");
  }
  return {
    state: {
      version: row.files_version,
      sizeBytes: row.size_bytes,
      entryCount: row.entry_count,
      entries: new Map((row.entries ?? []).map((entry) => [entry.path, entry])),
    },
    change: row.change ? toChange(row.change) : null,
  };
}

/** Read after the state: a change in between makes the write lose its race, so the two fit when it matters. */
export async function readSubtree({ sql }: Db, scope: TreeScope, path: string): Promise<Subtree> {
  const [row] = await retryable(
    sql<{ entry_count: number; size_bytes: number; readonly_path: string | null; path_chars_max: number }[]>`
      select count(*) as entry_count, coalesce(sum(size_bytes), 0)::bigint as size_bytes,
             min(path) filter (where is_readonly) as readonly_path,
             coalesce(max(length(path)), 0) as path_chars_max
        from files
       where tree_id = ${scope.treeId} and organization_id = ${scope.organizationId}
         and path >= ${below(path)} and path < ${after(path)}`,
  );
  return {
    entryCount: row?.entry_count ?? 0,
    sizeBytes: row?.size_bytes ?? 0,
    readonlyPath: row?.readonly_path ?? null,
    pathCharsMax: row?.path_chars_max ?? 0,
  };
}

/** @returns null when the tree has another version by now; nothing was written then */
async function writePlan(
  db: Db,
  scope: TreeScope,
  version: number,
  plan: FilePlan,
  input: { idempotencyKey: string | null; isSetup?: boolean },
): Promise<EntryRow[] | null> {
  const contents = plan.rows.map((row) => row.bytes);
  return withContents(db, contents, (sent) => writeRows(db, scope, version, plan, sent, input));
}

async function writeRows(
  { sql }: Db,
  scope: TreeScope,
  version: number,
  plan: FilePlan,
  sent: readonly Sent[],
  { idempotencyKey, isSetup }: { idempotencyKey: string | null; isSetup?: boolean },
): Promise<EntryRow[] | null> {
  const { rows, removedPath, transfer, mark } = plan;
  const [first] = plan.changes;
  // postgres.js would take an array that begins with a boolean for a single boolean, so read-only files are named.
  const readonlyPaths = rows.filter((row) => row.isReadonly).map((row) => row.path);
  const columns = sql(ENTRY_COLUMNS);
  const written = await retryable(
    sql<EntryRow[]>`
      with moved as (
        update file_trees
           set files_version = files_version + 1, size_bytes = ${plan.sizeBytes},
               entry_count = ${plan.entryCount}, updated_at = now()
         where id = ${scope.treeId} and organization_id = ${scope.organizationId}
           and files_version = ${version} and status in ('starting', 'active')
        returning id as tree_id
      ), made as (
        insert into file_trees (id, organization_id, kind, name, is_session_default, status, files_version, size_bytes,
                                entry_count)
        select ${scope.treeId}, ${scope.organizationId}, 'workspace', 'session-' || substring(${scope.treeId} from 5),
               true, ${isSetup ? "starting" : "active"}, 1, ${plan.sizeBytes}::bigint, ${plan.entryCount}::bigint
         where ${version} = 0
        on conflict (id) do nothing
        returning id as tree_id
      ), tree as (
        select tree_id from moved union all select tree_id from made
      ), removed as (
        delete from files using tree
         where files.tree_id = tree.tree_id
           and (files.path = ${removedPath}
                or (files.path >= ${removedPath === null ? null : below(removedPath)}
                    and files.path < ${removedPath === null ? null : after(removedPath)}))
      ), written as (
        insert into files (tree_id, path, id, organization_id, is_directory, is_readonly, content, hash,
                           size_bytes)
        select tree.tree_id, f.path, f.id, ${scope.organizationId}, f.hash is null,
               f.path = any(${readonlyPaths}::text[]), ${bytesOf({ sql }, sql`f.base64`, sql`f.upload_id`)}, f.hash,
               f.size_bytes
          from tree,
               unnest(${rows.map((row) => row.path)}::text[], ${rows.map(() => Bun.randomUUIDv7())}::uuid[],
                      ${sent.map((one) => one.base64)}::text[], ${sent.map((one) => one.uploadId)}::uuid[],
                      ${rows.map((row) => row.hash)}::text[], ${rows.map((row) => row.bytes?.length ?? 0)}::bigint[])
                 as f (path, id, base64, upload_id, hash, size_bytes)
        on conflict (tree_id, path) do update
           set is_readonly = excluded.is_readonly, content = excluded.content, hash = excluded.hash,
               size_bytes = excluded.size_bytes, updated_at = now()
        returning ${columns}
      )${transfer === null ? sql`` : transferred({ sql }, transfer)}${
        mark === null
          ? sql``
          : sql`, marked as (
        update files set is_readonly = ${mark.isReadonly}, updated_at = now()
          from tree where files.tree_id = tree.tree_id and files.path = ${mark.path}
        returning ${columns}
      )`
      }, remembered as (
        insert into file_changes (tree_id, idempotency_key, path, created, removed, size_bytes, hash)
        select tree.tree_id, ${idempotencyKey}::text, ${first?.path ?? null}::text, ${first?.created ?? false}::boolean,
               ${first?.removed ?? false}::boolean, ${first?.sizeBytes ?? 0}::bigint, ${first?.hash ?? null}::text
          from tree
         where ${idempotencyKey}::text is not null
      )
      select entry.*
        from tree left join (
             select * from written
             ${transfer === null ? sql`` : sql`union all select * from transferred`}
             ${mark === null ? sql`` : sql`union all select * from marked`}) entry on true`,
  );
  return written.length === 0 ? null : written.filter((row) => row.path !== null);
}

/** The entry itself is new at its place; what lies below it keeps its times. A copy is nobody's protected file. */
function transferred({ sql }: Pick<Db, "sql">, { kind, from, to }: NonNullable<FilePlan["transfer"]>) {
  const columns = sql(ENTRY_COLUMNS);
  const path = sql`${to} || substring(f.path from ${from.length + 1}::int)`;
  const isPart = sql`
    f.tree_id = tree.tree_id and (f.path = ${from} or (f.path >= ${below(from)} and f.path < ${after(from)}))`;
  return kind === "move"
    ? sql`, transferred as (
        update files f
           set path = ${path}, updated_at = case when f.path = ${from} then now() else f.updated_at end
          from tree where ${isPart}
        returning ${columns}
      )`
    : sql`, transferred as (
        insert into files (tree_id, path, id, organization_id, is_directory, is_readonly, content, hash, size_bytes)
        select f.tree_id, ${path}, gen_random_uuid(), f.organization_id, f.is_directory, false, f.content, f.hash,
               f.size_bytes
          from tree, files f where ${isPart}
        returning ${columns}
      )`;
}

/** The entries below `/a` are those from `/a/` up to, not including, `/a0`: `0` comes after `/`. */
export const below = (path: string) => (path === "/" ? "/" : `${path}/`);
export const after = (path: string) => (path === "/" ? "0" : `${path}0`);

/** A passing fault of the database becomes a RetryableError. */
export async function retryable<T>(query: PromiseLike<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    throw asRetryable(error);
  }
}

export interface ChangeRow {
  path: string;
  created: boolean;
  removed: boolean;
  size_bytes: number;
  hash: string | null;
}

interface StateRow {
  organization_id: string;
  status: "starting" | "active" | "archived" | "deleted";
  has_source: boolean;
  files_version: number;
  size_bytes: number;
  entry_count: number;
  entries: KnownEntry[] | null;
  change: ChangeRow | null;
}

export function toChange(row: ChangeRow): FileChange {
  return {
    path: row.path,
    created: row.created,
    removed: row.removed,
    sizeBytes: row.size_bytes,
    hash: row.hash,
  };
}
