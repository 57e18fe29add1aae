/** PURE: the overview. Numbers stand in columns, so that a glance finds what has changed. */
import { age } from "../../client/age.ts";
import { cut } from "../markdown.ts";
import { shortNumber } from "../status-line.ts";
import { marks } from "../theme.ts";
import { cellText, dollars, shortId } from "./columns.ts";
import type { Screen } from "./lines.ts";
import type { MonitorState, Overview } from "./state.ts";
import { minutesText, problemsOf } from "./verdict.ts";

const NAME_COLUMNS = 9;
const NUMBER_COLUMNS = 5;

export function overviewLines({ overview }: MonitorState, { columns, rows, paint }: Screen): string[] {
  if (overview === null) return [];
  const { health, sessions, recent, runs, approvals, waiting, oldestQueuedAt } = overview;
  const row = (name: string, text: string) => `  ${paint.dim(name.padEnd(NAME_COLUMNS))}${text}`;
  const number = (value: number) => shortNumber(value).padStart(NUMBER_COLUMNS);
  const counts = (values: Readonly<Record<string, number>>) =>
    Object.entries(values)
      .map(([name, value]) => `${number(value)} ${name}`)
      .join(" ");
  const problems = problemsOf(overview);
  const others = Object.entries(waiting).filter(([what]) => what !== "approval");
  const top = [
    ...(problems.length === 0
      ? [row("broken", paint.green(`${marks.success} nothing`))]
      : problems.map(({ sentence }, at) =>
          row(at === 0 ? "broken" : "", paint.yellow(`! ${cellText(sentence)}`)),
        )),
    row(
      "people",
      approvals.total === 0
        ? `${number(0)} to decide`
        : `${number(approvals.total)} to decide, oldest ${age(approvals.oldestAt).padEnd(3)} · 2 opens them`,
    ),
    row(
      "queue",
      oldestQueuedAt === null
        ? `${number(0)} queued`
        : `${number(runs.queued)} queued, oldest ${age(oldestQueuedAt).padEnd(3)} · 5 says why`,
    ),
    row("runs", counts(runs)),
    ...(others.length === 0
      ? []
      : [row("", `waiting for ${others.map(([what, count]) => `${count} ${what}`).join(", ")}`)]),
    row(
      "workers",
      health === null
        ? `${"?".padStart(NUMBER_COLUMNS)} only an admin of the installation sees them`
        : `${number(health.active_workers)} alive of ${health.total_workers} · ${health.current_load}/${health.total_capacity} slots, ${Math.round(health.load_percentage)} %`,
    ),
    row("sessions", sessions === null ? `${"?".padStart(NUMBER_COLUMNS)} unknown` : counts(sessions)),
    row(`in ${minutesText(recent)}`, counts(recent.ended)),
    row("a minute", perMinute(overview)),
    row("breakers", breakersText(overview)),
  ];
  return [...top, ...bottom(overview, { columns, rows: rows - top.length, paint })];
}

function perMinute({ recent }: Overview): string {
  const { minutes, ended } = recent;
  const turns = (ended.completed + ended.failed + ended.sealed + ended.cancelled) / minutes;
  const number = (text: string) => text.padStart(NUMBER_COLUMNS);
  return [
    `${number(turns < 10 ? turns.toFixed(1) : shortNumber(Math.round(turns)))} turns`,
    `${number(shortNumber(Math.round(recent.tokens / minutes)))} tokens `,
    dollars(recent.costUsd / minutes),
  ].join(" ");
}

function breakersText({ openBreakers }: Overview): string {
  if (openBreakers === null) return `${"?".padStart(NUMBER_COLUMNS)} only an admin sees them`;
  if (openBreakers.length === 0) return `${"0".padStart(NUMBER_COLUMNS)} open`;
  return `${String(openBreakers.length).padStart(NUMBER_COLUMNS)} open: ${cellText(openBreakers.join(", "))}`;
}

/** Who waits, then what went wrong, as far as there is room. */
function bottom(
  { approvals, deadRuns }: Overview,
  { columns, rows, paint }: Pick<Screen, "columns" | "rows" | "paint">,
) {
  const waitingMax = Math.max(1, Math.floor((rows - 4) / 2));
  const waiting = approvals.oldest.slice(0, Math.min(waitingMax, approvals.total));
  const lines = (title: string, items: readonly string[]) =>
    items.length === 0
      ? []
      : ["", `  ${paint.dim(title)}`, ...items.map((line) => cut(`  ${line}`, columns))];
  return [
    ...lines(
      "WAIT FOR A PERSON, OLDEST FIRST",
      waiting.map(
        (approval) =>
          `${age(approval.requested_at).padStart(4)}  ${cut(cellText(approval.tool_name), 20).padEnd(20)}  ${shortId(approval.session_id)}  ${cellText(approval.arguments)}`,
      ),
    ),
    ...lines(
      `ENDED BADLY, NEWEST FIRST`,
      deadRuns.map(
        (run) =>
          `${age(run.finished_at).padStart(4)}  ${run.status.padEnd(6)}  ${shortId(run.id)}  ${cellText(run.error ?? run.error_code)}`,
      ),
    ),
  ].slice(0, Math.max(0, rows));
}
