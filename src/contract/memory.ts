/** Memories on the wire: file trees of the organization that outlive sessions, put by hand or taken from a repository. */
import { ExpectedHash, WORKSPACE_STATUSES } from "./file.ts";
import { limits } from "./limits.ts";
import { Id, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const SYNC_STATUSES = ["idle", "pending", "syncing", "synced", "failed"] as const;

const Interval = Type.Integer({ minimum: 0, maximum: limits.memorySyncIntervalSecondsMax });

const StoredSource = {
  branch: Type.String(),
  root_folder: Type.Optional(Type.String()),
  sync_interval_secs: Type.Optional(Interval),
};

/** Where the files come from; `manual`: they are put by hand. */
export const MemorySource = Type.Union([
  Type.Object({ provider: Type.Literal("manual") }),
  Type.Object({ provider: Type.Literal("github"), repository: Type.String(), ...StoredSource }),
  Type.Object({ provider: Type.Literal("git"), url: Type.String(), ...StoredSource }),
]);
export type MemorySource = Static<typeof MemorySource>;

export const Memory = Type.Object({
  id: Id("mem"),
  name: Type.String(),
  description: Type.Optional(Type.String()),
  status: OneOf(WORKSPACE_STATUSES),
  /** True when its files come from a source: nobody else changes them. */
  is_readonly: Type.Boolean(),
  source: MemorySource,
  source_type: OneOf(["manual", "github", "git"]),
  sync_status: OneOf(SYNC_STATUSES),
  last_synced_at: Type.Optional(Timestamp),
  last_sync_error: Type.Optional(Type.String()),
  archived_at: Type.Optional(Timestamp),
  deleted_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Memory = Static<typeof Memory>;

const Source = {
  branch: Maybe(Type.String({ maxLength: 255, description: "Default: main." })),
  root_folder: Maybe(Type.String({ maxLength: limits.pathCharsMax })),
  sync_interval_secs: Maybe(Interval),
};

/** `type` may be left out: the Python SDK does not send it, and the field that says where tells it too. */
export const CreateMemorySource = Type.Union([
  Type.Object({
    type: Type.Optional(Type.Literal("github")),
    repository: Type.String({
      maxLength: limits.urlCharsMax,
      description: "owner/repo, or its address on github.com.",
    }),
    ...Source,
  }),
  Type.Object({
    type: Type.Optional(Type.Literal("git")),
    url: Type.String({
      maxLength: limits.urlCharsMax,
      description: "https:// or ssh://, without credentials.",
    }),
    ...Source,
  }),
]);
export type CreateMemorySource = Static<typeof CreateMemorySource>;

const Name = Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax });

export const CreateMemoryRequest = Type.Object({
  name: Name,
  description: Maybe(Type.String()),
  /** Absent or null: its files are put by hand. */
  source: Maybe(CreateMemorySource),
});

/** Absent: stays. A null description is removed; a null source stays. */
export const UpdateMemoryRequest = Type.Object({
  name: Maybe(Name),
  description: Maybe(Type.String()),
  source: Maybe(CreateMemorySource),
  status: Maybe(OneOf(WORKSPACE_STATUSES)),
});

export const MemoryFileInfo = Type.Object({
  path: Type.String(),
  is_directory: Type.Boolean(),
  size_bytes: Type.Integer(),
  /** `sha256:` and 64 hex digits; a directory has none. */
  content_hash: Type.Optional(Type.String()),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type MemoryFileInfo = Static<typeof MemoryFileInfo>;

export const MemoryFile = Type.Object({
  path: Type.String(),
  content: Type.String(),
  encoding: OneOf(["text", "base64"]),
  size_bytes: Type.Integer(),
  content_hash: Type.Optional(Type.String()),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type MemoryFile = Static<typeof MemoryFile>;

export const MemoryGrepResult = Type.Object({ path: Type.String(), size_bytes: Type.Integer() });

export const CreateMemoryFileRequest = Type.Object({
  content: Maybe(Type.String()),
  encoding: Maybe(OneOf(["text", "base64"])),
  is_directory: Maybe(Type.Boolean()),
});

export const UpdateMemoryFileRequest = Type.Object({
  content: Maybe(Type.String()),
  encoding: Maybe(OneOf(["text", "base64"])),
  expected_hash: ExpectedHash,
});
