/**
 * One act step: the open tool calls of an answer, in parallel unless the agent forbids it. Each call is a step of
 * its own and is committed as soon as it has its result, so that a killed worker repeats only what was not
 * settled, and that only as the tool's declared effect allows.
 */
import { LeaseLostError } from "../base/errors.ts";
import { newId } from "../base/id.ts";
import { withDefinedSkills } from "../capabilities/declarative.ts";
import { type Invoked, invokeTool } from "../capabilities/invoke.ts";
import { mountFiles } from "../capabilities/mounted-files.ts";
import { skillIds } from "../capabilities/skills.ts";
import type { NewEvent } from "../contract/event.ts";
import type { FileStore } from "../contract/file-store.ts";
import { limits } from "../contract/limits.ts";
import type { StoredStep } from "../db/runs.ts";
import { alwaysDecisions, type GivenApproval } from "../db/waits.ts";
import type { ReasonResult } from "./answer.ts";
import { pendingSteps } from "./answer.ts";
import { approvalReason, type Gate, gateOf, type Hold } from "./gate.ts";
import { guardedResult, refusalOf } from "./guard.ts";
import { contextOf, type OfferedTool, type RunScope, write } from "./scope.ts";

export interface OpenCall {
  id: string;
  name: string;
  argumentsJson: string;
  /** Position among the calls of its answer, from 0. */
  index: number;
}

export const UNKNOWN_OUTCOME =
  "It is not known whether this call took effect: the worker that ran it was lost before it could say. It was not " +
  "run again. Check the outcome by other means before you repeat it.";

/** The tool calls of an answer and how far they are. */
export interface Act {
  calls: readonly OpenCall[];
  /** Settled calls of the whole run, with whether each succeeded. Grows as calls are settled. */
  settled: Map<string, boolean>;
  /** Steps that an earlier attempt announced as "about to run" (at_most_once), by step name. */
  pending: ReadonlyMap<string, StoredStep>;
  /** Whether each open call may run, by call id. */
  gates: ReadonlyMap<string, Gate>;
  /** Open calls that are settled from outside. Grows when a tool asks to wait. */
  held: Map<string, Hold>;
  /** Of the results that were sent to be stored here. */
  writes: Promise<unknown>[];
  /** Monotonic time. */
  startedAtMs: number;
}

/**
 * Looks at the open calls of an answer before anything is run: which may run, which are refused, which wait.
 *
 * @param input.given  approvals of this run, by call id
 */
export async function openAct(
  scope: RunScope,
  input: Pick<Act, "settled" | "pending"> & {
    result: ReasonResult;
    given: ReadonlyMap<string, GivenApproval>;
  },
): Promise<Act> {
  const { deps, run } = scope;
  const calls = callsOf(input.result);
  const about = (call: OpenCall) => ({
    offered: scope.tools.get(call.name) ?? null,
    clientTool: scope.clientTools.get(call.name) ?? null,
    policy: scope.approval,
  });
  // A call over the cap is refused, and one that may have run already is settled as unknown: neither waits.
  const open = calls.filter(
    (call) =>
      !input.settled.has(call.id) &&
      call.index < limits.toolCallsPerAnswerMax &&
      !isRepeat(scope, input, call),
  );
  const risky = open.filter((call) => approvalReason(about(call)) !== null).map((call) => call.name);
  const always = risky.length === 0 ? null : await alwaysDecisions(deps.db, run.session_id, risky);
  const gates = new Map(
    open.map((call) => [
      call.id,
      guardedGate(
        scope,
        call,
        gateOf({
          call,
          ...about(call),
          given: input.given.get(call.id) ?? null,
          always: always?.get(call.name) ?? null,
        }),
      ),
    ]),
  );
  const held = new Map([...gates].flatMap(([id, gate]) => (gate.kind === "hold" ? [[id, gate.hold]] : [])));
  const { settled, pending } = input;
  return { calls, settled, pending, gates, held, writes: [], startedAtMs: deps.clock.monotonicMs() };
}

/** Nobody is asked about a call that a guardrail refuses; what counts are the arguments that it would run with. */
function guardedGate(scope: RunScope, call: OpenCall, gate: Gate): Gate {
  if (gate.kind === "refuse") return gate;
  const argumentsJson = gate.kind === "run" ? gate.argumentsJson : gate.hold.argumentsJson;
  const error = refusalOf(scope, { name: call.name, argumentsJson });
  return error === null ? gate : { kind: "refuse", error };
}

/** True for a call that an earlier attempt was about to run: it may have taken effect. */
function isRepeat({ announcedHere }: RunScope, { pending }: Pick<Act, "pending">, call: OpenCall): boolean {
  return pending.has(`tool:${call.id}`) && !announcedHere.has(call.id);
}

export function callsOf(result: ReasonResult): OpenCall[] {
  return result.tool_calls.map((call, index) => ({
    id: call.id,
    name: call.name,
    argumentsJson: call.arguments_json,
    index,
  }));
}

/**
 * Runs the calls that have no result yet and are not held, and commits each. Returns when all of these are settled,
 * or held because their tool asked to wait.
 *
 * `act.completed` travels with the result that settles the last call: a worker that dies in between leaves either
 * a call to settle or a completed act, never an act that nobody completes.
 *
 * @throws LeaseLostError, RetryableError
 */
export async function act(scope: RunScope, step: Act): Promise<void> {
  const open = step.calls.filter((call) => !step.settled.has(call.id) && !step.held.has(call.id));
  await announce(scope, step, open);
  const one = (call: OpenCall) => settleCall(scope, step, call);
  if (scope.plan.parallelToolCalls === false) for (const call of open) await one(call);
  else await allSettledOrThrow(open.map(one));
}

/** "About to run" of at_most_once calls that their answer could not announce: they waited for a person first. */
async function announce(scope: RunScope, step: Act, open: readonly OpenCall[]): Promise<void> {
  const steps = pendingSteps(
    scope,
    open.filter(
      (call) =>
        step.gates.get(call.id)?.kind === "run" &&
        !step.pending.has(`tool:${call.id}`) &&
        !scope.announcedHere.has(call.id),
    ),
  );
  if (steps.length === 0) return;
  await write(scope, { events: [], steps });
  for (const { name } of steps) scope.announcedHere.add(name.slice("tool:".length));
}

export function actCompleted(scope: RunScope, { calls, settled, startedAtMs }: Act): NewEvent {
  const successes = calls.filter((call) => settled.get(call.id)).length;
  return {
    type: "act.completed",
    context: contextOf(scope.run),
    data: {
      completed: true,
      success_count: successes,
      error_count: calls.length - successes,
      duration_ms: Math.round(scope.deps.clock.monotonicMs() - startedAtMs),
    },
  };
}

/** Waits for every call, also when one fails: a call that is still running must not outlive its run. */
async function allSettledOrThrow(promises: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

async function settleCall(scope: RunScope, step: Act, call: OpenCall): Promise<void> {
  const { deps, run, lease } = scope;
  const offered = scope.tools.get(call.name) ?? null;
  const gate = step.gates.get(call.id);
  const isLost = isRepeat(scope, step, call);
  const startedAtMs = deps.clock.monotonicMs();
  const execId = newId("exec");
  const fileEvents: NewEvent[] = [];
  let outcome: Invoked;
  if (isLost) outcome = { ok: false, status: "error", error: UNKNOWN_OUTCOME };
  else if (call.index >= limits.toolCallsPerAnswerMax) {
    outcome = {
      ok: false,
      status: "error",
      error: `At most ${limits.toolCallsPerAnswerMax} calls in one answer.`,
    };
  } else if (gate?.kind === "refuse") outcome = { ok: false, status: "error", error: gate.error };
  else if (offered === null) outcome = { ok: false, status: "error", error: noSuchTool(scope, call.name) };
  else {
    await deps.failpoint("tool:before-run");
    const argumentsJson = gate?.kind === "run" ? gate.argumentsJson : call.argumentsJson;
    outcome = await runTool(scope, { ...call, argumentsJson }, offered, execId, fileEvents);
    if (argumentsJson !== call.argumentsJson) outcome = withEdits(outcome, argumentsJson);
  }
  if (lease.signal.aborted) throw new LeaseLostError(run.id);
  if (outcome.ok && outcome.wait !== undefined) {
    const { kind, seconds } = outcome.wait;
    const timeoutMs = seconds === null ? null : seconds * 1000;
    step.held.set(call.id, { kind, reason: null, timeoutMs, argumentsJson: call.argumentsJson });
    return;
  }
  outcome = guardedResult(scope, call.name, outcome);
  if (!outcome.ok && outcome.fault !== undefined) {
    deps.log.error("a tool broke in a way that it did not foresee", {
      tool: call.name,
      error: outcome.fault,
    });
  }
  await deps.failpoint("tool:before-commit");
  const durationMs = deps.clock.monotonicMs() - startedAtMs;
  step.settled.set(call.id, outcome.ok);
  const isLast = step.calls.every((other) => step.settled.has(other.id));
  // A result that could not be stored is to be had again: then this one completes nothing.
  const completes = isLast && (await areStored(step.writes));
  const written = write(scope, {
    events: [
      ...fileEvents,
      toolCompleted(scope, call, outcome, execId, durationMs),
      ...(completes ? [actCompleted(scope, step)] : []),
    ],
    steps: [
      {
        name: `tool:${call.id}`,
        kind: "tool",
        toolName: call.name,
        effect: offered?.tool.effect ?? null,
        status: isLost ? "unknown" : "settled",
        attempt: run.attempt,
        result: { ok: outcome.ok },
        usage: null,
        error: outcome.ok ? null : outcome.error,
        durationMs,
      },
    ],
  });
  step.writes.push(written);
  await written;
  scope.toolCallCount += 1;
  scope.progressedAt = deps.clock.now();
  await deps.failpoint("tool:after-commit");
}

async function areStored(writes: readonly Promise<unknown>[]): Promise<boolean> {
  const ended = await Promise.allSettled(writes);
  return ended.every((write) => write.status === "fulfilled");
}

/** The model must not believe that its own arguments were used. */
function withEdits(outcome: Invoked, argumentsJson: string): Invoked {
  const note = `The user changed the arguments of this call to ${argumentsJson}.\n`;
  return outcome.ok
    ? { ...outcome, content: note + outcome.content }
    : { ...outcome, error: note + outcome.error };
}

function noSuchTool(scope: RunScope, name: string): string {
  const known = [...scope.tools.keys(), ...scope.clientTools.keys()];
  return `There is no tool named "${name}". ${
    known.length === 0 ? "No tools are available." : `Available: ${known.join(", ")}.`
  }`;
}

function runTool(
  scope: RunScope,
  call: OpenCall,
  offered: OfferedTool,
  execId: string,
  fileEvents: NewEvent[],
): Promise<Invoked> {
  const { deps, run, lease, plan } = scope;
  const context = contextOf(run, execId);
  return invokeTool(
    offered.tool,
    call.argumentsJson,
    {
      clock: deps.clock,
      signal: lease.signal,
      sessionId: run.session_id,
      turnId: run.id,
      toolCallId: call.id,
      idempotencyKey: `${scope.callOrigins.get(call.id) ?? run.id}:${call.id}`,
      tasks: deps.tasksOf({
        organizationId: run.organization_id,
        sessionId: run.session_id,
        capabilities: plan.capabilities,
      }),
      schedules: deps.schedulesOf({ organizationId: run.organization_id, sessionId: run.session_id }),
      files: sessionFiles(scope),
      databases: deps.databasesOf({ organizationId: run.organization_id, sessionId: run.session_id }),
      skills: withDefinedSkills(
        deps.skillsOf({ organizationId: run.organization_id, ids: skillIds(plan.capabilities) }),
        plan.capabilities,
      ),
      storage: deps.storageOf({ organizationId: run.organization_id, sessionId: run.session_id }),
      network: plan.network,
      progress(message) {
        const said: NewEvent = {
          type: "tool.progress",
          context,
          data: { tool_call_id: call.id, tool_name: call.name, message },
        };
        // Progress is for watchers; if it cannot be written, the result still can, or the run is lost anyhow.
        void write(scope, { events: [said] }).catch(() => {});
      },
      fileWritten(change) {
        fileEvents.push({
          type: "file.written",
          context,
          data: {
            path: change.path,
            operation: change.operation,
            size_bytes: change.sizeBytes,
            created: change.created,
          },
        });
      },
    },
    { timeoutMs: limits.toolTimeoutMs, outputBytesMax: limits.toolResultBytesMax },
  );
}

/** The session's workspace, with the memories that are mounted into it. */
function sessionFiles({ deps, run, config, mounts }: RunScope): FileStore {
  const { organization_id: organizationId } = run;
  return mountFiles(
    deps.filesOf({ organizationId, treeId: config.session.workspace_id }),
    mounts.map(({ treeId, path, isWritable }) => ({
      path,
      isWritable,
      files: deps.filesOf({ organizationId, treeId }),
    })),
  );
}

function toolCompleted(
  scope: RunScope,
  call: OpenCall,
  outcome: Invoked,
  execId: string,
  durationMs: number,
): NewEvent {
  return {
    type: "tool.completed",
    context: contextOf(scope.run, execId),
    data: {
      tool_call_id: call.id,
      tool_name: call.name,
      success: outcome.ok,
      status: outcome.ok ? "success" : outcome.status,
      ...(outcome.ok ? { result: [{ type: "text", text: outcome.content }] } : { error: outcome.error }),
      duration_ms: Math.round(durationMs),
      ...toolFields(scope, call.name),
    },
  };
}

/** What `tool.completed` says of the tool itself. */
export function toolFields({ tools, clientTools }: RunScope, name: string) {
  const offered = tools.get(name);
  if (offered) {
    return {
      capability_id: offered.capabilityId,
      capability_name: offered.capabilityName,
      display_name: offered.tool.displayName,
    };
  }
  const shown = clientTools.get(name)?.display_name;
  return shown ? { display_name: shown } : {};
}
