/** What the tables must say after each command: a model of a page, without a database. */
import { expect } from "bun:test";
import type { LeaseRef } from "../../../src/db/writer.ts";
import { type Command, type Outcome, SESSIONS, WORKERS } from "./commands.ts";

export interface RunModel {
  session: number;
  state: "queued" | "running" | "waiting" | "completed" | "failed" | "cancelled";
  epoch: number;
  attempt: number;
  takeovers: number;
  retries: number;
  worker: string | null;
  isExpired: boolean;
  isDelayed: boolean;
  /** The call that it is parked for, or null. */
  waitsFor: string | null;
  steps: Map<string, "pending" | "settled">;
}

export interface SessionModel {
  activeRun: string | null;
  lastSequence: number;
  lastInputSequence: number;
  /** The turns of the messages that wait for their own. */
  queue: string[];
  /** What a client id was answered with. */
  remembered: Map<string, { turnId: string; sequence: number }>;
}

export interface Model {
  sessions: SessionModel[];
  runs: Map<string, RunModel>;
}

/** What the command's numbers meant when it was carried out. */
export interface Chosen {
  /** The lease that it names, if any was handed out yet. */
  held: LeaseRef | undefined;
  /** The call that a parking is for. */
  waitsFor: string;
}

/** PURE but for the model: what the command must come to. `actual` says what the database was free to choose. */
export function predict(model: Model, one: Command, actual: Outcome, { held, waitsFor }: Chosen): Outcome {
  if ("lease" in one && !held) return {};
  const run = held && model.runs.get(held.runId);
  const isHeld = run?.state === "running" && run.epoch === held?.epoch;
  const mayWrite = isHeld && !run.isExpired;
  const of = (at: number) => model.sessions[at] as SessionModel;
  switch (one.do) {
    case "send": {
      const at = of(one.session);
      const earlier = one.clientId === null ? undefined : at.remembered.get(one.clientId);
      if (earlier) return { outcome: "duplicate", ...earlier };
      const remember = (turnId: string, sequence: number) => {
        if (one.clientId !== null) at.remembered.set(one.clientId, { turnId, sequence });
      };
      const isFree = at.activeRun === null && at.queue.length === 0;
      if (at.activeRun !== null && one.delivery === "reject")
        return { outcome: "busy", turnId: at.activeRun };
      if (one.delivery === "queue" && !isFree) {
        const turnId = String(actual.turnId);
        at.lastSequence += 1;
        at.queue.push(turnId);
        const sequence = at.lastSequence;
        const position = at.queue.length;
        remember(turnId, sequence);
        return {
          outcome: "queued",
          turnId,
          sequence,
          position,
          isPromoted: promote(model, one.session) !== null,
        };
      }
      const interruptedTurnId = one.delivery === "interrupt" ? at.activeRun : null;
      // It makes way without coming to rest: one event less.
      if (interruptedTurnId !== null) cancel(model, one.session, 3);
      const active = at.activeRun === null ? undefined : model.runs.get(at.activeRun);
      const isParked = active?.state === "waiting";
      const starts = at.activeRun === null;
      const turnId = at.activeRun ?? String(actual.turnId);
      const sequence = at.lastSequence + 1;
      at.activeRun = turnId;
      at.lastInputSequence = sequence;
      at.lastSequence = sequence + (starts ? 1 : 0);
      remember(turnId, sequence);
      if (starts) model.runs.set(turnId, queuedRun(one.session));
      if (isParked) wake(active, at);
      return {
        outcome: isParked ? "resumed" : starts ? "started" : "steered",
        turnId,
        sequence,
        ...(interruptedTurnId === null ? {} : { interruptedTurnId }),
      };
    }
    case "promote": {
      const turnId = promote(model, one.session);
      return { promoted: turnId === null ? [] : [turnId] };
    }
    case "claim": {
      const free = [...model.runs].filter(
        ([, { state, isDelayed, isExpired }]) =>
          (state === "queued" && !isDelayed) || (state === "running" && isExpired),
      );
      const chosen = (actual.claimed as { id: string }[]).map(({ id }) => id);
      expect(chosen.filter((id) => !free.some(([one]) => one === id))).toEqual([]);
      expect(chosen).toHaveLength(Math.min(one.slots, free.length));
      return {
        claimed: chosen.map((id) => {
          const taken = model.runs.get(id) as RunModel;
          taken.takeovers += taken.state === "running" ? 1 : 0;
          taken.state = "running";
          taken.epoch += 1;
          taken.attempt += 1;
          taken.worker = WORKERS[one.worker] ?? null;
          taken.isExpired = false;
          return { id, epoch: taken.epoch, attempt: taken.attempt };
        }),
      };
    }
    case "step": {
      const before = run?.steps.get(one.name);
      const isNew = before === undefined || (before === "pending" && !one.isPending);
      if (!mayWrite || !isNew) return { outcome: "lost" };
      run.steps.set(one.name, one.isPending ? "pending" : "settled");
      run.takeovers = 0;
      run.retries = 0;
      of(run.session).lastSequence += 1;
      return { outcome: "written", isEnded: false };
    }
    case "end": {
      if (!mayWrite) return { outcome: "lost" };
      const at = of(run.session);
      at.lastSequence += 1;
      if (one.seen === "none") return { outcome: "written", isEnded: false };
      at.lastSequence += 2;
      at.activeRun = null;
      run.state = one.state;
      run.worker = null;
      return { outcome: "written", isEnded: true };
    }
    case "cancel": {
      const at = of(one.session);
      if (at.activeRun === null) return { outcome: "no_op" };
      cancel(model, one.session, 4);
      return { outcome: "cancelled" };
    }
    case "release": {
      if (!isHeld) return { isHeld: false };
      run.state = "queued";
      run.worker = null;
      run.isExpired = false;
      run.isDelayed = one.isDelayed;
      run.attempt -= one.isRetry ? 0 : 1;
      run.retries += one.isRetry ? 1 : 0;
      return { isHeld: true };
    }
    case "park": {
      if (!mayWrite) return { outcome: "lost" };
      if (!one.isNewerSeen) return { outcome: "withheld" };
      run.state = "waiting";
      run.waitsFor = waitsFor;
      run.worker = null;
      of(run.session).lastSequence += 1;
      return { outcome: "parked" };
    }
    case "answer": {
      const at = of(one.session);
      const waiting = at.activeRun === null ? undefined : model.runs.get(at.activeRun);
      if (waiting?.state !== "waiting") return { resumed: 0, callIds: [] };
      const callIds = [waiting.waitsFor];
      wake(waiting, at);
      return { resumed: 1, callIds };
    }
    case "heartbeat":
      return { isHeld: mayWrite };
    case "expire":
      for (const own of model.runs.values()) {
        if (own.session === one.session && own.state === "running") own.isExpired = true;
      }
      return {};
    case "bury": {
      const orphans = [...model.runs.values()].filter(
        (own) => own.state === "running" && own.worker === WORKERS[one.worker],
      );
      for (const own of orphans) own.isExpired = true;
      return { freed: orphans.length };
    }
  }
}

function queuedRun(session: number): RunModel {
  return {
    session,
    state: "queued",
    epoch: 0,
    attempt: 0,
    takeovers: 0,
    retries: 0,
    worker: null,
    isExpired: false,
    isDelayed: false,
    waitsFor: null,
    steps: new Map(),
  };
}

/** Ends the turn under way as cancelled. @param events  what says so */
function cancel(model: Model, session: number, events: number): void {
  const at = model.sessions[session] as SessionModel;
  const active = model.runs.get(at.activeRun ?? "") as RunModel;
  active.state = "cancelled";
  active.epoch += 1;
  active.worker = null;
  active.isExpired = false;
  active.isDelayed = false;
  active.waitsFor = null;
  at.activeRun = null;
  at.lastInputSequence = at.lastSequence + 2;
  at.lastSequence += events;
}

/** Begins the next turn of a session at rest. @returns its id, or null */
function promote(model: Model, session: number): string | null {
  const at = model.sessions[session] as SessionModel;
  const next = at.activeRun === null ? at.queue.shift() : undefined;
  if (next === undefined) return null;
  model.runs.set(next, queuedRun(session));
  at.activeRun = next;
  at.lastInputSequence = at.lastSequence + 2;
  at.lastSequence += 3;
  return next;
}

/** A parked run goes on: its call has a result, which is a step and an event. */
function wake(run: RunModel, at: SessionModel): void {
  run.steps.set(`tool:${run.waitsFor}`, "settled");
  run.state = "queued";
  run.waitsFor = null;
  run.isDelayed = false;
  run.takeovers = 0;
  run.retries = 0;
  at.lastSequence += 1;
}

export function emptyModel(): Model {
  const sessions = Array.from({ length: SESSIONS }, () => ({
    activeRun: null,
    lastSequence: 0,
    lastInputSequence: 0,
    queue: [],
    remembered: new Map(),
  }));
  return { sessions, runs: new Map() };
}

export const isOpen = ({ state }: RunModel) =>
  state === "queued" || state === "running" || state === "waiting";
