/**
 * The conversation of a run: read from its newest end when the run is taken up, no further back than the model can
 * take, and brought up to date before each model call. A short session costs one read, which goes out together with
 * the other reads of a claim; a session of any length costs a few.
 */
import type { Event } from "../contract/event.ts";
import { isHistoryEvent, type NewestPage, readHistory, readHistoryPage, readInputs } from "../db/history.ts";
import { ownLog, type SessionLog, toLineage } from "../db/lineage.ts";
import type { Db } from "../db/pool.ts";
import { toolSpecs } from "./answer.ts";
import {
  eventsMissing,
  fitHistory,
  historyTokensMax,
  isEnough,
  type Shown,
  type Window,
} from "./history-window.ts";
import type { RunScope } from "./scope.ts";

const OLDER_PAGE = { rowsMin: 100, storedBytesMax: 1024 * 1024 };

/** Fills the scope's history: from the newest part back to where the model's window ends. */
export async function loadHistory(scope: RunScope, newest: NewestPage): Promise<void> {
  const { deps, run, config } = scope;
  const log: SessionLog = { id: run.session_id, lineage: toLineage(config.session) };
  scope.historyTokensMax = historyTokensMax(scope.model.model.model_id, {
    system: scope.systemPrompt,
    tools: toolSpecs(scope).map((tool) => JSON.stringify(tool)),
  });
  const window = { tokensMax: scope.historyTokensMax, inputSequence: run.input_sequence };
  keep(scope, await readWindow(deps.db, log, newest, window));
  scope.historyUpTo = newest.upTo;
  const input = scope.history.findLast((event) => event.type === "input.message");
  scope.lastInputSequence = input?.sequence ?? run.input_sequence;
}

/** The part of a conversation that fits, beginning with the newest page of it. */
export async function readWindow(
  db: Db,
  log: SessionLog,
  newest: NewestPage,
  window: Pick<Window, "tokensMax" | "inputSequence">,
): Promise<Shown> {
  let events = newest.events;
  let isWhole = newest.isFirst && log.lineage.length === 0;
  while (!isWhole && !isEnough(events, window)) {
    const before = events[0]?.sequence ?? null;
    const older = await readHistoryPage(db, log, {
      before,
      rowsMax: Math.max(OLDER_PAGE.rowsMin, eventsMissing(events, window.tokensMax)),
      storedBytesMax: OLDER_PAGE.storedBytesMax,
    });
    events = [...older.events, ...events];
    isWhole = older.isFirst;
  }
  let isClean = isWhole;
  const oldest = events[0]?.sequence ?? 0;
  if (!isWhole && oldest > window.inputSequence) {
    // The turn under way is longer than what fits: its beginning is what the user said in it.
    const calls = events.slice(events.findIndex((event) => event.type === "reason.started"));
    const inputs = await readInputs(db, log, {
      after: window.inputSequence - 1,
      before: calls[0]?.sequence ?? oldest,
    });
    events = [...inputs, ...calls];
    isClean = true;
  }
  return fitHistory(events, { ...window, isWhole, isClean });
}

/**
 * What was written since, up to a sequence that this run has written itself, and again no more than fits. Read is only
 * what somebody else has written in between: a message, a result that came from outside.
 */
export async function catchUpHistory(scope: RunScope, upTo: number): Promise<void> {
  const { deps, run } = scope;
  let newer = ownEvents(scope, upTo);
  newer ??= await readHistory(deps.db, ownLog(run.session_id), { after: scope.historyUpTo });
  scope.historyUpTo = Math.max(upTo, newer.at(-1)?.sequence ?? 0);
  scope.ownLogs = [];
  const window = {
    tokensMax: scope.historyTokensMax,
    inputSequence: run.input_sequence,
    isWhole: !scope.isHistoryCut,
    isClean: true,
  };
  keep(scope, fitHistory([...scope.history, ...newer], window));
}

/** What has come since the history ends, from the run's own writes; null when they are not all of it. */
function ownEvents({ ownLogs, historyUpTo }: RunScope, upTo: number): Event[] | null {
  const events: Event[] = [];
  let end = historyUpTo;
  // Writes that went out together have the same log, and need not be told in order.
  for (const log of ownLogs.toSorted((a, b) => a.after - b.after)) {
    if (log.after > end) return null;
    for (const event of log.events()) {
      if (event.sequence <= end) continue;
      end = event.sequence;
      if (isHistoryEvent(event)) events.push(event);
    }
  }
  return end >= upTo ? events : null;
}

function keep(scope: RunScope, shown: Shown): void {
  const isNews = shown.isCut && !scope.isHistoryCut;
  scope.history = shown.events;
  scope.isHistoryCut = shown.isCut;
  if (!isNews) return;
  scope.deps.log.info("the conversation is longer than the model's window; its beginning is left out", {
    model: scope.model.model.model_id,
    history_tokens_max: scope.historyTokensMax,
    from_sequence: shown.events[0]?.sequence,
  });
}
