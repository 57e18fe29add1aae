/** Changes of a workspace's files: read, plan, write if nobody else did. See `files.ts`. */
import { backoffMs } from "../../base/backoff.ts";
import { systemClock } from "../../base/clock.ts";
import { RetryableError, UserError } from "../../base/errors.ts";
import { ancestorsOf } from "../../base/path.ts";
import type { FileChange } from "../../contract/file-store.ts";
import type { Db } from "../pool.ts";
import { asRetryable } from "../sqlstate.ts";
import type { FilePlan, KnownEntry, Subtree, WorkspaceState } from "./_file-plan.ts";
import type { WorkspaceScope } from "./files.ts";

/** Races lost in a row before the change is given up; each one means that somebody else's change stood. */
const RACES_MAX = 50;
const RACE_BACKOFF = { baseMs: 2, capMs: 100 };
/** Reads, plans, writes; again when somebody else was faster. Answers a known key without planning. */
export async function commitChange(
  db: Db,
  scope: WorkspaceScope,
  paths: readonly string[],
  idempotencyKey: string | null,
  plan: (state: WorkspaceState) => FilePlan | Promise<FilePlan>,
): Promise<FileChange[]> {
  for (let race = 0; race < RACES_MAX; race += 1) {
    const known = await readState(db, scope, paths, idempotencyKey);
    if (known.change) return [known.change];
    const planned = await plan(known.state);
    if (await writePlan(db, scope, known.state.version, planned, idempotencyKey)) return planned.changes;
    await systemClock.sleep(backoffMs(RACE_BACKOFF, race));
  }
  throw new RetryableError("unavailable", "the workspace is being changed by many at once; try again");
}

async function readState(
  { sql }: Db,
  scope: WorkspaceScope,
  paths: readonly string[],
  idempotencyKey: string | null,
): Promise<{ state: WorkspaceState; change: FileChange | null }> {
  const relevant = [...new Set(paths.flatMap((path) => [...ancestorsOf(path), path]))];
  const [row] = await retryable(
    sql<StateRow[]>`
      select w.organization_id, w.files_version, w.size_bytes, w.entry_count,
             (select jsonb_agg(jsonb_build_object('path', f.path, 'is_directory', f.is_directory,
                       'is_readonly', f.is_readonly, 'size_bytes', f.size_bytes, 'hash', f.hash))
                from files f where f.workspace_id = w.id and f.path = any(${relevant})) as entries,
             (select to_jsonb(c) from file_changes c
               where c.workspace_id = w.id and c.idempotency_key = ${idempotencyKey}) as change
        from workspaces w where w.id = ${scope.workspaceId}`,
  );
  if (!row) return { state: { version: 0, sizeBytes: 0, entryCount: 0, entries: new Map() }, change: null };
  if (row.organization_id !== scope.organizationId)
    throw new UserError("not_found", "there is no such workspace");
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
export async function readSubtree({ sql }: Db, scope: WorkspaceScope, path: string): Promise<Subtree> {
  const [row] = await retryable(
    sql<{ entry_count: number; size_bytes: number; readonly_path: string | null }[]>`
      select count(*) as entry_count, coalesce(sum(size_bytes), 0)::bigint as size_bytes,
             min(path) filter (where is_readonly) as readonly_path
        from files
       where workspace_id = ${scope.workspaceId} and organization_id = ${scope.organizationId}
         and path >= ${below(path)} and path < ${after(path)}`,
  );
  return {
    entryCount: row?.entry_count ?? 0,
    sizeBytes: row?.size_bytes ?? 0,
    readonlyPath: row?.readonly_path ?? null,
  };
}

/** @returns false when the workspace has another version by now; nothing was written then */
async function writePlan(
  { sql }: Db,
  scope: WorkspaceScope,
  version: number,
  plan: FilePlan,
  idempotencyKey: string | null,
): Promise<boolean> {
  const { rows, removedPath } = plan;
  const [first] = plan.changes;
  // Base64 as text: postgres.js would write bytea as hex, which is half as long again. It would also take an array
  // that begins with a boolean for a single boolean, so read-only files are named.
  const readonlyPaths = rows.filter((row) => row.isReadonly).map((row) => row.path);
  const contents = rows.map((row) => (row.bytes ? Buffer.from(row.bytes).toString("base64") : null));
  const written = await retryable(
    sql`
      with moved as (
        update workspaces
           set files_version = files_version + 1, size_bytes = ${plan.sizeBytes},
               entry_count = ${plan.entryCount}, updated_at = now()
         where id = ${scope.workspaceId} and organization_id = ${scope.organizationId}
           and files_version = ${version}
        returning id
      ), made as (
        insert into workspaces (id, organization_id, files_version, size_bytes, entry_count)
        select ${scope.workspaceId}, ${scope.organizationId}, 1, ${plan.sizeBytes}::bigint, ${plan.entryCount}::bigint
         where ${version} = 0
        on conflict (id) do nothing
        returning id
      ), workspace as (
        select id from moved union all select id from made
      ), removed as (
        delete from files using workspace
         where files.workspace_id = workspace.id
           and (files.path = ${removedPath}
                or (files.path >= ${removedPath === null ? null : below(removedPath)}
                    and files.path < ${removedPath === null ? null : after(removedPath)}))
      ), written as (
        insert into files (workspace_id, path, id, organization_id, is_directory, is_readonly, content, hash,
                           size_bytes)
        select workspace.id, f.path, f.id, ${scope.organizationId}, f.content is null,
               f.path = any(${readonlyPaths}::text[]), decode(f.content, 'base64'), f.hash, f.size_bytes
          from workspace,
               unnest(${rows.map((row) => row.path)}::text[], ${rows.map(() => Bun.randomUUIDv7())}::uuid[],
                      ${contents}::text[], ${rows.map((row) => row.hash)}::text[],
                      ${rows.map((row) => row.bytes?.length ?? 0)}::bigint[])
                 as f (path, id, content, hash, size_bytes)
        on conflict (workspace_id, path) do update
           set is_readonly = excluded.is_readonly, content = excluded.content, hash = excluded.hash,
               size_bytes = excluded.size_bytes, updated_at = now()
      ), remembered as (
        insert into file_changes (workspace_id, idempotency_key, path, created, removed, size_bytes, hash)
        select workspace.id, ${idempotencyKey}::text, ${first?.path ?? null}::text, ${first?.created ?? false}::boolean,
               ${first?.removed ?? false}::boolean, ${first?.sizeBytes ?? 0}::bigint, ${first?.hash ?? null}::text
          from workspace
         where ${idempotencyKey}::text is not null
      )
      select id from workspace`,
  );
  return written.length === 1;
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
