/**
 * A tool: one function that the model may call. Policy lives here and in `invoke.ts`, not in each tool: input is
 * parsed (zod) before `run`, output is cut after it, the signal is obeyed inside it, and what a tool throws
 * becomes a result that the model can read.
 */
import { z } from "zod";
import type { Clock } from "../base/clock.ts";

/**
 * What a killed call may do again. `pure` and `idempotent` run again (the latter with the same key);
 * `at_most_once`, the default for what is not declared, never runs again by itself.
 */
export type Effect = "pure" | "idempotent" | "at_most_once";

export interface FileEntry {
  path: string;
  isDirectory: boolean;
  isReadonly: boolean;
  sizeBytes: number;
  /** RFC 3339, UTC. */
  updatedAt: string;
}

/**
 * The session's files, kept in PostgreSQL. Paths are absolute and normalized (`/notes/a.md`). Content is text;
 * binary files read as base64. Errors are UserError with codes not_found, conflict, limit_exceeded, invalid_request.
 */
export interface FileStore {
  /** null when there is no file at the path. `hash` is the SHA-256 of the content in hex. */
  read(
    path: string,
  ): Promise<{ content: string; encoding: "text" | "base64"; hash: string; isReadonly: boolean } | null>;
  /**
   * Creates or replaces; parents are made. `expectedHash` (null = do not check) refuses with conflict when the
   * file has changed. The idempotency key makes a repeated call with the same key answer as the first did.
   */
  write(input: {
    path: string;
    content: string;
    expectedHash: string | null;
    idempotencyKey: string;
  }): Promise<{ created: boolean; sizeBytes: number; hash: string }>;
  /** Entries below a directory, sorted by path; `recursive` includes everything below. */
  list(path: string, recursive: boolean): Promise<FileEntry[]>;
  stat(path: string): Promise<FileEntry | null>;
  /** Returns false when there was nothing. A directory with entries needs `recursive`. */
  remove(path: string, recursive: boolean): Promise<boolean>;
}

/** What a tool is given. A capability reaches the outside only through this. */
export interface ToolContext {
  clock: Clock;
  /** Fires when the call must end: cancelled, timed out, or the lease is gone. */
  signal: AbortSignal;
  sessionId: string;
  turnId: string;
  toolCallId: string;
  /** Turn id and tool call id: stable over attempts. */
  idempotencyKey: string;
  files: FileStore;
  /** Hosts that this turn may (allowed, empty = all) or may not (blocked) reach. */
  network: { allowed: readonly string[]; blocked: readonly string[] };
  /** Says something to whoever watches; becomes `tool.progress`. */
  progress(message: string): void;
  /** Announces a file change; becomes `file.written` with the call's result. */
  fileWritten(change: { path: string; operation: string; sizeBytes: number; created: boolean }): void;
}

export interface Tool {
  name: string;
  displayName: string;
  description: string;
  effect: Effect;
  input: z.ZodType;
  /** Runs with parsed input. The answer is what the model reads: text, or a value shown as JSON. */
  run(input: never, context: ToolContext): Promise<unknown>;
  hints?: { readonly?: boolean; destructive?: boolean; idempotent?: boolean; open_world?: boolean };
}

/** Ties the type of `run`'s input to the schema, then forgets it: a list of tools has one type. */
export function defineTool<S extends z.ZodType>(definition: {
  name: string;
  displayName: string;
  description: string;
  effect?: Effect;
  input: S;
  run(input: z.output<S>, context: ToolContext): Promise<unknown>;
  hints?: NonNullable<Tool["hints"]>;
}): Tool {
  const { run, effect, ...rest } = definition;
  return { ...rest, effect: effect ?? "at_most_once", run: run as Tool["run"] };
}

/** The input as JSON Schema for the model. */
export function toolParameters(tool: Tool): Record<string, unknown> {
  const { $schema: _, ...schema } = z.toJSONSchema(tool.input, { io: "input" }) as Record<string, unknown>;
  return schema;
}
