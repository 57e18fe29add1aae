/**
 * PURE: the monitor's state as the lines of one screen, exactly as many as it has rows. Columns stand where they stood,
 * however numbers change; every state has a word or a mark, not only a colour.
 */
import { plainText } from "../../client/plain-text.ts";
import { age, type Resource } from "../../client/resources.ts";
import { cut } from "../markdown.ts";
import { shortNumber } from "../status-line.ts";
import { marks, type Paint } from "../theme.ts";
import { cellsOf, idOf, type MonitorState, type Overview, visibleItems } from "./state.ts";

export interface Screen {
  columns: number;
  rows: number;
  paint: Paint;
}

/** Lines that are not the body: title, verdict, and at the bottom note and keys. */
const CHROME_ROWS = 5;
const CELL_COLUMNS_MAX = 44;

export function frame(state: MonitorState, screen: Screen): string[] {
  const { columns, rows, paint } = screen;
  const bodyRows = Math.max(1, rows - CHROME_ROWS);
  const width = Math.max(1, columns - 1);
  const body = bodyOf(state, { ...screen, rows: bodyRows })
    .slice(0, bodyRows)
    .map((line) => cut(line, width));
  while (body.length < bodyRows) body.push("");
  return [
    titleLine(state, width, paint),
    verdictLine(state, width, paint),
    "",
    ...body,
    cut(noteLine(state, paint), width),
    paint.dim(cut(keysOf(state), width)),
  ].slice(0, rows);
}

/** Rows that a list has room for: a page to scroll by. */
export const pageRows = (rows: number): number => Math.max(1, rows - CHROME_ROWS - 1);

function titleLine(state: MonitorState, width: number, paint: Paint): string {
  const { view, resource, filter } = state;
  const shown = view === "overview" ? "overview" : (resource?.name ?? "");
  const count = view === "overview" ? "" : ` ${countText(state)}`;
  const narrowed = filter === "" ? "" : ` /${filter}`;
  const left = `everruns · ${plainText(state.server)} · ${shown}${count}${narrowed}`;
  const right = state.isReadonly ? "read-only" : "";
  const space = Math.max(1, width - Bun.stringWidth(left) - right.length);
  return paint.bold(cut(`${left}${" ".repeat(space)}${right}`, width));
}

function countText(state: MonitorState): string {
  const visible = visibleItems(state).length;
  return visible === state.total ? String(visible) : `${visible} of ${state.total}`;
}

/** Is anything broken, and who waits: in one line, first thing. */
function verdictLine(state: MonitorState, width: number, paint: Paint): string {
  if (state.trouble !== null) return paint.red(cut(`${marks.failure} ${plainText(state.trouble)}`, width));
  const { overview } = state;
  if (overview === null) return paint.dim(`${marks.pending} loading`);
  const problems = problemsOf(overview);
  const waits =
    overview.pendingApprovals > 0
      ? ` · ${counted(overview.pendingApprovals, "call")} for a person to decide`
      : "";
  return problems.length === 0
    ? paint.green(cut(`${marks.success} all well${waits}`, width))
    : paint.yellow(cut(`! ${problems.join(" · ")}${waits}`, width));
}

export function problemsOf({ health, openBreakers, queuedRuns, oldestQueued }: Overview): string[] {
  const oldSeconds = oldestQueued === null ? 0 : (Date.now() - Date.parse(oldestQueued)) / 1000;
  return [
    ...(health !== null && health.active_workers === 0 ? ["no worker is alive"] : []),
    ...(openBreakers.length > 0 ? [`${counted(openBreakers.length, "breaker")} open`] : []),
    ...(oldSeconds > QUEUE_OLD_SECONDS
      ? [`${counted(queuedRuns, "run")} queued, the oldest for ${age(oldestQueued)}`]
      : []),
    ...(health !== null && health.load_percentage >= FULL_PERCENT ? ["all slots are taken"] : []),
  ];
}
const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
const QUEUE_OLD_SECONDS = 30;
const FULL_PERCENT = 100;

function bodyOf(state: MonitorState, screen: Screen): string[] {
  if (state.isHelp) return HELP.map((line) => cut(line, screen.columns - 1));
  if (state.detail !== null) return detailLines(state, screen);
  return state.view === "overview" ? overviewLines(state, screen) : listLines(state, screen);
}

function detailLines({ detail }: MonitorState, { columns, rows }: Screen): string[] {
  const { lines = [], scroll = 0 } = detail ?? {};
  return lines.slice(scroll, scroll + rows).map((line) => cut(plainText(line), columns - 1));
}

function listLines(state: MonitorState, { columns, rows, paint }: Screen): string[] {
  const { resource, sort } = state;
  if (resource === null) return [];
  const items = visibleItems(state);
  const names = Object.keys(resource.columns).map((name, at) => {
    const mark = sort?.column !== at ? "" : sort.isDescending ? "↓" : "↑";
    return name.toUpperCase() + mark;
  });
  const lineOf = (cells: readonly string[]) => rowText(cells, state.widths, columns - 3);
  if (items.length === 0) return [paint.dim(`  ${lineOf(names)}`), "", `  ${emptyText(state, resource)}`];
  const at = Math.max(
    0,
    items.findIndex((item) => idOf(item) === state.selectedId),
  );
  const room = rows - 1;
  const first = Math.max(0, Math.min(at - Math.floor(room / 2), items.length - room));
  const shown = items.slice(first, first + room).map((item, index) => {
    const line = lineOf(cellsOf(resource, item).map(plainText));
    return first + index === at ? paint.inverse(`${marks.user} ${line}`) : `  ${line}`;
  });
  return [paint.dim(`  ${lineOf(names)}`), ...shown];
}

function emptyText({ filter, items }: MonitorState, resource: Resource): string {
  return filter !== "" && items.length > 0
    ? `nothing has "${filter}"; Esc clears the filter`
    : `no ${resource.name}`;
}

/** Every column as wide as it has ever been; what does not fit any more is left out, the last is cut. */
function rowText(cells: readonly string[], widths: readonly number[], columns: number): string {
  let text = "";
  for (const [at, cell] of cells.entries()) {
    const width = Math.min(widths[at] ?? 0, CELL_COLUMNS_MAX);
    const isLast = at === cells.length - 1;
    const room = columns - Bun.stringWidth(text);
    if (room < 4) break;
    const shown = cut(cell, isLast ? room : Math.min(width, room));
    text += isLast ? shown : `${shown}${" ".repeat(Math.max(0, width - Bun.stringWidth(shown)))}  `;
  }
  return cut(text, columns).padEnd(columns);
}

function overviewLines({ overview }: MonitorState, { columns, paint }: Screen): string[] {
  if (overview === null) return [];
  const { health, sessions, perMinute } = overview;
  const row = (name: string, text: string) => `  ${paint.dim(name.padEnd(12))}${cut(text, columns - 16)}`;
  const counts = (values: Readonly<Record<string, number>>) =>
    Object.entries(values)
      .map(([name, value]) => `${value} ${name}`)
      .join(" · ");
  const waiting = overview.pendingApprovals;
  return [
    row(
      "people",
      waiting === 0
        ? "nobody is waited for"
        : `${counted(waiting, "approval")}, the oldest for ${age(overview.oldestApproval)}   :approvals`,
    ),
    row(
      "queue",
      overview.queuedRuns === 0
        ? "empty"
        : `${counted(overview.queuedRuns, "run")}, the oldest for ${age(overview.oldestQueued)}   :runs`,
    ),
    row(
      "workers",
      health === null
        ? "only an admin sees them"
        : `${health.active_workers} alive of ${health.total_workers} · ${health.current_load}/${health.total_capacity} slots, ${Math.round(health.load_percentage)} %   :workers`,
    ),
    row("sessions", sessions === null ? "unknown" : `${counts(sessions)}   :sessions`),
    row(
      "last minute",
      `${counted(perMinute.turns, "turn")} · ${shortNumber(perMinute.tokens)} tokens · $${perMinute.costUsd.toFixed(4)}`,
    ),
    row(
      "breakers",
      overview.openBreakers.length === 0 ? "all closed" : `open: ${overview.openBreakers.join(", ")}`,
    ),
    "",
    `  ${paint.dim("ENDED BADLY, NEWEST FIRST")}`,
    ...(overview.deadRuns.length === 0
      ? ["  nothing"]
      : overview.deadRuns.map((run) =>
          cut(
            `  ${String(run.status).padEnd(7)} ${age(run.finished_at).padStart(4)}  ${idOf(run)}  ${plainText(String(run.error ?? run.error_code ?? ""))}`,
            columns - 1,
          ),
        )),
  ];
}

function noteLine({ prompt, note }: MonitorState, paint: Paint): string {
  if (prompt?.kind === "command") return `:${prompt.text}${paint.inverse(" ")}`;
  if (prompt?.kind === "filter") return `/${prompt.text}${paint.inverse(" ")}`;
  if (prompt?.kind === "confirm") return paint.yellow(`${prompt.question} y/n`);
  if (note === null) return "";
  return note.isError ? paint.red(`${marks.failure} ${plainText(note.text)}`) : plainText(note.text);
}

function keysOf(state: MonitorState): string {
  if (state.isHelp) return "Esc back";
  if (state.detail !== null) return "Esc back · ↑↓ scroll";
  if (state.view === "overview") return ": go to · ? help · q quit";
  const own = state.isReadonly ? [] : actionKeys(state.resource).map(({ key, verb }) => `${key} ${verb}`);
  return ["Enter open", "/ filter", "s sort", ...own, ": go to", "? help", "q quit"].join(" · ");
}

/** The letters of a resource's own verbs. */
export function actionKeys(resource: Resource | null): { key: string; verb: string }[] {
  const taken = new Set(["s", "q", "g", "G", "j", "k"]);
  return Object.keys(resource?.actions ?? {}).flatMap((verb) => {
    const key = [...(verb === "approve" ? "a" : ""), ...verb].find((letter) => !taken.has(letter));
    if (key === undefined) return [];
    taken.add(key);
    return [{ key, verb }];
  });
}

const HELP = [
  "  :sessions :runs :approvals :workers :agents :models :providers …   go to a list; :overview, or Esc, back",
  "  /text    keep rows that have the text; /!text those that have it not",
  "  ↑ ↓ j k  choose · PgUp PgDn · g first, G last",
  "  Enter    open; for a session its newest events · Esc back",
  "  s        sort by the next column · S turn the order round",
  "  letters  what can be done with the row is in the last line; what cannot be taken back asks first",
  "  Ctrl+A then a letter: do it with all rows that are shown",
  "  q        quit; Ctrl+C too",
];
