/** `session_file_system`: the files of the session, which outlive a turn and are the same for every worker. */
import { z } from "zod";
import { limits } from "../contract/limits.ts";
import { noSuchFile, replaceText, showEntries, showFile } from "./_file-text.ts";
import { defineCapability } from "./capability.ts";
import { compileGlob, grep, relativeTo } from "./file-search.ts";
import { defineTool, type ToolContext, ToolError } from "./tool.ts";

const LINES_DEFAULT = 2_000;
/** Below the cap on every tool result, so that what is shown ends at a line and says where to read on. */
const SHOWN_BYTES_MAX = limits.toolResultBytesMax - 4 * 1024;
const FILES_AT_ONCE_MAX = 20;
const ENTRIES_SHOWN_MAX = 1_000;
const MATCHES_DEFAULT = 100;
const MATCHES_MAX = 500;
/** Edits that lost a race against another call are made anew on what stands then. */
const EDIT_RACES_MAX = 5;

const Path = z.string().min(1).describe("Absolute path, for example /notes/plan.md");
const Directory = z.string().min(1).default("/").describe("Directory; default: the root");
const ExpectedHash = z
  .string()
  .regex(/^[0-9a-f]{64}$/, "not a hash: 64 lowercase hex digits, as read_file shows")
  .optional()
  .describe("Refuse when the file has changed since it was read with this hash");

const readFile = defineTool({
  name: "read_file",
  displayName: "Read file",
  description:
    "Reads a text file as numbered lines. The head shows the number of lines and the hash. The number and the tab " +
    "before each line do not belong to the text.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({
    path: Path,
    offset: z.number().int().min(1).default(1).describe("First line to show, from 1"),
    limit: z.number().int().min(1).max(100_000).default(LINES_DEFAULT).describe("Lines to show"),
  }),
  async run({ path, offset, limit }, { files }) {
    const file = await files.read(path);
    if (!file) throw noSuchFile(path);
    return showFile(file, { offset, limit, bytesMax: SHOWN_BYTES_MAX });
  },
});

const readManyFiles = defineTool({
  name: "read_many_files",
  displayName: "Read files",
  description: `Reads up to ${FILES_AT_ONCE_MAX} text files from their beginning; each gets an equal share of the answer.`,
  effect: "pure",
  hints: { readonly: true },
  input: z.object({ paths: z.array(Path).min(1).max(FILES_AT_ONCE_MAX) }),
  async run({ paths }, { files }) {
    const bytesMax = Math.floor(SHOWN_BYTES_MAX / paths.length) - 200;
    const shown: string[] = [];
    for (const path of paths) {
      const file = await files.read(path);
      shown.push(
        file
          ? showFile(file, { offset: 1, limit: LINES_DEFAULT, bytesMax })
          : `${path}: there is no such file`,
      );
    }
    return shown.join("\n\n");
  },
});

const writeFile = defineTool({
  name: "write_file",
  displayName: "Write file",
  description: "Creates a file or replaces it whole. Directories above it are made.",
  effect: "idempotent",
  hints: { idempotent: true },
  input: z.object({
    path: Path,
    content: z.string(),
    encoding: z.enum(["text", "base64"]).default("text").describe("base64 for binary content"),
    expected_hash: ExpectedHash,
  }),
  async run(input, context) {
    const change = await context.files.write({
      path: input.path,
      content: input.content,
      encoding: input.encoding,
      expectedHash: input.expected_hash ?? null,
      idempotencyKey: context.idempotencyKey,
    });
    context.fileWritten({ ...change, operation: "write" });
    return { path: change.path, created: change.created, size_bytes: change.sizeBytes, hash: change.hash };
  },
});

const editFile = defineTool({
  name: "edit_file",
  displayName: "Edit file",
  description:
    "Replaces a piece of text in a file. old_string must occur exactly once, so include enough of what is around " +
    "it, or set replace_all.",
  effect: "idempotent",
  hints: { idempotent: true },
  input: z.object({
    path: Path,
    old_string: z.string().min(1).describe("Text to replace, exactly as it stands, without line numbers"),
    new_string: z.string(),
    replace_all: z.boolean().default(false),
    expected_hash: ExpectedHash,
  }),
  async run(input, context) {
    const { change, replacements } = await edit(input, context);
    context.fileWritten({ ...change, operation: "edit" });
    return {
      path: change.path,
      ...(replacements === null ? {} : { replacements }),
      size_bytes: change.sizeBytes,
      hash: change.hash,
    };
  },
});

/** @returns replacements null when an earlier attempt of this call made the edit */
async function edit(
  input: {
    path: string;
    old_string: string;
    new_string: string;
    replace_all: boolean;
    expected_hash?: string | undefined;
  },
  { files, idempotencyKey }: ToolContext,
) {
  // Made by an attempt that was killed before its result was stored: the old text is gone, and must not be missed.
  const before = await files.recall(idempotencyKey);
  if (before) return { change: before, replacements: null };
  for (let race = 1; ; race += 1) {
    const file = await files.read(input.path);
    if (!file) throw noSuchFile(input.path);
    if (input.expected_hash !== undefined && input.expected_hash !== file.hash) {
      throw new ToolError(
        `${file.path} has changed: its hash is ${file.hash}, not ${input.expected_hash}. Read it again.`,
      );
    }
    const { content, replacements } = replaceText(file, {
      oldString: input.old_string,
      newString: input.new_string,
      replaceAll: input.replace_all,
    });
    try {
      const change = await files.write({ path: file.path, content, expectedHash: file.hash, idempotencyKey });
      return { change, replacements };
    } catch (error) {
      if (file.isReadonly || race === EDIT_RACES_MAX || !isConflict(error)) throw error;
    }
  }
}

const isConflict = (error: unknown) => (error as { code?: unknown } | null)?.code === "conflict";

const listDirectory = defineTool({
  name: "list_directory",
  displayName: "List directory",
  description: "Lists the files and directories in a directory, with sizes.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({
    path: Directory,
    recursive: z.boolean().default(false).describe("Include everything below"),
  }),
  async run({ path, recursive }, { files }) {
    return showEntries(await files.list(path, recursive), ENTRIES_SHOWN_MAX);
  },
});

const grepFiles = defineTool({
  name: "grep_files",
  displayName: "Search in files",
  description:
    "Finds lines that match a regular expression. Backreferences and lookaround are not supported. Answers with " +
    "path:line: text.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({
    pattern: z.string().min(1).describe("Regular expression; a plain word works as it is"),
    path: z.string().min(1).default("/").describe("File or directory to search; default: everything"),
    include: z.string().optional().describe("Only files that match this glob, for example **/*.md"),
    ignore_case: z.boolean().default(false),
    literal: z.boolean().default(false).describe("Take the pattern as plain text"),
    max_matches: z.number().int().min(1).max(MATCHES_MAX).default(MATCHES_DEFAULT),
  }),
  async run(input, context) {
    const result = await grep(context, {
      pattern: input.pattern,
      isLiteral: input.literal,
      ignoreCase: input.ignore_case,
      matchesMax: input.max_matches,
      files: await filesBelow(input.path, input.include ?? null, context),
    });
    const lines = result.matches.map((match) => `${match.path}:${match.lineNumber}: ${match.line}`);
    if (lines.length === 0) lines.push("No matches.");
    if (result.incomplete) lines.push(`[… ${result.incomplete}]`);
    return lines.join("\n");
  },
});

const glob = defineTool({
  name: "glob",
  displayName: "Find files",
  description: "Finds files by name: * within a name, ** across directories, {a,b} for either.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({
    pattern: z.string().min(1).describe("For example **/*.ts"),
    path: Directory,
  }),
  async run({ pattern, path }, context) {
    const found = await filesBelow(path, pattern, context);
    return found.length === 0 ? "No files match." : showEntries(found, ENTRIES_SHOWN_MAX);
  },
});

/** The files at or below a path whose name, seen from there, matches the glob; all of them when it is null. */
async function filesBelow(path: string, pattern: string | null, { files }: ToolContext) {
  const matches = pattern === null ? () => true : compileGlob(pattern);
  const self = await files.stat(path);
  if (self && !self.isDirectory) return [self];
  const entries = await files.list(path, true);
  return entries.filter((entry) => !entry.isDirectory && matches(relativeTo(self?.path ?? "/", entry.path)));
}

const deleteFile = defineTool({
  name: "delete_file",
  displayName: "Delete file",
  description: "Deletes a file or an empty directory; with recursive, a directory and everything below it.",
  effect: "idempotent",
  hints: { destructive: true, idempotent: true },
  input: z.object({ path: Path, recursive: z.boolean().default(false) }),
  async run({ path, recursive }, context) {
    const { idempotencyKey } = context;
    const change = await context.files.remove({ path, recursive, idempotencyKey });
    if (!change.removed) throw new ToolError(`There is nothing at ${change.path}.`);
    context.fileWritten({ ...change, operation: "delete" });
    return { path: change.path, deleted: true };
  },
});

const statFile = defineTool({
  name: "stat_file",
  displayName: "File details",
  description: "Says whether a path exists and what it is: kind, size, times.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({ path: Path }),
  async run({ path }, { files }) {
    const entry = await files.stat(path);
    if (!entry) return { path, exists: false };
    return {
      path: entry.path,
      exists: true,
      is_directory: entry.isDirectory,
      is_readonly: entry.isReadonly,
      size_bytes: entry.sizeBytes,
      created_at: entry.createdAt,
      updated_at: entry.updatedAt,
    };
  },
});

const tools = [
  readFile,
  readManyFiles,
  writeFile,
  editFile,
  listDirectory,
  grepFiles,
  glob,
  deleteFile,
  statFile,
];

export const sessionFiles = defineCapability({
  id: "session_file_system",
  name: "File system",
  description: "Gives the agent files of its own, kept with the session: read, write, edit, search.",
  category: "Files",
  icon: "folder",
  features: ["file_system"],
  prompt: () =>
    "You have a file system that belongs to this session and lasts as long as it does. Paths are absolute and " +
    "begin with /. Read a file before you edit it. Keep results that are worth keeping in files. It is not a " +
    "computer: nothing in it can be executed.",
  tools: () => tools,
});
