/** PURE: one run: what it is, and its steps in the order in which they began. */
import { age } from "../../client/age.ts";
import type { Item } from "../../client/resources.ts";
import { duration } from "../entry-lines.ts";
import { shortNumber } from "../status-line.ts";
import { marks } from "../theme.ts";
import { type Column, cellText, dollars, money, number, text } from "./columns.ts";
import { type Screen, tableLines } from "./lines.ts";
import type { RunPlace } from "./state.ts";

const STEPS: readonly Column[] = [
  text("step", (step) => step.tool_name ?? step.name, { width: 22, rank: 0 }),
  text("status", (step) => step.status, { width: 8, rank: 0 }),
  text("took", (step) => (typeof step.duration_ms === "number" ? duration(step.duration_ms) : ""), {
    width: 9,
    isRight: true,
    rank: 0,
  }),
  number("try", (step) => step.attempt, { width: 3, rank: 2 }),
  number("in", (step) => usageOf(step)?.input_tokens, { width: 5, rank: 3 }),
  number("out", (step) => usageOf(step)?.output_tokens, { width: 5, rank: 3 }),
  money("cost", (step) => usageOf(step)?.effective_cost_usd ?? usageOf(step)?.estimated_cost_usd, 4),
  text("effect", (step) => step.effect, { width: 12, rank: 4 }),
  text("error", (step) => step.error ?? (step.status === "unknown" ? UNKNOWN : ""), { width: 20, rank: 0 }),
];
const UNKNOWN = "killed while it ran; nobody knows whether it took effect";

export function runLines({ run }: RunPlace, screen: Screen): string[] {
  const { paint } = screen;
  if (run === null) return [`  ${marks.pending} loading`];
  const row = (name: string, said: string) => `  ${paint.dim(name.padEnd(9))} ${said}`;
  const state = [run.status, run.waiting_on && `for ${run.waiting_on}`, run.stuck_reason];
  const tokens = run.usage
    ? `${shortNumber(run.usage.input_tokens)} in, ${shortNumber(run.usage.output_tokens)} out`
    : "no tokens";
  const times = [
    ["queued", run.queued_at],
    ["begun", run.started_at],
    ["ended", run.finished_at],
  ].flatMap(([what, at]) => (at === undefined ? [] : [`${what} ${age(at).padStart(4)} ago`]));
  return [
    row("status", cellText(state.filter(Boolean).join(" · "))),
    row("session", run.session_id),
    ...(run.agent_id === undefined ? [] : [row("agent", run.agent_id)]),
    row("worker", cellText(run.worker_id ?? "none")),
    row("times", times.join(", ")),
    row(
      "cost",
      `${tokens} · ${dollars(run.cost_usd ?? 0)} · ${run.iterations} model calls · attempt ${run.attempt}`,
    ),
    ...(run.retried_run_id === undefined ? [] : [row("retries", run.retried_run_id)]),
    ...(run.error === undefined
      ? []
      : [row("error", paint.red(cellText(`${run.error_code ?? ""} ${run.error}`)))]),
    "",
    ...tableLines(STEPS, (run.steps ?? []) as readonly object[] as readonly Item[], screen),
  ];
}

const usageOf = (step: Item) => step.usage as Record<string, number> | undefined;
