/** What stands below the printed conversation and may still change. All of it together is lower than the window. */
import { Box, Text, useAnimation } from "ink";
import type { Entry, ToolEntry, WaitingMessage } from "../client/entries.ts";
import { plainText } from "../client/plain-text.ts";
import type { ChatSnapshot, Printed } from "./chat-session.ts";
import { callArguments, duration, type EntryStyle, entryLines, tailOf } from "./entry-lines.ts";
import { cut, wrap } from "./markdown.ts";
import { Rows } from "./rows.tsx";
import { marks, type Paint } from "./theme.ts";

interface Part {
  paint: Paint;
  columns: number;
}

/** What is being said and done right now, cut to its last `rows` lines. */
export function OpenEntries(props: { snapshot: ChatSnapshot; style: EntryStyle; rows: number }) {
  const { snapshot, style, rows } = props;
  const { open, sending } = snapshot;
  const lines = open.flatMap((entry, at) => {
    const previous = at > 0 ? open[at - 1]?.kind : lastKind(snapshot.printed);
    const gap = entry.kind === "tool" && previous === "tool" ? [] : [""];
    const own = entryLines(newestOf(entry), style);
    return own.length === 0 ? [] : [...gap, ...own];
  });
  if (sending !== null) {
    const shown = wrap(plainText(sending), Math.max(8, style.columns - 2));
    lines.push("", ...shown.map((line, at) => style.paint.dim(`${at === 0 ? marks.user : " "} ${line}`)));
  }
  if (lines.length === 0) return null;
  return <Rows lines={tailOf(lines, rows, style.paint)} />;
}

/**
 * A long answer under way without its beginning, which is far above the window: what a frame costs does not grow
 * with the answer. It is cut at a blank line outside of code, where Markdown begins anew.
 */
function newestOf(entry: Entry): Entry {
  if (entry.kind !== "assistant" || entry.text.length < 2 * LIVE_CHARS) return entry;
  const from = entry.text.indexOf("\n\n", entry.text.length - LIVE_CHARS);
  if (from < 0) return entry;
  const before = entry.text.slice(0, from);
  const isInCode = (before.match(/^ {0,3}```/gm) ?? []).length % 2 === 1;
  return { ...entry, text: `${isInCode ? "```\n" : ""}${entry.text.slice(from).trimStart()}` };
}
const LIVE_CHARS = 16_000;

function lastKind(printed: readonly Printed[]): string | null {
  const last = printed.at(-1);
  return last?.kind === "entry" ? last.entry.kind : null;
}

/** The only part of the screen that moves by itself. */
export function Activity({ snapshot, paint, columns }: Part & { snapshot: ChatSnapshot }) {
  const { frame, time } = useAnimation({ interval: SPINNER_MS });
  const spin = marks.spinner[frame % marks.spinner.length] ?? "";
  const elapsed = time < 1000 ? "" : ` ${duration(Math.floor(time / 1000) * 1000).replace(".0 s", " s")}`;
  return (
    <Box marginTop={1}>
      <Text>
        {`${paint.cyan(spin)} ${paint.dim(cut(plainText(activityOf(snapshot, elapsed)), Math.max(1, columns - 3)))}`}
      </Text>
    </Box>
  );
}
const SPINNER_MS = 120;

function activityOf({ connection, isInterrupting, task, open }: ChatSnapshot, elapsed: string): string {
  if (connection.state === "lost")
    return "no connection to the server, trying again; nothing of the turn is lost";
  if (isInterrupting) return "interrupting";
  if (task !== null) return `${task}${elapsed} · Esc cancels`;
  const isWaiting = open.some((entry) => entry.kind === "tool" && entry.waitsFor !== null);
  return `${isWaiting ? "waits for you" : "working"}${elapsed} · Esc interrupts`;
}

/** Messages that the agent has not read: a line each, and how many there are beside those. */
export function Queue({ waiting, paint, columns }: Part & { waiting: readonly WaitingMessage[] }) {
  if (waiting.length === 0) return null;
  const shown = waiting.slice(0, waiting.length > QUEUE_ROWS ? QUEUE_ROWS - 1 : QUEUE_ROWS);
  const width = Math.max(8, columns - 3);
  let place = 0;
  const lines = shown.map(({ text, delivery }) => {
    if (delivery === "queue") place += 1;
    const what = delivery === "steer" ? "steers " : `queued ${place}`;
    return cut(`${marks.waiting} ${what}  ${plainText(text).replace(/\s+/g, " ")}`, width);
  });
  if (waiting.length > shown.length) lines.push(`  … ${waiting.length - shown.length} more`);
  if (waiting.some(({ delivery }) => delivery === "queue")) {
    lines.push(cut("  Up takes the last one back", width));
  }
  return (
    <Box marginTop={1}>
      <Text>{lines.map(paint.dim).join("\n")}</Text>
    </Box>
  );
}
const QUEUE_ROWS = 3;

/** One call at a time: the others follow when it is settled. */
export function WaitingCall({ call, paint, columns }: Part & { call: ToolEntry }) {
  const width = Math.max(8, columns - 3);
  const name = plainText(call.name);
  const question = questionOf(call);
  const isApproval = call.waitsFor === "approval";
  const verb = isApproval ? "Run" : "Answer";
  const input = question
    ? ""
    : `(${callArguments(call.arguments, Math.max(0, width - name.length - verb.length - 7))})`;
  const options = (question?.options ?? []).map((option, at) =>
    cut(`  ${at + 1} ${plainText(option)}`, width),
  );
  const keys = isApproval
    ? "a allow · A always · e edit · d deny · D always deny · /deny <reason>"
    : `${options.length > 0 ? `1-${options.length} choose · ` : ""}r answer · d refuse · /deny <reason>`;
  const lines = [
    `${paint.yellow("?")} ${paint.bold(cut(`${verb} ${name}`, width))}${paint.dim(input)}`,
    ...wrap(plainText(question?.text ?? ""), width)
      .slice(0, 3)
      .filter((line) => line !== "")
      .map((line) => `  ${line}`),
    ...options,
    `  ${paint.dim(cut(keys, width))}`,
  ];
  return (
    <Box marginTop={1}>
      <Text>{lines.join("\n")}</Text>
    </Box>
  );
}

/** PURE: what a call asks of the person, when it is a simple question: a text, perhaps with options to choose from. */
export function questionOf(call: ToolEntry): { text: string; options: string[] } | null {
  if (call.waitsFor !== "client" || typeof call.arguments !== "object" || call.arguments === null)
    return null;
  const { question, options, choices } = call.arguments as Record<string, unknown>;
  if (typeof question !== "string") return null;
  const given = [options, choices].find(Array.isArray) ?? [];
  const words = given.filter((option): option is string => typeof option === "string");
  return { text: question, options: words.length === given.length ? words.slice(0, 9) : [] };
}

/** What the program itself asks. */
export function PromptLine({ text, paint, columns }: Part & { text: string }) {
  return (
    <Box marginTop={1}>
      <Text>{`${paint.yellow("?")} ${cut(plainText(text), Math.max(8, columns - 3))}`}</Text>
    </Box>
  );
}
