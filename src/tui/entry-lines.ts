/** PURE: one entry of the transcript as terminal lines. What is printed for good and what is drawn live use it alike. */

import type { AssistantEntry, Entry, ToolEntry } from "../client/entries.ts";
import { plainText } from "../client/plain-text.ts";
import { cut, renderMarkdown, wrap, wrapExact } from "./markdown.ts";
import { marks, type Paint, TEXT_COLUMNS_MAX } from "./theme.ts";

export interface EntryStyle {
  /** Columns of the terminal. */
  columns: number;
  paint: Paint;
  /** Thinking and tool output in full instead of their first lines. */
  isExpanded: boolean;
}

const OUTPUT_LINES = 4;
const USER_LINES = 12;
const THINKING_LINES_LIVE = 3;
const EXPANDED_LINES_MAX = 200;
const MARK_COLUMNS = 2;
/** Of arguments on one line: more than any terminal is wide. */
const ARGUMENTS_MAX = 10_000;

/** The entry's lines, without a blank line before or after. */
export function entryLines(entry: Entry, style: EntryStyle): string[] {
  const { paint } = style;
  const width = Math.max(8, Math.min(style.columns, TEXT_COLUMNS_MAX) - MARK_COLUMNS);
  switch (entry.kind) {
    case "user": {
      const images = entry.images.map((name) => paint.dim(cut(`[image ${plainText(name)}]`, width)));
      const lines = plainText(entry.text)
        .trim()
        .split("\n")
        .flatMap((line) => wrapExact(line, width).map(paint.bold));
      return hang(paint.cyan(marks.user), [...firstOf(lines, USER_LINES, style), ...images]);
    }
    case "assistant":
      return assistantLines(entry, style, width);
    case "tool":
      return toolLines(entry, style, width);
    case "error": {
      const code = entry.code === null ? "" : paint.dim(` (${entry.code})`);
      const detail = entry.detail === null ? [] : wrap(paint.dim(plainText(entry.detail)), width);
      return hang(paint.red(marks.failure), [
        ...wrap(paint.red(plainText(entry.text)) + code, width),
        ...detail,
      ]);
    }
    case "notice":
      return hang(paint.dim(marks.notice), wrap(paint.dim(plainText(entry.text)), width));
  }
}

/** Keeps the last lines of something that would not fit, and says that there is more. */
export function tailOf(lines: readonly string[], count: number, paint: Paint): string[] {
  if (lines.length <= count) return [...lines];
  const shown = lines.slice(lines.length - Math.max(1, count - 1));
  return [paint.dim(`  … ${lines.length - shown.length} lines above`), ...shown];
}

/** The first lines of something long; all of it, within reason, when expanded. */
function firstOf(lines: readonly string[], count: number, { paint, isExpanded }: EntryStyle): string[] {
  const max = isExpanded ? EXPANDED_LINES_MAX : count;
  if (lines.length <= max) return [...lines];
  return [...lines.slice(0, max - 1), paint.dim(`… ${lines.length - max + 1} more lines`)];
}

function assistantLines(entry: AssistantEntry, style: EntryStyle, width: number): string[] {
  const { paint } = style;
  const lines: string[] = [];
  const thinking = plainText(entry.thinking).trim();
  if (thinking !== "") lines.push(...thinkingLines(thinking, entry, style, width));
  const text = plainText(entry.text).trim();
  if (text !== "") {
    if (lines.length > 0) lines.push("");
    lines.push(...hang(paint.green(marks.assistant), renderMarkdown(text, { width, paint })));
  }
  return lines;
}

function thinkingLines(text: string, entry: AssistantEntry, style: EntryStyle, width: number): string[] {
  const { paint, isExpanded } = style;
  const all = text.split("\n").flatMap((line) => wrap(line, width));
  const isLive = entry.isStreaming && entry.text === "";
  const shown = isExpanded ? all.slice(0, EXPANDED_LINES_MAX) : isLive ? all.slice(-THINKING_LINES_LIVE) : [];
  if (shown.length === 0) {
    const [first = ""] = all;
    const rest = all.length === 1 ? "" : ` (${all.length} lines)`;
    const begin = cut(first, Math.max(1, width - rest.length));
    return hang(paint.dim(marks.thinking), [paint.dim(paint.italic(begin) + rest)]);
  }
  return hang(
    paint.dim(marks.thinking),
    shown.map((line) => paint.dim(paint.italic(line))),
  );
}

function toolLines(entry: ToolEntry, style: EntryStyle, width: number): string[] {
  const { paint } = style;
  const took = entry.durationMs === null ? "" : ` ${duration(entry.durationMs)}`;
  const end = `${statusMark(entry, paint)}${paint.dim(took)}`;
  const space = width - plainText(entry.name).length - Bun.stringWidth(end) - 3;
  const input = callArguments(entry.arguments, Math.max(0, space));
  const isCut = style.isExpanded && Bun.stringWidth(callArguments(entry.arguments, ARGUMENTS_MAX)) > space;
  const head = `${paint.bold(plainText(entry.name))}${paint.dim(isCut ? "" : `(${input})`)} ${end}`;
  const whole = isCut ? JSON.stringify(entry.arguments, null, 2) : "";
  const argumentLines = plainText(whole)
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => wrapExact(line, width - 2));
  const said = entry.error ?? (entry.isSettled ? entry.output : entry.progress);
  const lines = plainText(said)
    .trim()
    .split("\n")
    .flatMap((line) => wrapExact(line, width - 2));
  const colour = entry.error === null ? paint.dim : paint.red;
  const shown = lines.join("") === "" ? [] : firstOf(lines.map(colour), OUTPUT_LINES, style);
  const body = shown.map((line, at) => `${paint.dim(at === 0 ? marks.output : " ")} ${line}`);
  const called = firstOf(argumentLines, 0, style).map((line) => `  ${paint.dim(line)}`);
  return hang(paint.dim(marks.tool), [...wrap(head, width), ...called, ...body]);
}

function statusMark(entry: ToolEntry, paint: Paint): string {
  switch (entry.status) {
    case "pending":
      return paint.dim(marks.pending);
    case "running":
      return paint.yellow("running");
    case "waiting":
      return paint.yellow("waiting");
    case "success":
      return paint.green(marks.success);
    case "cancelled":
    case "interrupted":
      return paint.dim(entry.status);
    default:
      return paint.red(`${marks.failure} ${entry.status}`);
  }
}

/** `{timezone: "UTC", at: 3}` without its braces, cut to fit. */
export function callArguments(value: unknown, columns: number): string {
  const text =
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.entries(value)
          .map(([name, each]) => `${name}: ${JSON.stringify(each)}`)
          .join(", ")
      : value === null || value === undefined
        ? ""
        : JSON.stringify(value);
  return cut(plainText(text).replace(/\n/g, " "), columns);
}

/** `12 ms`, `3.4 s`, `2 min 5 s`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

function hang(mark: string, lines: readonly string[]): string[] {
  return lines.map((line, at) => (at === 0 ? `${mark} ${line}` : line === "" ? "" : `  ${line}`));
}
