/**
 * A tool: one function that the model may call. Policy lives here and in `invoke.ts`, not in each tool: input is
 * parsed (zod) before `run`, output is cut after it, the signal is obeyed inside it, and what a tool throws
 * becomes a result that the model can read.
 */
import { z } from "zod";
import type { Clock } from "../base/clock.ts";
import type { FileStore } from "../contract/file-store.ts";
import type { ScheduleStore } from "../contract/schedule-store.ts";
import type { SessionDatabases } from "../contract/session-database.ts";
import type { SessionStorage } from "../contract/session-storage.ts";
import type { SkillLibrary } from "../contract/skill-library.ts";
import type { TaskStore } from "../contract/task-store.ts";

export type { FileEntry, FileStore } from "../contract/file-store.ts";

/**
 * What a killed call may do again. `pure` and `idempotent` run again (the latter with the same key);
 * `at_most_once`, the default for what is not declared, never runs again by itself.
 */
export type Effect = "pure" | "idempotent" | "at_most_once";

/** What goes wrong inside a tool and is for the model to read: the message is the whole result. */
export class ToolError extends Error {
  override readonly name = "ToolError";
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
  storage: SessionStorage;
  databases: SessionDatabases;
  skills: SkillLibrary;
  /** Of the session. */
  schedules: ScheduleStore;
  tasks: TaskStore;
  /** Hosts that this turn may (allowed, empty = all) or may not (blocked) reach. */
  network: { allowed: readonly string[]; blocked: readonly string[] };
  /** Says something to whoever watches; becomes `tool.progress`. */
  progress(message: string): void;
  /** Announces a file change; becomes `file.written` with the call's result. */
  fileWritten(change: { path: string; operation: string; sizeBytes: number; created: boolean }): void;
}

/**
 * What a tool answers instead of a result when the result is not there yet: the run gives its worker back and the
 * call is settled from outside. A call may be made again before it is settled, so such a tool is pure or idempotent.
 */
export interface ToolWait {
  readonly [WAIT]: true;
  kind: "timer" | "subagent";
  /** When the wait is over at the latest; null has no end. */
  seconds: number | null;
}

const WAIT = Symbol("wait");

export function waitFor(wait: { kind: ToolWait["kind"]; seconds: number | null }): ToolWait {
  return { [WAIT]: true, ...wait };
}

export function isToolWait(answer: unknown): answer is ToolWait {
  return typeof answer === "object" && answer !== null && WAIT in answer;
}

export interface Tool {
  name: string;
  displayName: string;
  description: string;
  effect: Effect;
  input: z.ZodType;
  /** The input as JSON Schema for the model; made once, it takes longer than a statement. */
  parameters(): Record<string, unknown>;
  /** Runs with parsed input. The answer is what the model reads (text, or a value shown as JSON), or `waitFor(…)`. */
  run(input: never, context: ToolContext): Promise<unknown>;
  hints?: {
    readonly?: boolean;
    destructive?: boolean;
    idempotent?: boolean;
    open_world?: boolean;
    long_running?: boolean;
  };
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
  let schema: Record<string, unknown> | null = null;
  return {
    ...rest,
    effect: effect ?? "at_most_once",
    run: run as Tool["run"],
    parameters() {
      schema ??= jsonSchemaOf(definition.input);
      return schema;
    },
  };
}

function jsonSchemaOf(input: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...schema } = z.toJSONSchema(input, { io: "input" }) as Record<string, unknown>;
  return schema;
}
