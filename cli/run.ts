import { describeError } from "../src/base/errors.ts";
import { type AnswerState, emptyAnswer, foldAnswer } from "../src/client/answer.ts";
import type { Client } from "../src/client/client.ts";
import { ClientError } from "../src/client/errors.ts";
import { plainText } from "../src/client/plain-text.ts";
import { followTurn, isTurnEnd } from "../src/client/stream.ts";
import type { Event } from "../src/contract/event.ts";
import { type CommandContext, explain, UsageError } from "./action.ts";
import { clientOf, createSession, findModel } from "./api.ts";

export interface RunOptions {
  prompt: string[];
  agent?: string;
  model?: string;
  session?: string;
  json?: boolean;
  verbose?: boolean;
  apiUrl?: string;
}

/** A server that cannot be reached for this long is not waited for any longer; the turn itself goes on. */
const GIVE_UP_MS = 300_000;
/** A turn that no worker has taken up by now deserves a word. */
const UNCLAIMED_MS = 5_000;
const ARGUMENT_CHARS = 120;

/**
 * One message in, the answer on stdout, everything else on stderr.
 *
 * @returns 0 when the turn completed, otherwise 1
 */
export async function runPrompt(context: CommandContext, options: RunOptions): Promise<number> {
  const text = await promptText(options.prompt, context.signal);
  if (text === null) return 1;
  const client = clientOf(context, options);
  const sessionId = options.session ?? (await createSession(client, options)).id;
  // The stream begins after what is there now: nothing of an earlier turn is replayed, nothing of ours is missed.
  const sinceId = options.session ? await client.lastEventId(sessionId) : null;
  if (context.signal.aborted) return 1;
  const sent = await client.createMessage(sessionId, {
    message: { role: "user", content: [{ type: "text", text }] },
    ...(options.session && options.model
      ? { controls: { model_id: await findModel(client, options.model) } }
      : {}),
  });
  const printer = createPrinter(context, options);
  if (sent.delivery === "steered") printer.say("the session was busy: the message joins the turn under way");

  const stop = new AbortController();
  const cancel = () => void cancelTurn(client, sessionId, printer, stop);
  context.signal.addEventListener("abort", cancel, { once: true });
  if (context.signal.aborted) cancel();
  const unclaimed = setTimeout(() => {
    printer.say("waiting for a worker to take the turn up; `everruns doctor` tells whether there is one");
  }, UNCLAIMED_MS);

  let outcome: Event["type"] | null = null;
  try {
    const events = followTurn(client, sessionId, {
      turnId: sent.turn_id,
      sequence: sent.sequence,
      sinceId: sinceId ?? undefined,
      signal: stop.signal,
      giveUpAfterMs: GIVE_UP_MS,
      onReconnect: ({ attempt, reason }) => {
        if (reason !== null && attempt === 1)
          printer.say("the connection to the server is gone; trying again");
      },
    });
    for await (const event of events) {
      if (event.type !== "input.message" && event.type !== "session.activated") clearTimeout(unclaimed);
      printer.print(event, outcome !== null);
      if (isTurnEnd(event.type)) outcome = event.type;
    }
  } catch (error) {
    printer.endLine();
    if (!(error instanceof ClientError) || !error.isRetryable) throw error;
    context.err.line(`everruns: ${explain(error, context.env)}; the turn goes on without us`);
  } finally {
    clearTimeout(unclaimed);
    context.signal.removeEventListener("abort", cancel);
    printer.endLine();
  }
  context.err.line(
    context.err.paint.dim(`session ${sessionId} · go on: everruns run --session ${sessionId} "…"`),
  );
  return outcome === "turn.completed" ? 0 : 1;
}

/** @returns null when the person gave up while we were reading */
async function promptText(words: readonly string[], signal: AbortSignal): Promise<string | null> {
  const isStdin = words.length === 0 || (words.length === 1 && words[0] === "-");
  if (words.length === 0 && process.stdin.isTTY) {
    throw new UsageError('no message; type everruns run "your message", or pipe one in');
  }
  const given = isStdin ? await Promise.race([Bun.stdin.text(), aborted(signal)]) : words.join(" ");
  if (given === null) return null;
  const text = given.trim();
  if (text === "") throw new UsageError("the message is empty");
  return text;
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(null), { once: true }));
}

async function cancelTurn(
  client: Client,
  sessionId: string,
  printer: Printer,
  stop: AbortController,
): Promise<void> {
  printer.endLine();
  printer.say("cancelling the turn; Ctrl+C again leaves at once");
  try {
    const { status } = await client.cancelTurn(sessionId);
    // The stream brings the end of the turn; when nothing was running, it has brought it already.
    if (status === "no_op") stop.abort();
  } catch (error) {
    printer.say(`could not cancel the turn, it goes on: ${describeError(error)}`);
    stop.abort();
  }
}

interface Printer {
  /** @param isOver  the turn has ended: what follows is bookkeeping */
  print(event: Event, isOver: boolean): void;
  /** A remark for the person in front of it. */
  say(text: string): void;
  /** Ends a line of the answer that was left open, where a person would see the seam. */
  endLine(): void;
}

function createPrinter({ out, err }: CommandContext, options: RunOptions): Printer {
  const isChatty = options.verbose === true || err.isTty;
  const { dim, red } = err.paint;
  let answer: AnswerState = emptyAnswer;
  let isLineOpen = false;

  const endLine = () => {
    if (isLineOpen && out.isTty) out.write("\n");
    isLineOpen = false;
  };
  const say = (text: string) => {
    endLine();
    err.line(dim(plainText(text)));
  };
  const fail = (text: string) => {
    endLine();
    err.line(red("everruns: ") + plainText(text));
  };
  const printAnswer = (event: Event) => {
    const step = foldAnswer(answer, event);
    answer = step.state;
    if (step.isRestart) say("the worker was lost; another one begins the answer anew");
    if (step.text === "") return;
    // A terminal obeys control sequences, and a model may have been talked into writing some; a pipe gets it all.
    out.write(out.isTty ? plainText(step.text) : step.text);
    isLineOpen = !step.text.endsWith("\n");
  };
  const printRest = (event: Event) => {
    switch (event.type) {
      case "output.message.started":
      case "output.message.delta":
        return printAnswer(event);
      case "output.message.completed":
        // A message with an error code is the server's apology, not an answer; turn.failed says the same below.
        if (event.data.error_code === undefined) printAnswer(event);
        return;
      case "tool.started":
        if (isChatty) say(`→ ${event.data.tool_call.name} ${short(event.data.tool_call.arguments)}`);
        return;
      case "tool.call_requested": {
        // Said also when nobody wants to see the calls: the turn stands still until somebody answers.
        const { tool_calls: calls } = event.data;
        const route = calls.some(({ id }) => id.startsWith("tool_approval_")) ? "approvals" : "results";
        for (const call of calls) say(`… ${call.name} ${short(call.arguments)}`);
        return say(`the turn waits: POST /v1/sessions/${event.session_id}/tool-${route}`);
      }
      case "tool.completed": {
        const { tool_name: name, success, status, duration_ms: ms, error } = event.data;
        const took = ms === undefined ? "" : ` ${ms} ms`;
        if (isChatty) say(`${success ? "✓" : "✗"} ${name}${took}${success ? "" : ` ${error ?? status}`}`);
        return;
      }
      case "turn.failed": {
        const { error, error_code: code } = event.data;
        return fail(`the turn failed: ${error}${code ? ` (${code})` : ""}`);
      }
      case "turn.sealed":
        return fail(`the turn was ended without an answer: ${event.data.detail ?? event.data.reason}`);
      case "turn.cancelled":
        return fail("the turn was cancelled");
      default:
        return;
    }
  };
  return {
    print(event, isOver) {
      if (options.json) out.line(JSON.stringify(event));
      else if (!isOver) printRest(event);
    },
    say,
    endLine,
  };
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? "";
  return text.length > ARGUMENT_CHARS ? `${text.slice(0, ARGUMENT_CHARS)}…` : text;
}
