/**
 * PURE: the monitor's state as the lines of one screen, exactly as many as it has rows. Columns stand where they stand,
 * however numbers change; every state has a word or a mark, not only a colour.
 */

import { plainText } from "../../client/plain-text.ts";
import { cut, wrap } from "../markdown.ts";
import { marks, type Paint } from "../theme.ts";
import { idOf } from "./acts.ts";
import { cellText, fitting } from "./columns.ts";
import { completions } from "./commands.ts";
import { overviewLines } from "./frame-overview.ts";
import { runLines } from "./frame-run.ts";
import { sessionBody, sessionHead } from "./frame-session.ts";
import { helpLines, keysOf } from "./help.ts";
import { type Body, rowText, type Screen, scrolledLines, windowOf } from "./lines.ts";
import {
  type ListPlace,
  type MonitorState,
  type Place,
  placeOf,
  selectedItem,
  type TextPlace,
  visibleItems,
} from "./state.ts";
import { verdictLine } from "./verdict.ts";

export interface Frame {
  lines: string[];
  /** Rows that a key scrolls by. */
  page: number;
  /** Lines by which the place can be scrolled. */
  scrollMax: number;
}

/** Title, verdict and what is shown above; note and keys below. */
const CHROME_ROWS = 5;

export function frame(state: MonitorState, screen: Screen): Frame {
  const { rows, paint } = screen;
  const width = Math.max(1, screen.columns - 1);
  const bodyRows = Math.max(1, rows - CHROME_ROWS);
  const place = placeOf(state);
  const body = bodyOf(state, place, { ...screen, columns: width, rows: bodyRows });
  const lines = body.lines.slice(0, bodyRows).map((line) => cut(line, width));
  while (lines.length < bodyRows) lines.push("");
  return {
    lines: [
      titleLine(state, width, paint),
      verdictLine(state, width, paint),
      headLine(place, width, paint),
      ...lines,
      ...bottomLines(state, place, width, paint),
    ].slice(0, rows),
    page: Math.max(1, (body.page ?? bodyRows) - 1),
    scrollMax: body.scrollMax ?? 0,
  };
}

function titleLine(state: MonitorState, width: number, paint: Paint): string {
  const right = state.isReadonly ? "read-only" : "";
  const left = cut(`everruns · ${plainText(state.server)}`, Math.max(1, width - right.length - 1));
  const space = Math.max(1, width - Bun.stringWidth(left) - right.length);
  return paint.bold(cut(`${left}${" ".repeat(space)}${right}`, width));
}

/** What is shown, and how much of it. */
function headLine(place: Place, width: number, paint: Paint): string {
  switch (place.kind) {
    case "overview":
      return "";
    case "help":
      return paint.bold("help");
    case "text":
      return paint.bold(cut(cellText(place.title), width));
    case "run":
      return paint.bold(cut(`run ${place.id}`, width));
    case "session":
      return sessionHead(place, width, paint);
    case "list":
      return paint.bold(cut(listHead(place), width));
  }
}

function listHead(place: ListPlace): string {
  const { view, conditions, items, total, filter, sort, marks: marked, isLoaded } = place;
  const shown = visibleItems(place).length;
  const count = !isLoaded ? "" : shown === total ? String(total) : `${shown} of ${total}`;
  // A list that is longer than what is read says so: the filter looks through what is read.
  const read = isLoaded && total > items.length && shown !== items.length ? `, ${items.length} read` : "";
  const column = sort === null ? undefined : view.columns[sort.column];
  return [
    [view.name, ...conditions.map(({ name, value }) => `${name}=${value}`)].join(" "),
    `${count}${read}`,
    filter === "" ? "" : `/${filter}`,
    column === undefined ? "" : `by ${column.name} ${sort?.isDescending ? "↓" : "↑"}`,
    marked.size === 0 ? "" : `${marked.size} marked`,
  ]
    .filter((part) => part !== "")
    .map((part) => cellText(part))
    .join(" · ");
}

function bodyOf(state: MonitorState, place: Place, screen: Screen): Body {
  const trouble = "trouble" in place && place.trouble !== null ? cellText(place.trouble) : null;
  if (trouble !== null) return { lines: [`  ${screen.paint.red(`${marks.failure} ${trouble}`)}`] };
  switch (place.kind) {
    case "overview":
      return { lines: overviewLines(state, screen) };
    case "help":
      return scrolledLines(helpLines(screen.columns), place.scroll, screen);
    case "text":
      return textBody(place, screen);
    case "run":
      return scrolledLines(runLines(place, screen), place.scroll, screen);
    case "session":
      return sessionBody(place, screen);
    case "list":
      return { lines: listLines(place, screen) };
  }
}

/** Of a long text only what is shown is looked at. */
function textBody({ lines, scroll }: TextPlace, screen: Screen): Body {
  const body = scrolledLines(lines, scroll, screen);
  return { ...body, lines: body.lines.map(oneLine) };
}

function listLines(place: ListPlace, { columns: width, rows, paint }: Screen): string[] {
  const { view, sort } = place;
  const columns = fitting(view.columns, width - MARK_COLUMNS);
  const names = columns.map((column) => {
    const mark = view.columns.indexOf(column) !== sort?.column ? "" : sort.isDescending ? "↓" : "↑";
    return column.name.toUpperCase() + mark;
  });
  const header = paint.dim(`${" ".repeat(MARK_COLUMNS)}${rowText(columns, names, width - MARK_COLUMNS)}`);
  const items = visibleItems(place);
  if (items.length === 0) return [header, "", `  ${emptyText(place)}`];
  const chosen = selectedItem(place);
  const at = chosen === null ? 0 : items.indexOf(chosen);
  return [
    header,
    ...windowOf(items, at, rows - 1).map((item) => {
      const cells = columns.map((column) => column.cell(item));
      const line = rowText(columns, cells, width - MARK_COLUMNS);
      const mark = place.marks.has(idOf(item)) ? "*" : " ";
      return item === chosen ? paint.inverse(`${marks.user}${mark} ${line}`) : ` ${mark} ${line}`;
    }),
  ];
}

/** Place for the mark of the chosen row and of the marked ones. */
const MARK_COLUMNS = 3;

function emptyText({ filter, conditions, view, isLoaded, items }: ListPlace): string {
  if (!isLoaded) return `${marks.pending} loading`;
  if (filter !== "" && items.length > 0) return `nothing has "${cellText(filter)}"; Esc clears the filter`;
  return conditions.length > 0 ? `no ${view.name} like that` : view.empty;
}

/** Note and keys; a note that needs both lines, so that its command can be copied, takes them. */
function bottomLines(state: MonitorState, place: Place, width: number, paint: Paint): string[] {
  const note = noteLine(state, paint);
  const keys = paint.dim(cut(keysOf(state, place), width));
  if (state.prompt !== null || Bun.stringWidth(note) <= width) return [cut(note, width), keys];
  // What was done, and under it the command; the line breaks where it must only when that does not do.
  const at = note.lastIndexOf(" · ");
  const command = note.slice(at + 3);
  if (at >= 0 && Bun.stringWidth(command) <= width) return [cut(note.slice(0, at), width), command];
  const [first = "", ...rest] = wrap(note, width);
  return [first, cut(rest.join(" "), width)];
}

function noteLine({ prompt, note }: MonitorState, paint: Paint): string {
  const cursor = paint.inverse(" ");
  if (prompt?.kind === "command") {
    const more = completions(prompt.text).slice(0, COMPLETIONS_SHOWN).join(" ");
    return `:${oneLine(prompt.text)}${cursor} ${paint.dim(more)}`;
  }
  if (prompt?.kind === "filter") return `/${oneLine(prompt.text)}${cursor}`;
  if (prompt?.kind === "words") return `${paint.yellow(prompt.question)}: ${oneLine(prompt.text)}${cursor}`;
  if (prompt?.kind === "confirm") return paint.yellow(`! ${cellText(prompt.question)} y/n`);
  if (note === null) return "";
  return note.isError ? paint.red(`${marks.failure} ${cellText(note.text)}`) : cellText(note.text);
}
const COMPLETIONS_SHOWN = 8;
/** Keeps its spaces: what is being typed, a line of a file. */
const oneLine = (text: string) => plainText(text).replace(/\n/g, " ");
