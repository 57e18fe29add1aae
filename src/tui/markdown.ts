/**
 * Markdown to terminal lines of a known width. Lines, not components: the chat must know how high an answer is
 * before it is drawn, and a half-written answer must not jump about while it grows.
 */
import { type MarkedToken, marked, type Token, type Tokens } from "marked";
import type { Paint } from "./theme.ts";

export interface MarkdownOptions {
  /** Columns that a line may take. */
  width: number;
  paint: Paint;
}

/** @param text  already without control characters; see `plainText` */
export function renderMarkdown(text: string, options: MarkdownOptions): string[] {
  return blocks(marked.lexer(text, { gfm: true, breaks: true }), options);
}

/** Wraps at words, and inside words that are longer than a line. Styles are closed and reopened at every break. */
export function wrap(text: string, width: number): string[] {
  return Bun.wrapAnsi(text, Math.max(1, width), { hard: true, trim: true }).split("\n");
}

/** The same for text whose spaces mean something: code, output, what a person typed. */
export function wrapExact(text: string, width: number): string[] {
  return Bun.wrapAnsi(text, Math.max(1, width), { hard: true, trim: false }).split("\n");
}

/**
 * Cuts to a width, with … where something is missing. Bun 1.4.5 takes a wide letter along that begins in the last
 * column: then the result is one column too wide, and is cut again.
 */
export function cut(text: string, width: number): string {
  const shown = Bun.sliceAnsi(text, 0, width, "…");
  return Bun.stringWidth(shown) <= width ? shown : Bun.sliceAnsi(text, 0, width - 1, "…");
}

function blocks(tokens: readonly Token[], options: MarkdownOptions): string[] {
  const lines: string[] = [];
  for (const token of tokens as readonly MarkedToken[]) {
    if (token.type === "space" || token.type === "def") continue;
    if (lines.length > 0) lines.push("");
    lines.push(...block(token, options));
  }
  return lines;
}

function block(token: MarkedToken, options: MarkdownOptions): string[] {
  const { width, paint } = options;
  switch (token.type) {
    case "heading":
      return wrap(paint.bold(inline(token.tokens, paint)), width);
    case "paragraph":
      return wrap(inline(token.tokens, paint), width);
    case "text":
      return wrap(token.tokens ? inline(token.tokens, paint) : unescapeHtml(token.text), width);
    case "code":
      return code(token, options);
    case "blockquote":
      return blocks(token.tokens, { width: width - 2, paint }).map((line) => `${paint.dim("│")} ${line}`);
    case "list":
      return list(token, options);
    case "table":
      return table(token, options);
    case "hr":
      return [paint.dim("─".repeat(Math.min(width, 24)))];
    default:
      return wrap("text" in token ? unescapeHtml(String(token.text)) : token.raw, width);
  }
}

function code(token: Tokens.Code, { width, paint }: MarkdownOptions): string[] {
  const lines = token.text.split("\n").flatMap((line) => wrapExact(line, width - 2));
  const name = token.lang ? [paint.dim(`  ${token.lang}`)] : [];
  return [...name, ...lines.map((line) => `${paint.dim("▏")} ${paint.cyan(line)}`)];
}

function list(token: Tokens.List, { width, paint }: MarkdownOptions): string[] {
  const first = token.start === "" ? 1 : token.start;
  return token.items.flatMap((item, index) => {
    const bullet = item.task ? (item.checked ? "[x]" : "[ ]") : token.ordered ? `${first + index}.` : "•";
    const indent = bullet.length + 1;
    const parts = item.tokens.filter((part) => part.type !== "checkbox");
    const lines = item.loose
      ? blocks(parts, { width: width - indent, paint })
      : parts.flatMap((part) => block(part as MarkedToken, { width: width - indent, paint }));
    const body = lines.length === 0 ? [""] : lines;
    const marked = body.map((line, at) =>
      at === 0 ? `${paint.dim(bullet)} ${line}` : line === "" ? "" : " ".repeat(indent) + line,
    );
    return item.loose && index < token.items.length - 1 ? [...marked, ""] : marked;
  });
}

/** A grid where it fits; otherwise each row as `column: value` lines. */
function table(token: Tokens.Table, { width, paint }: MarkdownOptions): string[] {
  const header = token.header.map((cell) => paint.bold(inline(cell.tokens, paint)));
  const rows = token.rows.map((row) => row.map((cell) => inline(cell.tokens, paint)));
  const widths = header.map((cell, column) =>
    Math.max(...[cell, ...rows.map((row) => row[column] ?? "")].map((text) => Bun.stringWidth(text))),
  );
  const total = widths.reduce((sum, each) => sum + each, 0) + 3 * (widths.length - 1);
  if (total > width) {
    return rows.flatMap((row, index) => [
      ...(index === 0 ? [] : [""]),
      ...row.flatMap((cell, column) => wrap(`${header[column] ?? ""}: ${cell}`, width)),
    ]);
  }
  const line = (cells: readonly string[]) => {
    const last = cells.findLastIndex((cell) => cell !== "");
    return cells
      .slice(0, last + 1)
      .map((cell, column) => {
        const padded = pad(cell, widths[column] ?? 0, token.align[column] ?? null);
        return column === last ? padded.trimEnd() : padded;
      })
      .join(paint.dim(" │ "));
  };
  return [line(header), paint.dim(widths.map((each) => "─".repeat(each)).join("─┼─")), ...rows.map(line)];
}

function pad(text: string, width: number, align: "center" | "left" | "right" | null): string {
  const gap = Math.max(0, width - Bun.stringWidth(text));
  const before = align === "right" ? gap : align === "center" ? Math.floor(gap / 2) : 0;
  return " ".repeat(before) + text + " ".repeat(gap - before);
}

function inline(tokens: readonly Token[] | undefined, paint: Paint): string {
  return ((tokens ?? []) as readonly MarkedToken[]).map((token) => span(token, paint)).join("");
}

function span(token: MarkedToken, paint: Paint): string {
  switch (token.type) {
    case "strong":
      return paint.bold(inline(token.tokens, paint));
    case "em":
      return paint.italic(inline(token.tokens, paint));
    case "del":
      return paint.strike(inline(token.tokens, paint));
    case "codespan":
      return paint.cyan(unescapeHtml(token.text));
    case "br":
      return "\n";
    case "link": {
      const text = inline(token.tokens, paint);
      const isBare = token.text === token.href || `mailto:${token.text}` === token.href;
      return isBare ? paint.underline(text) : `${paint.underline(text)} ${paint.dim(`(${token.href})`)}`;
    }
    case "image":
      return `${paint.dim("[image")} ${unescapeHtml(token.text)}${paint.dim(`] (${token.href})`)}`;
    case "text":
      return token.tokens ? inline(token.tokens, paint) : unescapeHtml(token.text);
    case "escape":
      return unescapeHtml(token.text);
    default:
      return token.raw;
  }
}

/** The lexer keeps entities as they were written; a terminal has no use for them. */
function unescapeHtml(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity] ?? entity);
}
const ENTITIES: Readonly<Record<string, string>> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&#39;": "'",
};
