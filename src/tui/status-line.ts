import { plainText } from "../client/plain-text.ts";
import { costOf, tokensOf } from "../client/transcript.ts";
import type { ChatSnapshot } from "./chat-session.ts";
import { cut } from "./markdown.ts";
import type { Paint } from "./theme.ts";

/**
 * PURE: `idle · reviewer · gpt-5.2 · 1.2k tokens · $0.0031 · seq 42` in one line. What does not fit goes from the
 * least important on: sequence, cost, tokens, agent, model. The status always stays.
 */
export function statusLine(snapshot: ChatSnapshot, columns: number, paint: Paint): string {
  const { transcript, agent, connection } = snapshot;
  const cost = costOf(transcript.usage);
  const tokens = tokensOf(transcript.usage);
  const parts: { text: string; rank: number }[] = [
    { text: statusOf(snapshot), rank: 0 },
    { text: plainText(agent ?? ""), rank: 2 },
    { text: plainText(transcript.model ?? ""), rank: 1 },
    { text: tokens === 0 ? "" : `${shortNumber(tokens)} tokens`, rank: 3 },
    { text: cost === null || cost === 0 ? "" : `$${cost.toFixed(cost < 0.1 ? 4 : 2)}`, rank: 4 },
    { text: transcript.sequence === 0 ? "" : `seq ${transcript.sequence}`, rank: 5 },
  ].filter(({ text }) => text !== "");
  const join = (kept: typeof parts) => kept.map(({ text }) => text).join(" · ");
  let kept = parts;
  while (Bun.stringWidth(join(kept)) > columns && kept.length > 1) {
    const worst = Math.max(...kept.map(({ rank }) => rank));
    kept = kept.filter(({ rank }) => rank !== worst);
  }
  const text = cut(join(kept), columns);
  return connection.state === "lost" ? paint.yellow(text) : paint.dim(text);
}

function statusOf({ connection, sessionId, sending, isInterrupting, transcript }: ChatSnapshot): string {
  if (connection.state === "lost") return "offline, reconnecting";
  if (connection.state === "loading") return "loading";
  if (sending !== null && transcript.status !== "active") return "sending";
  if (sessionId === null) return "new session";
  if (isInterrupting) return "interrupting";
  return transcript.status;
}

/** 950, 1.2k, 34k, 1.5M. */
export function shortNumber(value: number): string {
  if (value < 1000) return String(value);
  const [unit, size] = value < 999_500 ? (["k", 1000] as const) : (["M", 1_000_000] as const);
  const scaled = value / size;
  return `${scaled < 9.95 ? scaled.toFixed(1) : Math.round(scaled)}${unit}`;
}
