/** PURE: cells of the monitor's tables. Every column has a width of its own that no value changes. */

import { age } from "../../client/age.ts";
import { plainText } from "../../client/plain-text.ts";
import type { Item } from "../../client/resources.ts";
import { shortNumber } from "../status-line.ts";

export interface Column {
  name: string;
  /** Columns of the terminal. The last column of a table takes what is left instead. */
  width: number;
  isRight?: boolean;
  /** What goes first when the terminal is narrow: 0 never goes, then the highest. */
  rank: number;
  cell(item: Item): string;
  /** What the rows are sorted by; the cell when absent. */
  order?(item: Item): number | string;
}

type Read = (item: Item) => unknown;
type Shape = Pick<Column, "width" | "rank"> & Partial<Pick<Column, "isRight">>;

/** Text as it is. */
export const text = (name: string, read: Read, shape: Shape): Column => ({
  name,
  ...shape,
  cell: (item) => cellText(read(item)),
});

/** The end of an id: what tells ids apart that were made in the same second. */
export const idColumn = (name: string, read: Read, rank = 0): Column => ({
  name,
  width: SHORT_ID_COLUMNS,
  rank,
  cell: (item) => shortId(read(item)),
  order: (item) => String(read(item) ?? ""),
});

/** How long ago, in one unit. */
export const ageColumn = (name: string, read: Read, rank = 1): Column => ({
  name,
  // Room for the mark of the order as well.
  width: Math.max(5, name.length + 1),
  isRight: true,
  rank,
  cell: (item) => age(read(item)),
  // The younger, the smaller; nothing at the end.
  order: (item) => {
    const at = Date.parse(String(read(item) ?? ""));
    return Number.isNaN(at) ? Number.MAX_SAFE_INTEGER : -at;
  },
});

export const number = (name: string, read: Read, shape: Shape): Column => ({
  name,
  isRight: true,
  ...shape,
  cell: (item) => {
    const value = read(item);
    return typeof value === "number" ? shortNumber(value) : "";
  },
  order: (item) => Number(read(item) ?? -1),
});

export const money = (name: string, read: Read, rank: number): Column => ({
  name,
  width: 8,
  isRight: true,
  rank,
  cell: (item) => dollars(read(item)),
  order: (item) => Number(read(item) ?? -1),
});

const SHORT_ID_COLUMNS = 9;
const SHORT_ID_DIGITS = 8;

/** `…3f9a01b2`; ids that are not of hex digits as they are. */
export function shortId(id: unknown): string {
  const plain = cellText(id);
  return /[0-9a-f]{12}$/.test(plain) ? `…${plain.slice(-SHORT_ID_DIGITS)}` : plain;
}

/** `$0.0123`, `$1.23`, `$12.3k`: never wider than eight columns. */
export function dollars(value: unknown): string {
  if (typeof value !== "number") return "";
  if (value >= 10_000) return `$${shortNumber(value)}`;
  return `$${value.toFixed(value !== 0 && value < 1 ? 4 : 2)}`;
}

/**
 * A value as a cell shows it: one line, without control characters, and without the marks that join several signs to
 * one. Terminals do not agree how wide such a sign is, and a column must not move.
 */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  const shown = typeof value === "string" ? value : JSON.stringify(value);
  return plainText(shown).normalize("NFC").replace(/\s+/g, " ").replace(JOINING, "").trim();
}
// Joiners, marks of direction, tags; variation selectors; skin tones.
const JOINING = /\p{Cf}|\p{Variation_Selector}|\p{Emoji_Modifier}/gu;

/** Cells of one row. */
export const cellsOf = (columns: readonly Column[], item: Item): string[] =>
  columns.map((column) => column.cell(item));

/** The columns that a width has room for, in their order; at least the last one stays. */
export function fitting(columns: readonly Column[], width: number): readonly Column[] {
  const last = columns.at(-1);
  const lastMin = Math.max(
    LAST_COLUMNS.min,
    Math.min(LAST_COLUMNS.max, Math.floor(width * LAST_COLUMNS.share)),
  );
  const widthOf = (kept: readonly Column[]) =>
    kept.reduce(
      (sum, column) => sum + (column === last ? Math.min(column.width, lastMin) : column.width + GAP_COLUMNS),
      0,
    );
  let kept = columns;
  while (kept.length > 1 && widthOf(kept) > width) {
    const worst = Math.max(...kept.slice(0, -1).map(({ rank }) => rank));
    const at = kept.findLastIndex((column) => column !== last && column.rank === worst);
    kept = kept.filter((_column, index) => index !== at);
  }
  return kept;
}

const GAP_COLUMNS = 2;
/** The last column says the most: it has this share of the width before others are left out for it. */
const LAST_COLUMNS = { min: 10, max: 22, share: 0.28 };
