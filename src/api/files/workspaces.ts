/** Workspaces: what they are called and whether they may be changed. Their files: file-routes.ts. */
import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { CreateWorkspaceRequest, UpdateWorkspaceRequest, Workspace } from "../../contract/file.ts";
import { List } from "../../contract/schema.ts";
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
import { requireDescription, requireTreeName, treeNameTaken } from "./tree-fields.ts";

const KIND = "workspace";

export function workspaceRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/workspaces",
      operationId: "list_workspaces",
      tag: "workspace",
      summary: "List workspaces, newest first",
      description:
        "Those that were made with their sessions are among them, named `session-<hex>`. `search` looks at name and " +
        "description.",
      query: ArchivableListQuery,
      responses: { 200: List(Workspace) },
      async run({ query, caller: { organizationId }, request }) {
        const list = (slice: ArchivableSlice) => listTrees(db, { organizationId, kind: KIND, ...slice });
        return reply(200, await archivablePage(request, query, list, toWire));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/workspaces",
      operationId: "create_workspace",
      tag: "workspace",
      summary: "Create a workspace that sessions can share",
      description: "It outlives its sessions. `workspace_id` of a new session names it.",
      body: CreateWorkspaceRequest,
      responses: { 201: Workspace },
      problems: ["limit_exceeded", "name_taken"],
      async run({ body, caller: { organizationId } }) {
        const name = requireTreeName(body.name);
        const row = await insertTree(db, {
          organizationId,
          id: newId("wsp"),
          kind: KIND,
          name,
          description: requireDescription(body.description),
          source: null,
        });
        if (!row) throw await treeNameTaken(db, organizationId, KIND, name);
        return reply(201, toWire(row), { location: `/v1/workspaces/${row.id}` });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/workspaces/{workspace_id}",
      operationId: "get_workspace",
      tag: "workspace",
      summary: "Read a workspace",
      responses: { 200: Workspace },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const row = await findTree(db, organizationId, KIND, pathId("wsp", params.workspace_id));
        if (!row) throw noWorkspace();
        return reply(200, toWire(row));
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/workspaces/{workspace_id}",
      operationId: "update_workspace",
      tag: "workspace",
      summary: "Change name, description or status",
      description:
        "Absent fields stay, a null `description` is removed. `status`: an `archived` workspace is read-only and takes " +
        "no new sessions, `active` takes it back, `deleted` removes it with its files (409 while a session has it).",
      body: UpdateWorkspaceRequest,
      responses: { 200: Workspace },
      problems: ["invalid_id", "limit_exceeded", "not_found", "name_taken", "conflict"],
      async run({ params, body, caller: { organizationId } }) {
        const id = pathId("wsp", params.workspace_id);
        if (body.status === "deleted") {
          const deleted = await deleteTree(db, { organizationId, kind: KIND, id });
          if (deleted.outcome === "not_found") throw noWorkspace();
          if (deleted.outcome === "deleted") return reply(200, toWire(deleted.tree));
          throw inUse();
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
          },
        });
        if (updated.outcome === "not_found") throw noWorkspace();
        if (updated.outcome === "name_taken") throw await treeNameTaken(db, organizationId, KIND, name ?? "");
        return reply(200, toWire(updated.tree));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/workspaces/{workspace_id}",
      operationId: "delete_workspace",
      tag: "workspace",
      summary: "Archive a workspace",
      description:
        'Its files can be read, not changed, also by its sessions. `PATCH {"status": "active"}` takes it back.',
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const updated = await updateTree(db, {
          organizationId,
          kind: KIND,
          id: pathId("wsp", params.workspace_id),
          changes: { status: "archived" },
        });
        if (updated.outcome !== "updated") throw noWorkspace();
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/workspaces/{workspace_id}/delete",
      operationId: "destroy_workspace",
      tag: "workspace",
      summary: "Delete an archived workspace for good, with its files",
      description: "409 while a session has it. Answers with the workspace as it was.",
      responses: { 200: Workspace },
      problems: ["invalid_id", "not_found", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const workspace = await findTree(db, organizationId, KIND, pathId("wsp", params.workspace_id));
        if (!workspace) throw noWorkspace();
        const { id, name } = workspace;
        const deleted = await deleteTree(db, { organizationId, kind: KIND, id, onlyIf: "archived" });
        if (deleted.outcome === "deleted") return reply(200, toWire(deleted.tree));
        if (deleted.outcome === "in_use") throw inUse();
        throw notArchived(`the workspace ${name}`, `/workspaces/${id}`);
      },
    }),
  ];
}

const inUse = () => new UserError("conflict", "a session has this workspace; delete the session first");
const noWorkspace = () => new UserError("not_found", "Workspace not found");

function toWire(row: TreeRow): Workspace {
  return present({
    id: row.id,
    name: row.name,
    description: row.description,
    status: row.status,
    archived_at: isoOrNull(row.archived_at),
    deleted_at: isoOrNull(row.deleted_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
