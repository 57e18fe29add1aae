/** `everruns sessions fork` and `everruns sessions diff`. */
import { plainText } from "../../src/client/plain-text.ts";
import type { Event } from "../../src/contract/event.ts";
import { textOf } from "../../src/contract/message.ts";
import type { TokenUsage } from "../../src/contract/usage.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";

export interface ForkFlags {
  output: "table" | "json";
  /** Text as it was typed. */
  at?: string;
  apiUrl?: string;
}

/** Prints the id of the fork, for scripts, and how to go on. */
export async function fork(
  context: CommandContext,
  { id, at, ...options }: ForkFlags & { id: string },
): Promise<undefined> {
  if (at !== undefined && !/^[1-9][0-9]*$/.test(at)) {
    throw new UsageError(`--at is the sequence of an event, 1 or more, not "${at}"`);
  }
  const session = await clientOf(context, options).forkSession(
    id,
    at === undefined ? {} : { at_sequence: Number(at) },
  );
  context.out.line(options.output === "json" ? JSON.stringify(session, null, 2) : session.id);
  context.err.line(
    context.err.paint.dim(
      `forked at ${session.forked_from_sequence} · go on: everruns run --session ${session.id} "…"`,
    ),
  );
}

/** Prints what each of two sessions did since they parted. */
export async function diff(
  context: CommandContext,
  { id, other, ...options }: ForkFlags & { id: string; other: string },
): Promise<undefined> {
  const found = await clientOf(context, options).diffSessions(id, other);
  if (options.output === "json") {
    context.out.line(JSON.stringify(found, null, 2));
    return;
  }
  const { session_id, sequence } = found.common_ancestor;
  context.out.line(`in common up to ${sequence} of ${session_id}`);
  for (const [side, name] of [
    ["a", id],
    ["b", other],
  ] as const) {
    const events = found[side];
    context.out.line("");
    context.out.line(`${side === "a" ? "-" : "+"} ${name}  ${spent(found.usage[side])}`);
    for (const event of events) {
      const said = saidIn(event);
      if (said !== null) context.out.line(`  ${String(event.sequence).padStart(5)}  ${said}`);
    }
    if (events.length === 0) context.out.line("  nothing");
    if (found.has_more[side]) {
      context.err.line(context.err.paint.dim(`of ${name} these are the first ${events.length} events`));
    }
  }
}

/** One line for what a person wants to see of a branch; null for the rest. */
function saidIn(event: Event): string | null {
  switch (event.type) {
    case "input.message":
      return `user   ${line(textOf(event.data.message.content))}`;
    case "output.message.completed": {
      const text = line(textOf(event.data.message.content));
      return text === "" ? null : `agent  ${text}`;
    }
    case "tool.completed":
      return `tool   ${event.data.tool_name} ${event.data.status}`;
    case "turn.failed":
    case "turn.cancelled":
    case "turn.sealed":
      return event.type;
    default:
      return null;
  }
}

const LINE_COLUMNS_MAX = 90;

function line(text: string): string {
  return Bun.sliceAnsi(plainText(text).replace(/\s+/g, " ").trim(), 0, LINE_COLUMNS_MAX, "…");
}

function spent({ input_tokens, output_tokens, estimated_cost_usd }: TokenUsage): string {
  const cost = estimated_cost_usd ? `, $${estimated_cost_usd.toFixed(4)}` : "";
  return `${input_tokens + output_tokens} tokens${cost}`;
}
