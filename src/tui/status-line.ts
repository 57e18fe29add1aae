import { plainText } from "../client/plain-text.ts";
import { costOf, tokensOf } from "../client/transcript.ts";
import type { ChatSnapshot } from "./chat-session.ts";
import { dollars } from "./limits.ts";
import { cut } from "./markdown.ts";
import type { Paint } from "./theme.ts";

/**
 * PURE: `active · Enter steers · reviewer · gpt-5.2 · context 12% · $0.0031, $1.99 left · seq 42` in one line. What does
 * not fit goes from the least important on: sequence, cost, context, agent, model, what Enter does. The status stays.
 */
export function statusLine(snapshot: ChatSnapshot, columns: number, paint: Paint): string {
  const { transcript, agent, connection } = snapshot;
  const parts: { text: string; rank: number }[] = [
    { text: statusOf(snapshot), rank: 0 },
    { text: deliveryOf(snapshot), rank: 1 },
    { text: plainText(agent ?? ""), rank: 3 },
    { text: plainText(transcript.model ?? ""), rank: 2 },
    { text: contextOf(snapshot), rank: 4 },
    { text: costText(snapshot), rank: 5 },
    { text: transcript.sequence === 0 ? "" : `seq ${transcript.sequence}`, rank: 6 },
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

/** Only while it makes a difference. */
function deliveryOf({ transcript, delivery, isInterrupting }: ChatSnapshot): string {
  if (transcript.status !== "active" || isInterrupting) return "";
  return delivery === "steer" ? "Enter steers" : "Enter queues";
}

/** Of a model whose window the server does not know there is only to say what was used in all. */
function contextOf({ transcript, limits: { contextWindow } }: ChatSnapshot): string {
  const { contextTokens } = transcript;
  if (contextTokens === null || contextWindow === null) {
    const tokens = tokensOf(transcript.usage);
    return tokens === 0 ? "" : `${shortNumber(tokens)} tokens`;
  }
  const share = (100 * contextTokens) / contextWindow;
  return `context ${share > 0 && share < 1 ? "<1" : Math.round(share)}%`;
}

function costText({ transcript, limits: { budgetLeft } }: ChatSnapshot): string {
  const cost = costOf(transcript.usage);
  const left = budgetLeft === null ? "" : `${budgetLeft} left`;
  return [cost === null || cost === 0 ? "" : dollars(cost), left].filter((text) => text !== "").join(", ");
}

/** 950, 1.2k, 34k, 1.5M. */
export function shortNumber(value: number): string {
  if (value < 1000) return String(value);
  const [unit, size] = value < 999_500 ? (["k", 1000] as const) : (["M", 1_000_000] as const);
  const scaled = value / size;
  return `${scaled < 9.95 ? scaled.toFixed(1) : Math.round(scaled)}${unit}`;
}
