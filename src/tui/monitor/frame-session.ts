/** PURE: one session: its transcript, its events with the JSON of the chosen one, files, cost, tasks. */

import { summaryOf } from "../../client/event-line.ts";
import { plainText } from "../../client/plain-text.ts";
import type { Item } from "../../client/resources.ts";
import { sessionStatus } from "../../client/status.ts";
import { costOf, tokensOf } from "../../client/transcript.ts";
import type { Event } from "../../contract/event.ts";
import { cut } from "../markdown.ts";
import { shortNumber } from "../status-line.ts";
import { marks, type Paint } from "../theme.ts";
import { ageColumn, type Column, cellText, dollars, idColumn, money, number, text } from "./columns.ts";
import { chosenRow } from "./keys.ts";
import { type Body, rowText, type Screen, scrolledLines, tableLines, windowOf } from "./lines.ts";
import { SESSION_TABS, type SessionPlace } from "./state.ts";

/** `session_… · idle · title`, which takes what is left. */
export function sessionHead({ id, session }: SessionPlace, width: number, paint: Paint): string {
  const said = session === null ? [] : [sessionStatus(session), cellText(session.title ?? session.preview)];
  return paint.bold(cut([id, ...said].filter((part) => part !== "").join(" · "), width));
}

export function sessionBody(place: SessionPlace, screen: Screen): Body {
  const { columns, paint } = screen;
  const head = [tabsLine(place, paint), ...callLines(place, columns, paint)];
  const body = tabBody(place, { ...screen, rows: Math.max(1, screen.rows - head.length) });
  return { ...body, lines: [...head, ...body.lines], page: body.page ?? screen.rows - head.length };
}

function tabsLine({ tab, streamTrouble }: SessionPlace, paint: Paint): string {
  const tabs = SESSION_TABS.map((name) => (name === tab ? paint.inverse(`[${name}]`) : ` ${name} `)).join(
    " ",
  );
  return streamTrouble === null ? `  ${tabs}` : `  ${tabs}  ${paint.yellow(`! ${cellText(streamTrouble)}`)}`;
}

/** The call that waits for longest: it can be decided here. */
function callLines({ approvals }: SessionPlace, columns: number, paint: Paint): string[] {
  const [first] = approvals;
  if (first === undefined) return [];
  const more = approvals.length === 1 ? "" : `, ${approvals.length - 1} more`;
  const call = `${first.tool_name} ${JSON.stringify(first.arguments)}`;
  return [paint.yellow(cut(`  ! a approves, A always, d denies${more}: ${cellText(call)}`, columns))];
}

function tabBody(place: SessionPlace, screen: Screen): Body {
  switch (place.tab) {
    case "transcript":
      return transcriptBody(place, screen);
    case "events":
      return eventsBody(place, screen);
    case "files":
      return filesBody(place, screen);
    case "cost":
      return scrolledLines(costLines(place, screen), place.scroll, screen);
    case "tasks":
      return scrolledLines(taskLines(place, screen), place.scroll, screen);
  }
}

function transcriptBody({ transcript, scroll }: SessionPlace, { columns, rows, linesOf }: Screen): Body {
  const lines = transcript.entries.flatMap((entry) => ["", ...linesOf(entry, columns)]);
  if (lines.length === 0) return { lines: ["", "  nothing has been said"] };
  const scrollMax = Math.max(0, lines.length - rows);
  const end = lines.length - Math.min(scroll, scrollMax);
  return { lines: lines.slice(Math.max(0, end - rows), end), scrollMax };
}

const EVENT_COLUMNS: readonly Column[] = [
  text("seq", (event) => event.sequence, { width: 6, isRight: true, rank: 0 }),
  text("time", (event) => `${String(event.ts).slice(11, 19)}Z`, { width: 9, rank: 2 }),
  text("type", (event) => event.type, { width: 24, rank: 0 }),
  text("what", (event) => summaryOf(event as unknown as Event), { width: 20, rank: 1 }),
];
const FILE_COLUMNS: readonly Column[] = [
  number("bytes", (file) => file.size_bytes, { width: 6, rank: 0 }),
  ageColumn("age", (file) => file.updated_at, 1),
  text("path", (file) => file.path, { width: 30, rank: 0 }),
];
/** Below this the JSON has no place of its own; Enter shows it. */
const SPLIT_ROWS_MIN = 10;

function eventsBody(place: SessionPlace, screen: Screen): Body {
  const { columns, rows, paint } = screen;
  const isSplit = rows >= SPLIT_ROWS_MIN;
  const listRows = isSplit ? Math.floor(rows * 0.45) : rows;
  const lines = chooser(EVENT_COLUMNS, place, place.events, { ...screen, rows: listRows });
  const event = place.events[chosenRow(place)];
  if (!isSplit || event === undefined) return { lines, page: listRows - 1 };
  while (lines.length < listRows) lines.push("");
  const json = JSON.stringify(event.data, null, 2).split("\n").slice(0, rows);
  const title = `── ${event.type} ${event.sequence} · Enter shows all of it `;
  return {
    lines: [
      ...lines,
      paint.dim(cut(title + "─".repeat(Math.max(0, columns - title.length)), columns)),
      ...json.map((line) => cut(plainText(line), columns)),
    ].slice(0, rows),
    page: listRows - 1,
  };
}

function filesBody(place: SessionPlace, screen: Screen): Body {
  const { files } = place;
  if (files === null) return { lines: [`  ${marks.pending} loading`] };
  if (files.length === 0) return { lines: ["", "  no files"] };
  return { lines: chooser(FILE_COLUMNS, place, files, screen), page: screen.rows - 1 };
}

/** A list of which one is chosen. */
function chooser(
  columns: readonly Column[],
  place: SessionPlace,
  items: readonly object[],
  { columns: width, rows, paint }: Screen,
): string[] {
  const at = chosenRow(place);
  const lineOf = (cells: readonly string[]) => rowText(columns, cells, width - 3);
  const chosen = items[at];
  return [
    paint.dim(`   ${lineOf(columns.map(({ name }) => name.toUpperCase()))}`),
    ...windowOf(items, at, rows - 1).map((item) => {
      const line = lineOf(columns.map((column) => column.cell(item as Item)));
      return item === chosen ? paint.inverse(`${marks.user}  ${line}`) : `   ${line}`;
    }),
  ];
}

const RUN_COLUMNS: readonly Column[] = [
  idColumn("run", (run) => run.id),
  text("status", (run) => run.status, { width: 9, rank: 0 }),
  ageColumn("age", (run) => run.queued_at, 1),
  number("calls", (run) => run.iterations, { width: 5, rank: 2 }),
  number("in", (run) => (run.usage as Record<string, number> | undefined)?.input_tokens, {
    width: 6,
    rank: 0,
  }),
  number("out", (run) => (run.usage as Record<string, number> | undefined)?.output_tokens, {
    width: 6,
    rank: 0,
  }),
  money("cost", (run) => run.cost_usd, 0),
];
const TASK_COLUMNS: readonly Column[] = [
  text("state", (task) => task.state, { width: 14, rank: 0 }),
  ageColumn("age", (task) => task.created_at, 1),
  text("kind", (task) => task.kind, { width: 14, rank: 2 }),
  text("task", (task) => `${String(task.display_name)} ${String(task.summary ?? "")}`, {
    width: 30,
    rank: 0,
  }),
];

function costLines({ session, runs }: SessionPlace, screen: Screen): string[] {
  if (session === null || runs === null) return [`  ${marks.pending} loading`];
  const { usage } = session;
  const cost = costOf(usage);
  return [
    `  ${shortNumber(tokensOf(usage))} tokens: ${shortNumber(usage.input_tokens)} in, ${shortNumber(usage.output_tokens)} out, ${shortNumber(usage.cache_read_tokens ?? 0)} from the cache`,
    `  ${cost === null ? "no model call had a price" : dollars(cost)} · model ${cellText(session.model_id ?? "of the agent or the organization")}`,
    "",
    ...tableLines(RUN_COLUMNS, runs as readonly object[] as readonly Item[], screen),
  ];
}

function taskLines({ tasks }: SessionPlace, screen: Screen): string[] {
  if (tasks === null) return [`  ${marks.pending} loading`];
  if (tasks.length === 0) return ["", "  no tasks"];
  return tableLines(TASK_COLUMNS, tasks as readonly object[] as readonly Item[], screen);
}
