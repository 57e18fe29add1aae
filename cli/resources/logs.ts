/** `everruns logs`: a session as lines that a person reads along, with or without what is still to come. */

import { type LogLine, logLine, UNLOGGED_TYPES } from "../../src/client/log-line.ts";
import { pastEvents } from "../../src/client/past.ts";
import { plainText } from "../../src/client/plain-text.ts";
import { streamEvents } from "../../src/client/stream.ts";
import type { Event } from "../../src/contract/event.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import { wholeNumber } from "./verbs.ts";

export interface LogsFlags {
  apiUrl?: string;
  context?: string;
  verbose?: boolean;
  follow?: boolean;
  /** `90s`, `10m`, `2h`, `3d`, or a time in ISO 8601. */
  since?: string;
  /** The last lines only. */
  tail?: string;
}

export async function logs(context: CommandContext, session: string, flags: LogsFlags): Promise<void> {
  const client = clientOf(context, flags);
  const since = flags.since === undefined ? null : timeOf(flags.since);
  const last = wholeNumber("--tail", flags.tail, 0, 100_000);
  const past = pastEvents(client, session, { exclude: UNLOGGED_TYPES, fromTs: since?.toISOString() });
  const shown: { event: Event; line: LogLine }[] = [];
  let sinceId: string | null = null;
  for await (const event of past) {
    sinceId = event.id;
    const line = logLine(event);
    if (line === null) continue;
    if (last === null) print(context, event, line);
    else shown.push({ event, line });
    if (last !== null && shown.length > last) shown.shift();
  }
  for (const { event, line } of shown) print(context, event, line);
  if (!flags.follow) return;
  sinceId ??= await client.lastEventId(session);
  const events = streamEvents(client, session, {
    exclude: UNLOGGED_TYPES,
    ...(sinceId === null ? {} : { sinceId }),
    signal: context.signal,
    onReconnect: ({ attempt, reason }) => {
      if (reason !== null && attempt === 1)
        context.err.line(context.err.paint.dim(`${reason}; trying again`));
    },
  });
  for await (const event of events) {
    const line = logLine(event);
    if (line !== null) print(context, event, line);
  }
}

const WHO_WIDTH = 8;
const TEXT_AT = 13 + 2 + WHO_WIDTH;

function print({ out }: CommandContext, { ts }: Event, { who, text }: LogLine): void {
  const { dim, red, bold } = out.paint;
  const paint = {
    user: bold,
    agent: (it: string) => it,
    error: red,
    tool: dim,
    wait: bold,
    turn: dim,
    session: dim,
  };
  const words = plainText(text)
    .trim()
    .replaceAll("\n", `\n${" ".repeat(TEXT_AT)}`);
  out.line(`${dim(`${ts.slice(11, 23)}Z`)}  ${paint[who](who.padEnd(WHO_WIDTH))}${words}`);
}

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** @throws UsageError */
function timeOf(said: string): Date {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(said) ?? [];
  if (count !== undefined)
    return new Date(Date.now() - Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS]);
  const time = /^\d{4}-\d\d-\d\d/.test(said) ? Date.parse(said) : Number.NaN;
  if (!Number.isNaN(time)) return new Date(time);
  throw new UsageError(
    `--since takes 90s, 10m, 2h, 3d or a time such as 2026-01-31T09:00:00Z, not "${said}"`,
  );
}
