/**
 * One tool call, from the text that the model wrote to the text that it reads.
 *
 * Never throws for what the model or the tool did wrong: that is a result, for the model to read and correct. What
 * *we* could not do (a database that cannot be reached) is thrown, so that the engine tries the call again.
 */
import { z } from "zod";
import { LeaseLostError, RetryableError, TerminalError, UserError } from "../base/errors.ts";
import { findJsonFault } from "../base/json.ts";
import { isToolWait, type Tool, type ToolContext, ToolError, type ToolWait } from "./tool.ts";

export type Invoked =
  /**
   * `content` is what the model reads; `truncated` says that some of it was left out. With `wait` there is no result
   * yet: it comes from outside, later.
   */
  | { ok: true; content: string; truncated: boolean; wait?: ToolWait }
  | {
      ok: false;
      status: "error" | "timeout" | "cancelled";
      /** For the model; carries nothing of our inside. */
      error: string;
      /** An error that the tool did not foresee: a bug, for the log. Absent when there was none. */
      fault?: unknown;
    };

export interface InvokeLimits {
  timeoutMs: number;
  /** UTF-8 bytes of the result, the note about what was left out included. */
  outputBytesMax: number;
}

/** @throws RetryableError, TerminalError, LeaseLostError   what the tool needed of us and did not get */
export async function invokeTool(
  tool: Tool,
  argumentsJson: string,
  context: ToolContext,
  limits: InvokeLimits,
): Promise<Invoked> {
  const input = parseArguments(tool, argumentsJson);
  if (!input.ok) return { ok: false, status: "error", error: cut(input.complaint, limits).text };
  const end = new AbortController();
  let isTimedOut = false;
  // Not AbortSignal.timeout: its timer would live on for minutes after a call that took milliseconds.
  const timer = setTimeout(() => {
    isTimedOut = true;
    end.abort(new DOMException(`${tool.name} took too long`, "TimeoutError"));
  }, limits.timeoutMs);
  const cancel = () => end.abort(context.signal.reason);
  if (context.signal.aborted) cancel();
  else context.signal.addEventListener("abort", cancel, { once: true });
  try {
    end.signal.throwIfAborted();
    const { signal } = end;
    const progress = (message: string) => context.progress(clean(message));
    const answer = await orAborted(signal, tool.run(input.value as never, { ...context, signal, progress }));
    if (isToolWait(answer)) return { ok: true, content: "", truncated: false, wait: answer };
    const { text, isCut } = cut(asText(answer), limits);
    return { ok: true, content: text, truncated: isCut };
  } catch (error) {
    if (context.signal.aborted) return { ok: false, status: "cancelled", error: "The call was cancelled." };
    if (isTimedOut) {
      return {
        ok: false,
        status: "timeout",
        error: `${tool.name} did not finish within ${limits.timeoutMs / 1000} s.`,
      };
    }
    return failure(tool, error, limits);
  } finally {
    clearTimeout(timer);
    context.signal.removeEventListener("abort", cancel);
  }
}

function failure(tool: Tool, error: unknown, limits: InvokeLimits): Invoked {
  if (error instanceof RetryableError || error instanceof TerminalError || error instanceof LeaseLostError) {
    throw error;
  }
  if (error instanceof ToolError || error instanceof UserError) {
    return { ok: false, status: "error", error: cut(error.message, limits).text };
  }
  // Its message may speak of our inside, so the model is told only that it failed.
  return {
    ok: false,
    status: "error",
    error: `${tool.name} failed unexpectedly; the server's log has the details.`,
    fault: error,
  };
}

/** An answer as the model reads it: text as it is, anything else as JSON, cut at the cap. */
export function resultText(answer: unknown, limits: Pick<InvokeLimits, "outputBytesMax">): string {
  return cut(asText(answer), limits).text;
}

/** null when a call of this tool could run with these arguments; otherwise what is wrong, for the model. */
export function argumentsComplaint(tool: Tool, argumentsJson: string): string | null {
  const parsed = parseArguments(tool, argumentsJson);
  return parsed.ok ? null : parsed.complaint;
}

type Parsed<T = unknown> = { ok: true; value: T } | { ok: false; complaint: string };

/** The text of a call's arguments as the object that it should be. */
export function readArguments(toolName: string, json: string): Parsed<Record<string, unknown>> {
  let value: unknown;
  try {
    value = json.trim() === "" ? {} : JSON.parse(json);
  } catch {
    const fault = findJsonFault(json);
    const place = fault
      ? `line ${fault.line}, column ${fault.column}: ${fault.message}\n  ${fault.excerpt}`
      : "nested too deeply";
    return rewrite(toolName, `The arguments of ${toolName} are not valid JSON. ${place}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const found = value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
    return rewrite(toolName, `The arguments of ${toolName} must be one JSON object, found ${found}.`);
  }
  return { ok: true, value: value as Record<string, unknown> };
}

function parseArguments(tool: Tool, json: string): Parsed {
  const read = readArguments(tool.name, json);
  if (!read.ok) return read;
  const { value } = read;
  const parsed = tool.input.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  // Some models write null for a parameter that they mean to leave out.
  const withoutNulls = tool.input.safeParse(
    Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null)),
  );
  if (withoutNulls.success) return { ok: true, value: withoutNulls.data };
  return rewrite(tool.name, `The arguments of ${tool.name} do not fit.\n${z.prettifyError(parsed.error)}`);
}

function rewrite(toolName: string, complaint: string): { ok: false; complaint: string } {
  return {
    ok: false,
    complaint: `${complaint}\nThe tool did not run. Write the call to ${toolName} again with corrected arguments.`,
  };
}

/** Also returns when a tool does not obey its signal; what the tool does afterwards is nobody's. */
async function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  work.catch(() => {});
  const { promise, reject } = Promise.withResolvers<never>();
  // Starting the work may have aborted it already.
  if (signal.aborted) reject(signal.reason);
  else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  return Promise.race([work, promise]);
}

function asText(answer: unknown): string {
  if (typeof answer === "string") return answer;
  return JSON.stringify(answer) ?? "";
}

/** Cuts at a character, and says how much is missing. */
function cut(
  raw: string,
  { outputBytesMax }: Pick<InvokeLimits, "outputBytesMax">,
): { text: string; isCut: boolean } {
  const text = clean(raw);
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= outputBytesMax) return { text, isCut: false };
  const noteOf = (left: number) => `\n[… ${left} of ${bytes.length} bytes left out]`;
  let end = Math.max(0, outputBytesMax - Buffer.byteLength(noteOf(bytes.length)));
  // A continuation byte (10xxxxxx) at the cut means that a character would be split.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return { text: bytes.toString("utf8", 0, end) + noteOf(bytes.length - end), isCut: true };
}

/** PostgreSQL's jsonb takes neither NUL nor half a surrogate pair, and no model needs them. */
function clean(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}
