/** `everruns events list|tail` and `everruns messages list|send`: what happened in one session. */
import { stringify } from "yaml";
import { summaryOf } from "../../src/client/event-line.ts";
import { pastEvents } from "../../src/client/past.ts";
import { plainText } from "../../src/client/plain-text.ts";
import { streamEvents } from "../../src/client/stream.ts";
import { EVENT_TYPES, type Event, type EventType, isEventType } from "../../src/contract/event.ts";
import type { Delivery, Message } from "../../src/contract/message.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import type { Format } from "./formats.ts";
import { readText } from "./input.ts";
import { printItem } from "./output.ts";
import { wholeNumber } from "./verbs.ts";

export interface EventFlags {
  output: Format;
  apiUrl?: string;
  verbose?: boolean;
  /** Types to show and not to show; a final `*` stands for the rest: `tool.*`. */
  type?: readonly string[];
  exclude?: readonly string[];
}

export async function listEvents(
  context: CommandContext,
  session: string,
  flags: EventFlags & { limit?: string },
): Promise<void> {
  const limit = wholeNumber("--limit", flags.limit, 1, 1000);
  const client = clientOf(context, flags);
  const events =
    limit === null
      ? pastEvents(client, session, selection(flags))
      : await client.listEvents(session, { ...selection(flags), limit });
  if (flags.output === "json") {
    return context.out.line(JSON.stringify(await Array.fromAsync(events), null, 2));
  }
  for await (const event of events) printEvent(context, event, flags.output);
}

/** New events as they come, until Ctrl+C; the connection may break in between. */
export async function tailEvents(
  context: CommandContext,
  session: string,
  flags: EventFlags & { all?: boolean; since?: string },
): Promise<void> {
  const selected = selection(flags);
  const client = clientOf(context, flags);
  const sinceId = flags.since ?? (flags.all ? null : await client.lastEventId(session));
  const events = streamEvents(client, session, {
    ...selected,
    ...(sinceId === null ? {} : { sinceId }),
    signal: context.signal,
    onReconnect: ({ attempt, reason }) => {
      if (reason !== null && attempt === 1)
        context.err.line(context.err.paint.dim(`${reason}; trying again`));
    },
  });
  for await (const event of events) printEvent(context, event, flags.output);
}

function printEvent({ out }: CommandContext, event: Event, as: Format): void {
  if (as === "json") return out.line(JSON.stringify(event));
  if (as === "id") return out.line(event.id);
  if (as === "yaml") return out.write(`---\n${stringify(event)}`);
  const sequence = String(event.sequence ?? "").padStart(6);
  const room = out.isTty ? Math.max(20, (process.stdout.columns ?? 100) - TEXT_AT) : Number.POSITIVE_INFINITY;
  const text = Bun.sliceAnsi(
    plainText(summaryOf(event)).replace(/\s+/g, " "),
    0,
    Math.min(room, 10_000),
    "…",
  );
  out.line(
    `${out.paint.dim(`${sequence}  ${event.ts.slice(11, 23)}Z`)}  ${event.type.padEnd(TYPE_WIDTH)}  ${text}`.trimEnd(),
  );
}

const TYPE_WIDTH = Math.max(...EVENT_TYPES.map((type) => type.length));
const TEXT_AT = 6 + 2 + 13 + 2 + TYPE_WIDTH + 2;

/** @throws UsageError a type that does not exist, with those that begin alike */
function selection({ type, exclude }: EventFlags): { types?: EventType[]; exclude?: EventType[] } {
  const types = type?.flatMap(typesOf) ?? [];
  const not = exclude?.flatMap(typesOf) ?? [];
  return { ...(types.length > 0 ? { types } : {}), ...(not.length > 0 ? { exclude: not } : {}) };
}

function typesOf(pattern: string): EventType[] {
  if (isEventType(pattern)) return [pattern];
  const found = EVENT_TYPES.filter((type) => pattern.endsWith("*") && type.startsWith(pattern.slice(0, -1)));
  if (found.length > 0) return found;
  const family = EVENT_TYPES.filter((type) => type.split(".")[0] === pattern.split(".")[0]);
  const families = [...new Set(EVENT_TYPES.map((type) => `${type.split(".")[0]}.*`))];
  throw new UsageError(
    `there are no events ${pattern}; there are ${(family.length > 0 ? family : families).join(", ")}`,
  );
}

export async function listMessages(
  context: CommandContext,
  session: string,
  flags: EventFlags,
): Promise<void> {
  const { out } = context;
  const messages = await clientOf(context, flags).listMessages(session);
  if (flags.output === "json") return out.line(JSON.stringify(messages, null, 2));
  if (flags.output === "yaml") return out.write(stringify(messages));
  for (const message of messages) {
    if (flags.output === "id") out.line(message.id);
    else
      out.line(
        `${out.paint.dim(message.role.padEnd(11))}  ${plainText(wordsOf(message)).replaceAll("\n", `\n${" ".repeat(13)}`)}`,
      );
  }
}

function wordsOf(message: Message): string {
  return message.content
    .map((part) => {
      if (part.type === "text") return part.text;
      if (part.type === "tool_call") return `→ ${part.name} ${JSON.stringify(part.arguments)}`;
      if (part.type === "tool_result") return `← ${part.error ?? JSON.stringify(part.result)}`;
      return `[${part.type}]`;
    })
    .join("\n");
}

/** Sends a message and does not wait for the answer. */
export async function sendMessage(
  context: CommandContext,
  { session, words, delivery }: { session: string; words: readonly string[]; delivery?: Delivery },
  flags: EventFlags,
): Promise<void> {
  const isPiped = words.length === 0 || (words.length === 1 && words[0] === "-");
  const text = (isPiped ? await readText("-") : words.join(" ")).trim();
  if (text === "")
    throw new UsageError('the message is empty; give it: everruns messages send <session> "…"');
  const sent = await clientOf(context, flags).createMessage(session, {
    message: { role: "user", content: [{ type: "text", text }] },
    ...(delivery === undefined ? {} : { delivery }),
  });
  if (flags.output !== "table") return printItem(context, { ...sent }, flags.output);
  context.out.line(sent.turn_id);
  context.err.line(context.err.paint.dim(`${sent.delivery} · follow it: everruns events tail ${session}`));
}
