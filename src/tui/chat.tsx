/**
 * The terminal room: Ink apps over the client room. It draws what the public API says and can do nothing that the
 * API does not offer. It reads neither the environment nor files, and never ends the program.
 *
 * Rules of the chat's screen: what is settled is printed once, into the terminal's own scrollback; only what can
 * still change is drawn, and it never grows higher than the window (Ink would clear the whole screen at every
 * frame). `Static` sits inside `memo`: re-committed inline it would bypass the frame limit.
 */
import { Box, render, Static, Text, useApp, useStdout, useWindowSize } from "ink";
import { memo, useEffect, useState, useSyncExternalStore } from "react";
import type { Client } from "../client/client.ts";
import type { ToolEntry } from "../client/entries.ts";
import { plainText } from "../client/plain-text.ts";
import type { ApprovalDecision } from "../contract/approval.ts";
import type { Session } from "../contract/session.ts";
import { ChatSession, type ChatSessionOptions, type Printed } from "./chat-session.ts";
import { complete, isSlashCommand, runSlashCommand } from "./commands/registry.ts";
import { Composer } from "./composer.tsx";
import { type EntryStyle, entryLines } from "./entry-lines.ts";
import { Activity, OpenEntries, PromptLine, Queue, questionOf, WaitingCall } from "./live.tsx";
import type { LocalFiles } from "./local.ts";
import { wrapExact } from "./markdown.ts";
import { statusLine } from "./status-line.ts";
import { marks, type Paint, paintWith } from "./theme.ts";
import { sentenceOf } from "./words.ts";

export interface ChatOptions extends ChatSessionOptions {
  /** The session to come back to; null begins a new one with the first message. */
  session: Session | null;
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
/** While a call waits: what it is about matters more. */
const COMPOSER_ROWS_WAITING = 2;
/** Rows that are not the open entries: blank lines, activity, status, and one that must stay free. */
const CHROME_ROWS = 6;
const PLACEHOLDER = "Ask anything, /help for help";

/** Runs the chat until the person leaves. The session goes on without it. @throws ClientError */
export async function openChat(options: ChatOptions): Promise<ChatEnd> {
  const chat = new ChatSession(options);
  if (options.session) await chat.open(options.session);
  const { client, files, isColoured, signal } = options;
  const paint = paintWith(isColoured);
  // Before the first frame: what is typed into it must not be echoed by the terminal. Ink gives it back at the end.
  process.stdin.setRawMode(true);
  const app = render(<ChatApp chat={chat} client={client} files={files} paint={paint} signal={signal} />, {
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
  files: LocalFiles;
  paint: Paint;
  signal: AbortSignal;
}

export function ChatApp({ chat, client, files, paint, signal }: ChatAppProps) {
  const { exit } = useApp();
  const { write } = useStdout();
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
  const { prompt, task, transcript } = snapshot;
  const isActive = transcript.status === "active";
  const waiting = chat.decisions.waitingCall();

  const toggleExpanded = () => {
    setExpanded(!isExpanded);
    // What was printed cannot be changed: it is printed again. What scrolled out stays as it was, above.
    write(CLEAR_WINDOW);
    chat.reprint();
    return !isExpanded;
  };
  const submit = async (text: string) => {
    if (prompt) {
      chat.questions.answer(text);
      return true;
    }
    if (!isSlashCommand(text)) return chat.send(text);
    await runSlashCommand(text, { chat, client, files, leave, toggleExpanded });
    return true;
  };
  const onEscape = () => {
    if (prompt) {
      chat.questions.answer(null);
      return "clear";
    }
    if (task !== null) chat.questions.abortTask();
    else if (isActive) void chat.interrupt();
    else return "clear";
    return "keep";
  };
  const onShortcut = (letter: string) => waiting !== null && !prompt && settle(chat, waiting, letter);
  const onComplete = async (before: string) => {
    try {
      return await complete(before, { client, files, sessionId: chat.snapshot().sessionId });
    } catch (error) {
      chat.note(sentenceOf(error), { isError: true });
      return null;
    }
  };

  const composerRowsMax = waiting && !prompt ? COMPOSER_ROWS_WAITING : COMPOSER_ROWS_MAX;
  const composerRows = Math.max(1, Math.min(composerRowsMax, Math.floor(rows / 3)));
  const width = { paint, columns };
  const extraRows = rowsOf(waiting, prompt !== null) + (transcript.waiting.length > 0 ? QUEUE_ROWS : 0);
  const openRows = Math.max(2, rows - composerRows - CHROME_ROWS - extraRows);
  return (
    <Box flexDirection="column">
      <History key={snapshot.printing} items={snapshot.printed} style={style} />
      {!isLeaving && (
        <Box flexDirection="column">
          <OpenEntries snapshot={snapshot} style={style} rows={openRows} />
          {(isActive || task !== null) && (
            <Activity key={task ?? transcript.turnId} snapshot={snapshot} {...width} />
          )}
          <Queue waiting={transcript.waiting} {...width} />
          {waiting && !prompt && <WaitingCall call={waiting} {...width} />}
          {prompt && <PromptLine text={prompt.text} {...width} />}
          <Box marginTop={1}>
            <Composer
              columns={columns}
              rows={composerRows}
              paint={paint}
              placeholder={prompt ? "Enter answers, Esc leaves it" : PLACEHOLDER}
              history={snapshot.history}
              draft={prompt}
              onSubmit={submit}
              onEscape={onEscape}
              onLeave={leave}
              onToggleExpanded={toggleExpanded}
              onUnfoldLast={() => chat.unfoldLast()}
              onToggleDelivery={() => chat.toggleDelivery()}
              onTakeBack={() => chat.takeBack()}
              onComplete={onComplete}
              onShortcut={onShortcut}
            />
          </Box>
          <Text>{`  ${statusLine(snapshot, Math.max(1, columns - 3), paint)}`}</Text>
        </Box>
      )}
    </Box>
  );
}

const QUEUE_ROWS = 5;
/** The window, not what scrolled out of it. */
const CLEAR_WINDOW = "\u001b[2J\u001b[H";

function rowsOf(waiting: ToolEntry | null, isAsked: boolean): number {
  if (isAsked) return 2;
  if (waiting === null) return 0;
  const question = questionOf(waiting);
  return question ? 6 + question.options.length : 3;
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
  if (item.kind === "entry") {
    const isExpanded = style.isExpanded || (item.isExpanded ?? false);
    return [...gap, ...entryLines(item.entry, { ...style, isExpanded })];
  }
  const { paint, columns } = style;
  const colour = item.isError ? paint.red : paint.dim;
  const mark = item.isError ? marks.failure : marks.notice;
  const lines = item.text.split("\n").flatMap((line) => wrapExact(plainText(line), Math.max(8, columns - 2)));
  return [...gap, ...lines.map((line, at) => `${at === 0 ? colour(mark) : " "} ${colour(line)}`)];
}

function isTool(item: Printed): boolean {
  return item.kind === "entry" && item.entry.kind === "tool";
}

/** What a letter in an empty line decides about the call that waits. */
const SHORTCUTS: Readonly<Record<string, ApprovalDecision>> = {
  a: "allow",
  A: "allow_always",
  d: "reject",
  D: "reject_always",
};

/** @returns whether the letter meant something for the call that waits */
function settle(chat: ChatSession, call: ToolEntry, letter: string): boolean {
  if (call.waitsFor === "client") {
    const option = questionOf(call)?.options[Number(letter) - 1];
    if (option !== undefined) void chat.decisions.answerCall(call, { result: option });
    else if (letter === "r") void answer(chat, call);
    else if (letter === "d") void chat.decisions.answerCall(call, { error: "The user refused to answer." });
    else return false;
    return true;
  }
  const decision = SHORTCUTS[letter];
  if (decision !== undefined) void chat.decisions.decide(call, { decision });
  else if (letter === "e") void editArguments(chat, call);
  return decision !== undefined || letter === "e";
}

/** JSON is sent as what it says, everything else as text. */
async function answer(chat: ChatSession, call: ToolEntry): Promise<void> {
  const text = await chat.questions.ask(
    `Result of ${call.name}: ${questionOf(call)?.text ?? "text or JSON"}`,
  );
  if (text === null) return;
  const isJson = /^\s*[[{]/.test(text);
  try {
    await chat.decisions.answerCall(call, { result: isJson ? JSON.parse(text) : text });
  } catch (error) {
    chat.note(`not answered: ${sentenceOf(error)}`, { isError: true });
  }
}

async function editArguments(chat: ChatSession, call: ToolEntry): Promise<void> {
  let draft = JSON.stringify(call.arguments ?? {}, null, 2);
  for (;;) {
    const text = await chat.questions.ask(`Arguments of ${call.name}; Enter lets it run with them`, draft);
    if (text === null) return;
    draft = text;
    const edited = objectOf(text);
    if (edited) return chat.decisions.decide(call, { decision: "allow", arguments: edited });
    chat.note("the arguments are no JSON object", { isError: true });
  }
}

function objectOf(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
