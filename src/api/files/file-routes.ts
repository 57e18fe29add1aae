/**
 * The files of a workspace: under its own address, and under that of every session that has it. One set of routes,
 * mounted twice.
 */
import { UserError } from "../../base/errors.ts";
import { normalizePath } from "../../base/path.ts";
import {
  CreateFileRequest,
  DeleteFileResponse,
  FileInfo,
  FileStat,
  GetResponse,
  GrepRequest,
  GrepResult,
  Incomplete,
  SessionFile,
  StatRequest,
  TransferRequest,
  UpdateFileRequest,
} from "../../contract/file.ts";
import { limits } from "../../contract/limits.ts";
import { List, Type } from "../../contract/schema.ts";
import type { FileTree } from "../../db/files/file-tree.ts";
import { findTree, type TreeRow } from "../../db/files/trees.ts";
import { findSession } from "../../db/session-rows.ts";
import type { ApiDeps } from "../deps.ts";
import { Raw, RawBody } from "../http/media.ts";
import { pathId } from "../http/path-id.ts";
import { action, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import {
  downloadHeaders,
  plainHash,
  previewHeaders,
  rawHeaders,
  toFile,
  toInfo,
  toStat,
  toWritten,
} from "./file-wire.ts";
import { holding, noEntry, type SharedFiles } from "./shared-files.ts";
import { streamedFile } from "./streamed-file.ts";

type Deps = Pick<ApiDeps, "db">;

const MIB = (bytes: number) => `${bytes / 1024 / 1024} MiB`;

const Recursive = Type.Object({
  recursive: Type.Optional(Type.Boolean({ description: "Include everything below." })),
});
const ITEM_PROBLEMS = ["invalid_id", "not_found"] as const;
const CHANGE_PROBLEMS = [
  ...ITEM_PROBLEMS,
  "archived",
  "conflict",
  "file_readonly",
  "limit_exceeded",
] as const;

/** A place where a workspace's files are mounted. */
interface Mount {
  path: "/workspaces/{id}" | "/sessions/{id}";
  /** In front of the operation ids of the contract. */
  prefix: string;
  tag: string;
  /** The tree behind the id. @throws UserError invalid_id, not_found */
  find(organizationId: string, id: string): Promise<TreeRow>;
}

export function workspaceFileRoutes({ db }: Deps, shared: SharedFiles): Route[] {
  const workspace = async (organizationId: string, id: string): Promise<TreeRow> => {
    const tree = await findTree(db, organizationId, "workspace", id);
    if (!tree) throw new UserError("not_found", "Workspace not found");
    return tree;
  };
  return [
    ...fileRoutes(shared, {
      path: "/workspaces/{id}",
      prefix: "",
      tag: "workspace-filesystem",
      find: (organizationId, id) => workspace(organizationId, pathId("wsp", id)),
    }),
    ...fileRoutes(shared, {
      path: "/sessions/{id}",
      prefix: "session_",
      tag: "session-filesystem",
      async find(organizationId, id) {
        const session = await findSession(db, organizationId, pathId("session", id));
        if (!session) throw new UserError("not_found", "Session not found");
        return workspace(organizationId, session.workspace_id);
      },
    }),
  ];
}

function fileRoutes(shared: SharedFiles, mount: Mount): Route[] {
  const { treesOf, contents, search } = shared;
  const { tag } = mount;
  const isWorkspace = mount.path === "/workspaces/{id}";
  /** The contract names the parameters differently. */
  const at = <P extends string>(rest: P) =>
    `/${isWorkspace ? "workspaces/{workspace_id}" : "sessions/{session_id}"}/fs${rest}` as `/${string}/{id}/fs${P}`;
  /** A token of one session opens these under the session's address. */
  const right = (sessionRight: "read" | "write") => (isWorkspace ? {} : { sessionRight });
  const named = (operationId: string) => `${mount.prefix}${operationId}`;

  const open = async (organizationId: string, params: Record<string, string>, use: "read" | "change") => {
    const id = (isWorkspace ? params.workspace_id : params.session_id) ?? "";
    // A path that can be nobody's is refused before anything is looked up.
    if (params.path !== undefined) normalizePath(params.path, limits.pathCharsMax);
    const tree = await mount.find(organizationId, id);
    if (use === "change" && tree.status === "archived") throw archived(tree);
    return { ownerId: id, files: treesOf({ organizationId, treeId: tree.id }) };
  };

  const listing = async (files: FileTree, ownerId: string, path: string, isRecursive: boolean) =>
    whole((await files.list(path, isRecursive)).map((entry) => toInfo(ownerId, entry)));

  return [
    defineRoute({
      method: "GET",
      path: at(""),
      operationId: named("get_root"),
      tag,
      ...right("read"),
      summary: "List the root directory",
      query: Recursive,
      responses: { 200: List(FileInfo) },
      problems: ITEM_PROBLEMS,
      async run({ params, query, caller }) {
        const { files, ownerId } = await open(caller.organizationId, params, "read");
        return reply(200, await listing(files, ownerId, "/", query.recursive ?? false));
      },
    }),
    defineRoute({
      method: "GET",
      path: at("/{path+}"),
      operationId: named("get_path"),
      tag,
      ...right("read"),
      summary: "Read a file, or list a directory",
      description:
        "A file comes with its content, as text, or as base64 when it has a NUL in its first 8 KiB or is not UTF-8. " +
        "With `Accept: application/octet-stream` the bytes come as they are. A directory comes as `{data: FileInfo[]}`.",
      query: Recursive,
      responses: { 200: GetResponse },
      otherContentTypes: { 200: ["application/octet-stream"] },
      problems: ITEM_PROBLEMS,
      async run({ params, query, caller, request }) {
        const { files, ownerId } = await open(caller.organizationId, params, "read");
        const path = params.path;
        const entry = await files.stat(path);
        if (!entry) throw noEntry(path);
        if (entry.isDirectory) {
          return reply(200, await listing(files, ownerId, path, query.recursive ?? false));
        }
        if (/\bapplication\/octet-stream\b/i.test(request.headers.get("accept") ?? "")) {
          const { bytes } = await files.download(path);
          return reply(200, new RawBody(bytes, "application/octet-stream"), rawHeaders(entry));
        }
        if (entry.sizeBytes > limits.wholeFileBytesMax) {
          return reply(200, await streamedFile(files, path, (now, content) => toFile(ownerId, now, content)));
        }
        const found = await holding(contents, () => files.read(path));
        if (!found) throw noEntry(path);
        return reply(200, toFile(ownerId, found.entry, found.content));
      },
    }),
    defineRoute({
      method: "POST",
      path: at("/{path+}"),
      operationId: named("create_path"),
      tag,
      ...right("write"),
      summary: "Create a file or a directory",
      description:
        `Directories above it are made. What exists already is left alone: 409. A file has at most ${MIB(limits.fileBytesMax)}, ` +
        `a workspace ${MIB(limits.workspaceBytesMax)} and ${limits.workspaceEntriesMax} entries. A content of more than ` +
        "1 MiB is not sent back. Like every change by this API, it is the caller's own and adds no `file.written` to the " +
        "log of a session.",
      body: CreateFileRequest,
      bodyBytesMax: limits.fileRequestBytesMax,
      keepsNul: true,
      isBodyOptional: true,
      responses: { 201: SessionFile },
      problems: CHANGE_PROBLEMS,
      async run({ params, body: sent, caller }) {
        const body = sent ?? {};
        const { files, ownerId } = await open(caller.organizationId, params, "change");
        const isReadonly = body.is_readonly ?? false;
        if (body.is_directory) {
          if (body.content != null) {
            throw new UserError("invalid_request", "content: a directory has none");
          }
          const entry = await files.createDirectory(params.path, isReadonly);
          return reply(201, toFile(ownerId, entry, null));
        }
        const file = {
          path: params.path,
          content: body.content ?? "",
          encoding: body.encoding ?? ("text" as const),
          isReadonly,
        };
        const { entry, content } = await holding(contents, () => files.createFile(file));
        return reply(201, toWritten(ownerId, entry, content));
      },
    }),
    defineRoute({
      method: "PUT",
      path: at("/{path+}"),
      operationId: named("update_path"),
      tag,
      ...right("write"),
      summary: "Replace the content of a file, or its read-only mark",
      description:
        "What is absent stays. A read-only file is refused (409) unless the same request sets `is_readonly` to false.",
      body: UpdateFileRequest,
      bodyBytesMax: limits.fileRequestBytesMax,
      keepsNul: true,
      responses: { 200: SessionFile },
      problems: CHANGE_PROBLEMS,
      async run({ params, body, caller }) {
        const { files, ownerId } = await open(caller.organizationId, params, "change");
        const content =
          body.content == null ? null : { text: body.content, encoding: body.encoding ?? ("text" as const) };
        const update = {
          path: params.path,
          content,
          isReadonly: body.is_readonly ?? null,
          expectedHash: plainHash(body.expected_hash),
        };
        const entry = await holding(contents, () => files.update(update));
        return reply(
          200,
          toWritten(ownerId, entry, content && { content: content.text, encoding: content.encoding }),
        );
      },
    }),
    defineRoute({
      method: "DELETE",
      path: at("/{path+}"),
      operationId: named("delete_path"),
      tag,
      ...right("write"),
      summary: "Delete a file or a directory",
      description:
        "`deleted` is false when there was nothing. A directory with entries needs `recursive=true` (400 without); " +
        "read-only entries are refused, also below a directory (403).",
      query: Recursive,
      responses: { 200: DeleteFileResponse },
      problems: [...ITEM_PROBLEMS, "archived", "directory_not_empty", "forbidden"],
      async run({ params, query, caller }) {
        const { files } = await open(caller.organizationId, params, "change");
        try {
          return reply(200, { deleted: await files.remove(params.path, query.recursive ?? false) });
        } catch (error) {
          if (!(error instanceof UserError) || error.code !== "file_readonly") throw error;
          throw new UserError("forbidden", error.message, { cause: error });
        }
      },
    }),
    ...(["move", "copy"] as const).map((kind) =>
      defineRoute({
        method: "POST",
        path: at(`/_/${kind}`),
        operationId: named(`${kind}_file`),
        tag,
        ...right("write"),
        summary: kind === "move" ? "Move or rename a file or directory" : "Copy a file or directory",
        description:
          kind === "move"
            ? "With everything below it. Nothing is replaced, and nothing read-only is moved: 409."
            : "With everything below it. Nothing is replaced: 409. Copies are not read-only.",
        body: TransferRequest,
        responses: kind === "move" ? { 200: SessionFile } : { 201: SessionFile },
        problems: CHANGE_PROBLEMS,
        async run({ params, body, caller }) {
          const { files, ownerId } = await open(caller.organizationId, params, "change");
          const entry = await files.transfer(kind, body.src_path, body.dst_path);
          return reply(kind === "move" ? 200 : 201, toFile(ownerId, entry, null));
        },
      }),
    ),
    defineRoute({
      method: "POST",
      path: at("/_/stat"),
      operationId: named("stat_file"),
      tag,
      ...right("read"),
      access: "read",
      summary: "Read what is known of a file or directory, without its content",
      body: StatRequest,
      responses: { 200: FileStat },
      problems: ITEM_PROBLEMS,
      async run({ params, body, caller }) {
        const { files } = await open(caller.organizationId, params, "read");
        const entry = await files.stat(body.path);
        if (!entry) throw noEntry(body.path);
        return reply(200, toStat(entry));
      },
    }),
    defineRoute({
      method: "POST",
      path: at("/_/grep"),
      operationId: named("grep_files"),
      tag,
      ...right("read"),
      access: "read",
      summary: "Find lines in files",
      description:
        "Searches text files. A search that would take too long or find too much ends early and says so in " +
        "`incomplete`.",
      body: GrepRequest,
      responses: { 200: Type.Intersect([List(GrepResult), Incomplete]) },
      problems: ITEM_PROBLEMS,
      async run({ params, body, caller, request }) {
        const { files } = await open(caller.organizationId, params, "read");
        const { matches, incomplete } = await search(files, body, request.signal);
        const results = Map.groupBy(matches, (match) => match.path);
        const data = [...results].map(([path, found]) => ({
          path,
          matches: found.map(({ lineNumber, line }) => ({ path, line_number: lineNumber, line })),
        }));
        return reply(200, { ...whole(data), ...(incomplete === null ? {} : { incomplete }) });
      },
    }),
    defineRoute({
      method: "GET",
      path: at("/_/download/{path+}"),
      operationId: named("download_path"),
      tag,
      ...right("read"),
      summary: "Download the bytes of a file",
      description: "A directory cannot be downloaded: 400.",
      responses: { 200: Raw("application/octet-stream") },
      problems: ITEM_PROBLEMS,
      async run({ params, caller }) {
        const { files } = await open(caller.organizationId, params, "read");
        const { entry, bytes } = await files.download(params.path);
        return reply(200, bytes, downloadHeaders(entry));
      },
    }),
    defineRoute({
      method: "GET",
      path: at("/_/preview/{path+}"),
      operationId: named("preview_path"),
      tag,
      ...right("read"),
      summary: "Show an HTML file in a browser",
      description:
        "For `.html` and `.htm`; anything else is 415. The page is confined by its Content-Security-Policy: an origin " +
        "of its own, no scripts, no forms, no requests.",
      responses: { 200: Raw("text/html; charset=utf-8") },
      problems: [...ITEM_PROBLEMS, "unsupported_media_type"],
      async run({ params, caller }) {
        const { files } = await open(caller.organizationId, params, "read");
        const { entry, bytes } = await files.download(params.path);
        if (!/\.html?$/i.test(entry.path)) {
          await bytes.cancel();
          throw new UserError(
            "unsupported_media_type",
            "only .html and .htm files can be shown; download it",
          );
        }
        return reply(200, bytes, previewHeaders());
      },
    }),
  ];
}

function archived(tree: TreeRow): UserError {
  const unarchive = {
    ...action("unarchive", "PATCH", `/workspaces/${tree.id}`),
    hint: '{"status": "active"}',
  };
  return new UserError("archived", `the workspace ${tree.name} is archived and read-only`, {
    fields: { allowed_actions: [unarchive] },
  });
}
