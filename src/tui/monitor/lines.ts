/** PURE: lines of a screen: tables, windows on long lists, pages. */

import type { Entry } from "../../client/entries.ts";
import type { Item } from "../../client/resources.ts";
import { cut } from "../markdown.ts";
import type { Paint } from "../theme.ts";
import { type Column, fitting } from "./columns.ts";

export interface Screen {
  columns: number;
  rows: number;
  paint: Paint;
  /** Lines of an entry of a transcript: an entry that did not change is not laid out again. */
  linesOf(entry: Entry, columns: number): readonly string[];
}

/** The body of a place: lines that fit, and by how much it can be scrolled. */
export interface Body {
  lines: readonly string[];
  page?: number;
  scrollMax?: number;
}

/** As many of the lines as there is room for. */
export function scrolledLines(
  lines: readonly string[],
  scroll: number,
  { rows }: Pick<Screen, "rows">,
): Body {
  const scrollMax = Math.max(0, lines.length - rows);
  const from = Math.min(scroll, scrollMax);
  return { lines: lines.slice(from, from + rows), scrollMax };
}

/** The part of a list around the chosen row. */
export function windowOf<T>(items: readonly T[], at: number, rows: number): readonly T[] {
  const first = Math.max(0, Math.min(at - Math.floor(rows / 2), items.length - rows));
  return items.slice(first, first + rows);
}

/** Every cell as wide as its column, whatever stands in it; the last takes what is left. */
export function rowText(columns: readonly Column[], cells: readonly string[], width: number): string {
  const line = cells.map((cell, at) => {
    const column = columns[at] as Column;
    return at === cells.length - 1 ? cell : `${padded(cell, column.width, column.isRight ?? false)}  `;
  });
  return padded(line.join(""), width, false);
}

function padded(text: string, width: number, isRight: boolean): string {
  const shown = cut(text, width);
  const space = " ".repeat(Math.max(0, width - Bun.stringWidth(shown)));
  return isRight ? space + shown : shown + space;
}

/** A table's rows that only stand there: header and lines. */
export function tableLines(
  columns: readonly Column[],
  items: readonly Item[],
  { columns: width, paint }: Pick<Screen, "columns" | "paint">,
): string[] {
  const kept = fitting(columns, width - 2);
  const lineOf = (cells: readonly string[]) => `  ${rowText(kept, cells, width - 2)}`;
  return [
    paint.dim(lineOf(kept.map(({ name }) => name.toUpperCase()))),
    ...items.map((item) => lineOf(kept.map((column) => column.cell(item)))),
  ];
}
