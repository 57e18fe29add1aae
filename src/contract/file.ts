/** Files of workspaces and memories on the wire. */
import { limits } from "./limits.ts";
import { Id, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const WORKSPACE_STATUSES = ["active", "archived", "deleted"] as const;

/** A tree of files; a session has one of its own, or shares another. An archived one is read-only. */
export const Workspace = Type.Object({
  id: Id("wsp"),
  name: Type.String(),
  description: Type.Optional(Type.String()),
  status: OneOf(WORKSPACE_STATUSES),
  archived_at: Type.Optional(Timestamp),
  deleted_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Workspace = Static<typeof Workspace>;

const TreeName = Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax });

export const CreateWorkspaceRequest = Type.Object({ name: TreeName, description: Maybe(Type.String()) });

/** Absent: stays. A null description is removed. */
export const UpdateWorkspaceRequest = Type.Object({
  name: Maybe(TreeName),
  description: Maybe(Type.String()),
  status: Maybe(OneOf(WORKSPACE_STATUSES)),
});

const Uuid = Type.String({ format: "uuid" });

/** Without its content. `session_id` is the hex of the workspace, or of the session that was asked, as a UUID. */
export const FileInfo = Type.Object({
  id: Uuid,
  session_id: Uuid,
  path: Type.String(),
  name: Type.String(),
  is_directory: Type.Boolean(),
  is_readonly: Type.Boolean(),
  size_bytes: Type.Integer(),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type FileInfo = Static<typeof FileInfo>;

/** `content` is text, or base64 when `encoding` says so; a directory has neither. */
export const SessionFile = Type.Intersect([
  FileInfo,
  Type.Object({
    content: Type.Optional(Type.String()),
    encoding: Type.Optional(OneOf(["text", "base64"])),
    /** `sha256:` and 64 hex digits; a directory has none. */
    content_hash: Type.Optional(Type.String()),
  }),
]);
export type SessionFile = Static<typeof SessionFile>;

export const FileStat = Type.Omit(FileInfo, ["id", "session_id"]);
export type FileStat = Static<typeof FileStat>;

export const DirectoryListing = Type.Object({
  data: Type.Array(FileInfo),
  total: Type.Integer(),
  offset: Type.Integer(),
  limit: Type.Integer(),
});

export const GetResponse = Type.Union([SessionFile, DirectoryListing]);

const Encoding = Maybe(OneOf(["text", "base64"]));

export const CreateFileRequest = Type.Object({
  content: Maybe(Type.String()),
  encoding: Encoding,
  is_directory: Maybe(Type.Boolean()),
  is_readonly: Maybe(Type.Boolean()),
});

export const ExpectedHash = Maybe(
  Type.String({
    pattern: "^(?:sha256:)?[0-9a-f]{64}$",
    description: "Refuses with 409 unless the content has this hash now.",
  }),
);

export const UpdateFileRequest = Type.Object({
  content: Maybe(Type.String()),
  encoding: Encoding,
  is_readonly: Maybe(Type.Boolean()),
  expected_hash: ExpectedHash,
});

export const DeleteFileResponse = Type.Object({ deleted: Type.Boolean() });

const FilePath = Type.String({ minLength: 1, maxLength: limits.pathCharsMax });

export const StatRequest = Type.Object({ path: FilePath });
export const TransferRequest = Type.Object({ src_path: FilePath, dst_path: FilePath });

export const GrepRequest = Type.Object({
  pattern: Type.String({
    minLength: 1,
    maxLength: limits.searchPatternCharsMax,
    description: "Regular expression without backreferences and lookaround.",
  }),
  path_pattern: Maybe(
    Type.String({
      maxLength: limits.globCharsMax,
      description:
        "A glob such as **/*.md (or *.md, in any directory); without *, ? and [ a part of the path.",
    }),
  ),
});

export const GrepMatch = Type.Object({
  path: Type.String(),
  line_number: Type.Integer(),
  line: Type.String(),
});
export const GrepResult = Type.Object({ path: Type.String(), matches: Type.Array(GrepMatch) });

/** What kept a search from being complete; absent when it is. */
export const Incomplete = Type.Object({ incomplete: Type.Optional(Type.String()) });
