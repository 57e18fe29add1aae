/** Memories: what they are called, where their files come from, whether they may be changed. Files: memory-files.ts. */
import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import {
  CreateMemoryRequest,
  Memory,
  type MemorySource,
  UpdateMemoryRequest,
} from "../../contract/memory.ts";
import { List } from "../../contract/schema.ts";
import { requestSync } from "../../db/files/memory-sync.ts";
import {
  deleteTree,
  findTree,
  insertTree,
  listTrees,
  type TreeRow,
  updateTree,
} from "../../db/files/trees.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import {
  ArchivableListQuery,
  type ArchivableSlice,
  archivablePage,
  iso,
  isoOrNull,
  notArchived,
  present,
  reply,
} from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { readSource } from "./memory-source.ts";
import { requireDescription, requireTreeName, treeNameTaken } from "./tree-fields.ts";

const KIND = "memory";
const SYNC_NOTE =
  "A source makes the memory read-only. A worker fetches its files soon (`sync_status`: `pending`, `syncing`, then " +
  "`synced` or `failed` with `last_sync_error`), and again every `sync_interval_secs`, if that is not 0. Only public " +
  "repositories on GitHub, GitLab and Gitea can be fetched, over https, without credentials.";

export function memoryRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  const existing = async (organizationId: string, id: string): Promise<TreeRow> => {
    const row = await findTree(db, organizationId, KIND, pathId("mem", id));
    if (!row) throw noMemory();
    return row;
  };
  return [
    defineRoute({
      method: "GET",
      path: "/memories",
      operationId: "list_memories",
      tag: "memory",
      summary: "List memories, newest first",
      description: "`search` looks at name and description.",
      query: ArchivableListQuery,
      responses: { 200: List(Memory) },
      async run({ query, caller: { organizationId }, request }) {
        const list = (slice: ArchivableSlice) => listTrees(db, { organizationId, kind: KIND, ...slice });
        return reply(200, await archivablePage(request, query, list, toWire));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/memories",
      operationId: "create_memory",
      tag: "memory",
      summary: "Create a memory",
      description: SYNC_NOTE,
      body: CreateMemoryRequest,
      responses: { 201: Memory },
      problems: ["limit_exceeded", "name_taken"],
      async run({ body, caller: { organizationId } }) {
        const name = requireTreeName(body.name);
        const row = await insertTree(db, {
          organizationId,
          id: newId("mem"),
          kind: KIND,
          name,
          description: requireDescription(body.description),
          source: body.source == null ? null : readSource(body.source),
        });
        if (!row) throw await treeNameTaken(db, organizationId, KIND, name);
        return reply(201, toWire(row), { location: `/v1/memories/${row.id}` });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/memories/{memory_id}",
      operationId: "get_memory",
      tag: "memory",
      summary: "Read a memory",
      responses: { 200: Memory },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        reply(200, toWire(await existing(caller.organizationId, params.memory_id))),
    }),
    defineRoute({
      method: "PATCH",
      path: "/memories/{memory_id}",
      operationId: "update_memory",
      tag: "memory",
      summary: "Change name, description, source or status",
      description:
        "Absent fields stay, a null `description` is removed. A memory whose files are put by hand stays so. " +
        "`status`: `archived` is read-only, `active` takes it back, `deleted` removes it with its files.",
      body: UpdateMemoryRequest,
      responses: { 200: Memory },
      problems: ["invalid_id", "limit_exceeded", "not_found", "name_taken"],
      async run({ params, body, caller: { organizationId } }) {
        const { id, source } = await existing(organizationId, params.memory_id);
        if (body.status === "deleted") {
          const deleted = await deleteTree(db, { organizationId, kind: KIND, id });
          if (deleted.outcome !== "deleted") throw noMemory();
          return reply(200, toWire(deleted.tree));
        }
        if (body.source != null && source === null) {
          throw new UserError(
            "invalid_request",
            "source: the files of this memory are put by hand; create another one for a repository",
          );
        }
        const name = body.name == null ? undefined : requireTreeName(body.name);
        const updated = await updateTree(db, {
          organizationId,
          kind: KIND,
          id,
          changes: {
            name,
            description: body.description === undefined ? undefined : requireDescription(body.description),
            status: body.status ?? undefined,
            source: body.source == null ? undefined : readSource(body.source),
          },
        });
        if (updated.outcome === "not_found") throw noMemory();
        if (updated.outcome === "name_taken") throw await treeNameTaken(db, organizationId, KIND, name ?? "");
        return reply(200, toWire(updated.tree));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/memories/{memory_id}",
      operationId: "delete_memory",
      tag: "memory",
      summary: "Archive a memory",
      description: 'Its files can be read, not changed. `PATCH {"status": "active"}` takes it back.',
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const { id } = await existing(organizationId, params.memory_id);
        const changes = { status: "archived" as const };
        const updated = await updateTree(db, { organizationId, kind: KIND, id, changes });
        if (updated.outcome !== "updated") throw noMemory();
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/memories/{memory_id}/delete",
      operationId: "destroy_memory",
      tag: "memory",
      summary: "Delete an archived memory for good, with its files",
      description: "What still mounts it goes on without it. Answers with the memory as it was.",
      responses: { 200: Memory },
      problems: ["invalid_id", "not_found", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const { id, name } = await existing(organizationId, params.memory_id);
        const deleted = await deleteTree(db, { organizationId, kind: KIND, id, onlyIf: "archived" });
        if (deleted.outcome === "deleted") return reply(200, toWire(deleted.tree));
        throw notArchived(`the memory ${name}`, `/memories/${id}`);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/memories/{memory_id}/sync",
      operationId: "sync_memory_now",
      tag: "memory",
      summary: "Fetch the files of a memory's source now",
      description:
        "Answers at once; a worker does it, see `sync_status`. Until then the files stay as they are, and also when " +
        "fetching fails. A memory without a source is 400.",
      responses: { 200: Memory },
      problems: ["invalid_id", "invalid_request", "not_found", "archived"],
      async run({ params, caller: { organizationId } }) {
        const memory = await existing(organizationId, params.memory_id);
        if (memory.source === null) {
          throw new UserError(
            "invalid_request",
            "the files of this memory are put by hand; it has no source",
          );
        }
        if (!(await requestSync(db, organizationId, memory.id))) {
          throw new UserError("archived", `the memory ${memory.name} is archived; take it back first`);
        }
        return reply(200, toWire(await existing(organizationId, memory.id)));
      },
    }),
  ];
}

export const noMemory = () => new UserError("not_found", "Memory not found");

function toWire(row: TreeRow): Memory {
  const source = (row.source ?? { provider: "manual" }) as MemorySource;
  return present({
    id: row.id,
    name: row.name,
    description: row.description,
    status: row.status,
    is_readonly: row.source !== null,
    source,
    source_type: source.provider,
    sync_status: row.sync_status,
    last_synced_at: isoOrNull(row.last_synced_at),
    last_sync_error: row.last_sync_error,
    archived_at: isoOrNull(row.archived_at),
    deleted_at: isoOrNull(row.deleted_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
