/** The files of a memory: the same trees as those of workspaces, in the shapes of this resource. */
import { UserError } from "../../base/errors.ts";
import { normalizePath } from "../../base/path.ts";
import { GrepRequest, Incomplete, StatRequest } from "../../contract/file.ts";
import type { FileEntry } from "../../contract/file-store.ts";
import { limits } from "../../contract/limits.ts";
import {
  CreateMemoryFileRequest,
  MemoryFile,
  MemoryFileInfo,
  MemoryGrepResult,
  UpdateMemoryFileRequest,
} from "../../contract/memory.ts";
import { List, Type } from "../../contract/schema.ts";
import { findTree } from "../../db/files/trees.ts";
import type { ApiDeps } from "../deps.ts";
import { Raw } from "../http/media.ts";
import { pathId } from "../http/path-id.ts";
import { action, present, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { downloadHeaders, plainHash } from "./file-wire.ts";
import { noMemory } from "./memories.ts";
import { holding, noEntry, type SharedFiles } from "./shared-files.ts";
import { streamedFile } from "./streamed-file.ts";

const ITEM_PROBLEMS = ["invalid_id", "not_found"] as const;
const CHANGE_PROBLEMS = [...ITEM_PROBLEMS, "archived", "forbidden", "limit_exceeded"] as const;
const TAG = "memory-filesystem";

const Recursive = Type.Object({
  recursive: Type.Optional(Type.Boolean({ description: "Include everything below." })),
});

export function memoryFileRoutes({ db }: Pick<ApiDeps, "db">, shared: SharedFiles): Route[] {
  const { treesOf, contents, search } = shared;

  const open = async (
    organizationId: string,
    params: { memory_id: string; path?: string },
    use: "read" | "change",
  ) => {
    const memory = await findTree(db, organizationId, "memory", pathId("mem", params.memory_id));
    if (params.path !== undefined) normalizePath(params.path, limits.pathCharsMax);
    if (!memory) throw noMemory();
    if (use === "change" && memory.source !== null) {
      throw new UserError("forbidden", "the files of this memory come from its source and are read-only");
    }
    if (use === "change" && memory.status === "archived") {
      const unarchive = {
        ...action("unarchive", "PATCH", `/memories/${memory.id}`),
        hint: '{"status": "active"}',
      };
      throw new UserError("archived", `the memory ${memory.name} is archived and read-only`, {
        fields: { allowed_actions: [unarchive] },
      });
    }
    return treesOf({ organizationId, treeId: memory.id });
  };

  return [
    defineRoute({
      method: "GET",
      path: "/memories/{memory_id}/fs",
      operationId: "list_root",
      tag: TAG,
      summary: "List the root directory",
      query: Recursive,
      responses: { 200: List(MemoryFileInfo) },
      problems: ITEM_PROBLEMS,
      async run({ params, query, caller }) {
        const files = await open(caller.organizationId, params, "read");
        return reply(200, whole((await files.list("/", query.recursive ?? false)).map(toInfo)));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/memories/{memory_id}/fs/{path+}",
      operationId: "get_file",
      tag: TAG,
      summary: "Read a file, or list a directory",
      description: "A directory comes as `{data: MemoryFileInfo[]}`.",
      query: Recursive,
      responses: { 200: Type.Union([MemoryFile, List(MemoryFileInfo)]) },
      problems: ITEM_PROBLEMS,
      async run({ params, query, caller }) {
        const files = await open(caller.organizationId, params, "read");
        const found = await holding(contents, () => files.read(params.path));
        if (!found) throw noEntry(params.path);
        if (!found.entry.isDirectory && found.content === null) {
          return reply(200, await streamedFile(files, params.path, toFile));
        }
        if (found.content !== null) return reply(200, toFile(found.entry, found.content));
        return reply(200, whole((await files.list(params.path, query.recursive ?? false)).map(toInfo)));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/memories/{memory_id}/fs/{path+}",
      operationId: "create_file",
      tag: TAG,
      summary: "Create a file or a directory",
      description: "Directories above it are made. What exists already is left alone: 409.",
      body: CreateMemoryFileRequest,
      bodyBytesMax: limits.fileRequestBytesMax,
      keepsNul: true,
      isBodyOptional: true,
      responses: { 201: MemoryFileInfo },
      problems: [...CHANGE_PROBLEMS, "conflict"],
      async run({ params, body: sent, caller }) {
        const body = sent ?? {};
        const files = await open(caller.organizationId, params, "change");
        if (body.is_directory) {
          if (body.content != null) throw new UserError("invalid_request", "content: a directory has none");
          return reply(201, toInfo(await files.createDirectory(params.path, false)));
        }
        const file = {
          path: params.path,
          content: body.content ?? "",
          encoding: body.encoding ?? ("text" as const),
          isReadonly: false,
        };
        const { entry } = await holding(contents, () => files.createFile(file));
        return reply(201, toInfo(entry));
      },
    }),
    defineRoute({
      method: "PUT",
      path: "/memories/{memory_id}/fs/{path+}",
      operationId: "update_file",
      tag: TAG,
      summary: "Replace the content of a file",
      body: UpdateMemoryFileRequest,
      bodyBytesMax: limits.fileRequestBytesMax,
      keepsNul: true,
      responses: { 200: MemoryFile },
      problems: [...CHANGE_PROBLEMS, "conflict"],
      async run({ params, body, caller }) {
        const files = await open(caller.organizationId, params, "change");
        if (body.content == null) throw new UserError("invalid_request", "content: is required");
        const content = { text: body.content, encoding: body.encoding ?? ("text" as const) };
        const update = {
          path: params.path,
          content,
          isReadonly: null,
          expectedHash: plainHash(body.expected_hash),
        };
        const entry = await holding(contents, () => files.update(update));
        if (entry.sizeBytes > limits.wholeFileBytesMax) {
          return reply(200, await streamedFile(files, params.path, toFile));
        }
        return reply(200, toFile(entry, { content: content.text, encoding: content.encoding }));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/memories/{memory_id}/fs/{path+}",
      operationId: "delete_file",
      tag: TAG,
      summary: "Delete a file or a directory",
      description: "A directory with entries needs `recursive=true`: 409 without.",
      query: Recursive,
      responses: { 204: null },
      problems: [...ITEM_PROBLEMS, "archived", "conflict", "forbidden"],
      async run({ params, query, caller }) {
        const files = await open(caller.organizationId, params, "change");
        try {
          if (await files.remove(params.path, query.recursive ?? false)) return reply(204, null);
        } catch (error) {
          if (!(error instanceof UserError) || error.code !== "directory_not_empty") throw error;
          throw new UserError("conflict", error.message, { cause: error });
        }
        throw noEntry(params.path);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/memories/{memory_id}/fs/_/download/{path+}",
      operationId: "download_action",
      tag: TAG,
      summary: "Download the bytes of a file",
      description: "A directory cannot be downloaded: 400.",
      responses: { 200: Raw("application/octet-stream") },
      problems: [...ITEM_PROBLEMS, "invalid_request"],
      async run({ params, caller }) {
        const files = await open(caller.organizationId, params, "read");
        const { entry, bytes } = await files.download(params.path);
        return reply(200, bytes, downloadHeaders(entry));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/memories/{memory_id}/fs/_/grep",
      operationId: "grep_action",
      tag: TAG,
      access: "read",
      summary: "Find files by what is in them",
      description:
        "A search that would take too long or find too much ends early and says so in `incomplete`.",
      body: GrepRequest,
      responses: { 200: Type.Intersect([List(MemoryGrepResult), Incomplete]) },
      problems: ITEM_PROBLEMS,
      async run({ params, body, caller, request }) {
        const files = await open(caller.organizationId, params, "read");
        const { matches, incomplete, entries } = await search(files, body, request.signal);
        const paths = [...new Set(matches.map((match) => match.path))];
        const data = paths.map((path) => ({ path, size_bytes: entries.get(path)?.sizeBytes ?? 0 }));
        return reply(200, { ...whole(data), ...(incomplete === null ? {} : { incomplete }) });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/memories/{memory_id}/fs/_/stat",
      operationId: "stat_action",
      tag: TAG,
      access: "read",
      summary: "Read what is known of a file or directory, without its content",
      body: StatRequest,
      responses: { 200: MemoryFileInfo },
      problems: ITEM_PROBLEMS,
      async run({ params, body, caller }) {
        const files = await open(caller.organizationId, params, "read");
        const entry = await files.stat(body.path);
        if (!entry) throw noEntry(body.path);
        return reply(200, toInfo(entry));
      },
    }),
  ];
}

function toInfo(entry: FileEntry): MemoryFileInfo {
  return present({
    path: entry.path,
    is_directory: entry.isDirectory,
    size_bytes: entry.sizeBytes,
    content_hash: entry.hash === null ? null : `sha256:${entry.hash}`,
    created_at: entry.createdAt,
    updated_at: entry.updatedAt,
  });
}

function toFile(entry: FileEntry, content: { content: string; encoding: "text" | "base64" }): MemoryFile {
  const { is_directory: _, ...info } = toInfo(entry);
  return { ...info, content: content.content, encoding: content.encoding };
}
