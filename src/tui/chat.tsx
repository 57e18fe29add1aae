/**
 * The terminal room: Ink apps over the client room. It draws what the public API says and can do nothing that the
 * API does not offer. It reads neither the environment nor files, and never ends the program.
 *
 * Rules of the chat's screen: what is settled is printed once, into the terminal's own scrollback; only what can
 * still change is drawn, and it never grows higher than the window (Ink would clear the whole screen at every
 * frame). `Static` sits inside `memo`: re-committed inline it would bypass the frame limit.
 */
import { Box, render, Static, Text, useAnimation, useApp, useWindowSize } from "ink";
import { memo, useEffect, useState, useSyncExternalStore } from "react";
import type { Client } from "../client/client.ts";
import type { ToolEntry } from "../client/entries.ts";
import { plainText } from "../client/plain-text.ts";
import type { ApprovalDecision } from "../contract/approval.ts";
import type { Session } from "../contract/session.ts";
import { ChatSession, type ChatSnapshot, type Printed } from "./chat-session.ts";
import { isSlashCommand, runSlashCommand } from "./commands.ts";
import { Composer } from "./composer.tsx";
import { callArguments, duration, type EntryStyle, entryLines, tailOf } from "./entry-lines.ts";
import { cut, wrap } from "./markdown.ts";
import { statusLine } from "./status-line.ts";
import { marks, type Paint, paintWith } from "./theme.ts";

export interface ChatOptions {
  client: Client;
  /** The session to come back to; null begins a new one with the first message. */
  session: Session | null;
  createSession(): Promise<Session>;
  /** Names for the status line of a new session; null when the server decides. */
  agent: string | null;
  model: string | null;
  isColoured: boolean;
  /** Leaves the chat when it aborts. */
  signal: AbortSignal;
}

/** Where the person left off; `sessionId` is null when nothing was ever sent. */
export interface ChatEnd {
  sessionId: string | null;
  isTurnActive: boolean;
}

const FRAMES_PER_SECOND_MAX = 15;
const COMPOSER_ROWS_MAX = 8;
/** Rows that are not the open entries: blank lines, activity, a question, status, and one that must stay free. */
const CHROME_ROWS = 9;
const PLACEHOLDER = "Ask anything, /help for help";

/** Runs the chat until the person leaves. The session goes on without it. @throws ClientError */
export async function openChat(options: ChatOptions): Promise<ChatEnd> {
  const chat = new ChatSession(options);
  if (options.session) await chat.open(options.session);
  const { client, isColoured, signal } = options;
  const app = render(<ChatApp chat={chat} client={client} paint={paintWith(isColoured)} signal={signal} />, {
    exitOnCtrlC: false,
    // The command has made sure of a terminal; a CI variable in the environment is no reason to draw nothing.
    interactive: true,
    maxFps: FRAMES_PER_SECOND_MAX,
    incrementalRendering: true,
  });
  await app.waitUntilExit();
  chat.close();
  const { sessionId, transcript } = chat.snapshot();
  return { sessionId, isTurnActive: transcript.status === "active" };
}

export interface ChatAppProps {
  chat: ChatSession;
  client: Client;
  paint: Paint;
  signal: AbortSignal;
}

export function ChatApp({ chat, client, paint, signal }: ChatAppProps) {
  const { exit } = useApp();
  const { columns, rows } = useWindowSize();
  const snapshot = useSyncExternalStore(chat.subscribe, chat.snapshot);
  const [isExpanded, setExpanded] = useState(false);
  const [isLeaving, setLeaving] = useState(signal.aborted);
  const leave = () => setLeaving(true);
  useEffect(() => {
    const onAbort = () => setLeaving(true);
    signal.addEventListener("abort", onAbort, { once: true });
    return () => signal.removeEventListener("abort", onAbort);
  }, [signal]);
  // One more frame, without the composer: only the conversation stays on the terminal.
  useEffect(() => {
    if (isLeaving) exit();
  }, [isLeaving, exit]);
  const style: EntryStyle = { columns, paint, isExpanded };
  const isActive = snapshot.transcript.status === "active";

  const toggleExpanded = () => {
    setExpanded(!isExpanded);
    return !isExpanded;
  };
  const submit = async (text: string) => {
    if (!isSlashCommand(text)) return chat.send(text);
    await runSlashCommand(text, { chat, client, leave, toggleExpanded });
    return true;
  };
  const interruptOrClear = () => {
    if (!isActive) return "clear";
    void chat.interrupt();
    return "keep";
  };

  const waiting = chat.waitingApproval();
  const onShortcut = (letter: string) => {
    const decision = SHORTCUTS[letter];
    if (!waiting || decision === undefined) return false;
    void chat.decide(waiting, decision);
    return true;
  };

  if (isLeaving) return <History items={snapshot.printed} style={style} />;
  const composerRows = Math.max(1, Math.min(COMPOSER_ROWS_MAX, Math.floor(rows / 3)));
  return (
    <Box flexDirection="column">
      <History items={snapshot.printed} style={style} />
      <OpenEntries snapshot={snapshot} style={style} rows={Math.max(3, rows - composerRows - CHROME_ROWS)} />
      {isActive && (
        <Activity key={snapshot.transcript.turnId} snapshot={snapshot} paint={paint} columns={columns} />
      )}
      {waiting && <ApprovalQuestion call={waiting} paint={paint} columns={columns} />}
      <Box marginTop={1}>
        <Composer
          columns={columns}
          rows={composerRows}
          paint={paint}
          placeholder={PLACEHOLDER}
          history={snapshot.history}
          onSubmit={submit}
          onEscape={interruptOrClear}
          onLeave={leave}
          onToggleExpanded={() => void submit("/expand")}
          onShortcut={onShortcut}
        />
      </Box>
      <Text>{`  ${statusLine(snapshot, Math.max(1, columns - 3), paint)}`}</Text>
    </Box>
  );
}

const History = memo(
  function History({ items, style }: { items: readonly Printed[]; style: EntryStyle }) {
    return (
      <Static items={[...items]}>
        {(item, at) => <Text key={item.key}>{printedLines(item, items[at - 1], style).join("\n")}</Text>}
      </Static>
    );
  },
  (before, after) => before.items === after.items,
);

function printedLines(item: Printed, previous: Printed | undefined, style: EntryStyle): string[] {
  const gap = isTool(item) && previous && isTool(previous) ? [] : [""];
  if (item.kind === "entry") return [...gap, ...entryLines(item.entry, style)];
  const { paint, columns } = style;
  const colour = item.isError ? paint.red : paint.dim;
  const mark = item.isError ? marks.failure : marks.notice;
  const lines = item.text.split("\n").flatMap((line) => wrap(plainText(line), Math.max(8, columns - 2)));
  return [...gap, ...lines.map((line, at) => `${at === 0 ? colour(mark) : " "} ${colour(line)}`)];
}

function isTool(item: Printed): boolean {
  return item.kind === "entry" && item.entry.kind === "tool";
}

/** What is being said and done right now, cut to its last `rows` lines. */
function OpenEntries({ snapshot, style, rows }: { snapshot: ChatSnapshot; style: EntryStyle; rows: number }) {
  const { open, sending } = snapshot;
  const lines = open.flatMap((entry, at) => {
    const previous = at > 0 ? open[at - 1]?.kind : lastKind(snapshot.printed);
    const gap = entry.kind === "tool" && previous === "tool" ? [] : [""];
    const own = entryLines(entry, style);
    return own.length === 0 ? [] : [...gap, ...own];
  });
  if (sending !== null) {
    const shown = wrap(plainText(sending), Math.max(8, style.columns - 2));
    lines.push("", ...shown.map((line, at) => style.paint.dim(`${at === 0 ? marks.user : " "} ${line}`)));
  }
  if (lines.length === 0) return null;
  return <Text>{tailOf(lines, rows, style.paint).join("\n")}</Text>;
}

function lastKind(printed: readonly Printed[]): string | null {
  const last = printed.at(-1);
  return last?.kind === "entry" ? last.entry.kind : null;
}

/** What a letter in an empty line decides about the call that waits. */
const SHORTCUTS: Readonly<Record<string, ApprovalDecision>> = {
  a: "allow",
  A: "allow_always",
  d: "reject",
  D: "reject_always",
};

/** One call at a time: the others follow when it is decided. */
function ApprovalQuestion({ call, paint, columns }: { call: ToolEntry; paint: Paint; columns: number }) {
  const width = Math.max(8, columns - 3);
  const name = plainText(call.name);
  const input = callArguments(call.arguments, Math.max(0, width - name.length - 11));
  const keys = cut("a allow · A always · d deny · D always deny · /deny <reason>", width);
  return (
    <Box marginTop={1} flexDirection="column">
      <Text>{`${paint.yellow("?")} ${paint.bold(`Run ${name}`)}${paint.dim(`(${input})`)}`}</Text>
      <Text>{`  ${paint.dim(keys)}`}</Text>
    </Box>
  );
}

/** The only part of the screen that moves by itself. */
function Activity({ snapshot, paint, columns }: { snapshot: ChatSnapshot; paint: Paint; columns: number }) {
  const { frame, time } = useAnimation({ interval: 120 });
  const spin = marks.spinner[frame % marks.spinner.length] ?? "";
  const elapsed = time < 1000 ? "" : ` ${duration(Math.floor(time / 1000) * 1000).replace(".0 s", " s")}`;
  const text =
    snapshot.connection.state === "lost"
      ? "no connection to the server, trying again; nothing of the turn is lost"
      : snapshot.isInterrupting
        ? "interrupting"
        : `working${elapsed} · Esc interrupts`;
  return (
    <Box marginTop={1}>
      <Text>{`${paint.cyan(spin)} ${paint.dim(cut(plainText(text), Math.max(1, columns - 3)))}`}</Text>
    </Box>
  );
}
