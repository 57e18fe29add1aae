/**
 * Answers to a message that come when its turn does: at its end (`wait=true`), or as it goes (`text/event-stream`).
 *
 * Which turn that is the acceptance says. A message that started a turn, was queued for one of its own or is a repetition
 * has that turn; one that joined a running or waiting turn has that one, from its own `input.message` on. Both kinds
 * of answer only look on through the feed: nothing is cancelled when the caller goes away or the time is up.
 */
import { UserError } from "../../base/errors.ts";
import type { EventOf } from "../../contract/event.ts";
import type { ListedMessage } from "../../contract/message.ts";
import type { Run } from "../../contract/run.ts";
import { readQueuedTurn } from "../../db/queue.ts";
import { type RunRow, readRun } from "../../db/run-lists.ts";
import type { ApiDeps } from "../deps.ts";
import { createAccumulator } from "../events/accumulate.ts";
import { typeSelection } from "../events/event-query.ts";
import { type StreamEncoder, streamEvents } from "../events/sse.ts";
import { createTurnCut } from "../events/turn-cut.ts";
import { iso, reply } from "../http/respond.ts";
import { runToWire } from "../runs/runs.ts";

type Deps = Pick<ApiDeps, "db" | "feed" | "clock" | "shutdown">;

/** A message that was accepted, and the turn that answers it. */
export interface AcceptedTurn {
  organizationId: string;
  sessionId: string;
  turnId: string;
  /** Of the message's `input.message`, or of its `input.queued`. */
  sequence: number;
  /** False when the turn was there before the message and may stand still: it is asked for at once. */
  isNew: boolean;
}

/** Someone outside must act before the turn goes on. Timers and subagents end by themselves. */
const WAITS_FOR_SOMEONE: readonly RunRow["waiting_on"][] = ["client_tools", "approval", "budget"];
/** Written together with the run's waiting. */
const MAY_WAIT = new Set<string>(["tool.call_requested", "budget.paused"]);

/**
 * The end of the turn, or the run as it stands when the time is up, when it waits for someone, or when the server goes
 * down.
 *
 * @throws UserError not_found, conflict: the message was withdrawn from the queue
 */
export async function answerAtEnd(
  deps: Deps,
  turn: AcceptedTurn,
  options: { timeoutMs: number; signal: AbortSignal },
) {
  const watched = await watchTurn(deps, turn, options);
  if (watched.outcome === "withdrawn") {
    throw new UserError("conflict", "the message was withdrawn from the queue before its turn began");
  }
  const run = await readTurn(deps, turn);
  if (watched.outcome !== "over") return reply(202, run);
  const { answer, failure } = watched;
  // The turn's own event says as much of the error as the message asked for.
  if (failure !== null) {
    run.error = failure.data.error;
    if (failure.data.error_code !== undefined) run.error_code = failure.data.error_code;
  }
  const message: ListedMessage | null =
    answer !== null && answer.data.message.id === run.final_message_id
      ? { ...answer.data.message, session_id: turn.sessionId, sequence: answer.sequence }
      : null;
  return reply(200, { run, message });
}

type Watched =
  | {
      outcome: "over";
      answer: EventOf<"output.message.completed"> | null;
      failure: EventOf<"turn.failed"> | null;
    }
  | { outcome: "withdrawn" | "waiting" | "late" };

async function watchTurn(
  deps: Deps,
  turn: AcceptedTurn,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<Watched> {
  const cut = createTurnCut(turn.turnId);
  const deadlineMs = deps.clock.monotonicMs() + timeoutMs;
  let ready = Promise.withResolvers<void>();
  const wake = () => ready.resolve();
  const subscription = deps.feed.subscribe(turn.sessionId, turn.sequence - 1, wake);
  const done = new AbortController();
  signal.addEventListener("abort", wake, { once: true, signal: done.signal });
  void deps.clock.sleep(timeoutMs, done.signal).then(wake);
  let answer: EventOf<"output.message.completed"> | null = null;
  let failure: EventOf<"turn.failed"> | null = null;
  let mayWait = !turn.isNew;
  try {
    while (!signal.aborted && !deps.shutdown.aborted) {
      ready = Promise.withResolvers();
      const events = subscription.take(deadlineMs);
      if (events === null) break;
      if (events.length === 0) {
        if (mayWait && (await isWaiting(deps, turn))) return { outcome: "waiting" };
        mayWait = false;
        if (deps.clock.monotonicMs() >= deadlineMs) break;
        await ready.promise;
        continue;
      }
      const { own, isOver } = cut(events);
      for (const event of own) {
        if (event.type === "output.message.completed") answer = event;
        if (event.type === "turn.failed") failure = event;
        if (event.type === "input.withdrawn") return { outcome: "withdrawn" };
        mayWait ||= MAY_WAIT.has(event.type);
      }
      if (isOver) return { outcome: "over", answer, failure };
    }
    return { outcome: "late" };
  } finally {
    subscription.close();
    done.abort();
  }
}

async function isWaiting({ db }: Deps, { organizationId, turnId }: AcceptedTurn): Promise<boolean> {
  const run = await readRun(db, organizationId, turnId);
  return run?.state === "waiting" && WAITS_FOR_SOMEONE.includes(run.waiting_on);
}

/** The run, or what it will be while its message is queued. @throws UserError not_found */
async function readTurn({ db }: Deps, turn: AcceptedTurn): Promise<Run> {
  const { organizationId, sessionId, turnId } = turn;
  // Queued first: a turn that begins between the two looks is then found as a run.
  const queued = await readQueuedTurn(db, { organizationId, sessionId, turnId });
  const run = await readRun(db, organizationId, turnId);
  if (run) return runToWire(run);
  if (!queued) throw new UserError("not_found", "Session not found");
  return {
    id: turnId,
    session_id: sessionId,
    organization_id: organizationId,
    status: "queued",
    priority: queued.priority,
    attempt: 0,
    available_at: iso(queued.created_at),
    input_message_id: queued.id,
    iterations: 0,
    queued_at: iso(queued.created_at),
  };
}

/**
 * The turn as a stream that ends with it. `types`, `exclude` and `deltas` mean what they do on the session's stream.
 *
 * @param options.onClose  called once, also when the reader went away
 */
export function streamTurn(
  deps: Deps,
  turn: AcceptedTurn,
  options: {
    query: URLSearchParams;
    encode: StreamEncoder;
    mayGoOn: (() => Promise<boolean>) | null;
    onClose: () => void;
  },
): Response {
  const log = { id: turn.sessionId, lineage: [] };
  return streamEvents(
    (onReady) => deps.feed.subscribe(turn.sessionId, turn.sequence - 1, onReady),
    options.query.get("deltas") === "plain" ? null : createAccumulator(deps.db, log),
    {
      filter: typeSelection(options.query),
      encode: options.encode,
      cut: createTurnCut(turn.turnId),
      mayGoOn: options.mayGoOn,
      shutdown: deps.shutdown,
      clock: deps.clock,
      onClose: options.onClose,
    },
  );
}
