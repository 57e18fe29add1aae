/**
 * One act step: the open tool calls of an answer, in parallel unless the agent forbids it. Each call is a step of
 * its own and is committed as soon as it has its result, so that a killed worker repeats only what was not
 * settled, and that only as the tool's declared effect allows.
 */
import { LeaseLostError } from "../base/errors.ts";
import { newId } from "../base/id.ts";
import { type Invoked, invokeTool } from "../capabilities/invoke.ts";
import type { NewEvent } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";
import type { StoredStep } from "../db/runs.ts";
import type { ReasonResult } from "./reason.ts";
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

/** The calls of an answer that have no result yet. */
export function openCalls(result: ReasonResult, settled: ReadonlySet<string>): OpenCall[] {
  return result.tool_calls
    .map((call, index) => ({ id: call.id, name: call.name, argumentsJson: call.arguments_json, index }))
    .filter((call) => !settled.has(call.id));
}

/**
 * Runs the calls and commits each. Returns when all are settled.
 *
 * @param pending  steps that an earlier attempt announced as "about to run" (at_most_once)
 * @throws LeaseLostError, RetryableError
 */
export async function act(
  scope: RunScope,
  calls: readonly OpenCall[],
  pending: ReadonlyMap<string, StoredStep>,
): Promise<void> {
  const startedAtMs = scope.deps.clock.monotonicMs();
  const settled: boolean[] = [];
  const one = async (call: OpenCall) => {
    settled.push(await settleCall(scope, call, pending.has(`tool:${call.id}`)));
  };
  if (scope.plan.parallelToolCalls === false) for (const call of calls) await one(call);
  else await allSettledOrThrow(calls.map(one));
  const successes = settled.filter((isSuccess) => isSuccess).length;
  scope.carry.push({
    type: "act.completed",
    context: contextOf(scope.run),
    data: {
      completed: true,
      success_count: successes,
      error_count: settled.length - successes,
      duration_ms: Math.round(scope.deps.clock.monotonicMs() - startedAtMs),
    },
  });
}

/** Waits for every call, also when one fails: a call that is still running must not outlive its run. */
async function allSettledOrThrow(promises: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

/** @returns whether the call succeeded */
async function settleCall(scope: RunScope, call: OpenCall, wasAnnounced: boolean): Promise<boolean> {
  const { deps, run, lease } = scope;
  const offered = scope.tools.get(call.name) ?? null;
  const isRepeat = wasAnnounced && !scope.announcedHere.has(call.id);
  const startedAtMs = deps.clock.monotonicMs();
  const execId = newId("exec");
  const fileEvents: NewEvent[] = [];
  let outcome: Invoked;
  if (isRepeat) outcome = { ok: false, status: "error", error: UNKNOWN_OUTCOME };
  else if (call.index >= limits.toolCallsPerAnswerMax) {
    outcome = {
      ok: false,
      status: "error",
      error: `At most ${limits.toolCallsPerAnswerMax} calls in one answer.`,
    };
  } else if (offered === null) outcome = { ok: false, status: "error", error: noSuchTool(scope, call.name) };
  else {
    await deps.failpoint("tool:before-run");
    outcome = await runTool(scope, call, offered, execId, fileEvents);
  }
  if (lease.signal.aborted) throw new LeaseLostError(run.id);
  if (!outcome.ok && outcome.fault !== undefined) {
    deps.log.error("a tool broke in a way that it did not foresee", {
      tool: call.name,
      error: outcome.fault,
    });
  }
  await deps.failpoint("tool:before-commit");
  const durationMs = deps.clock.monotonicMs() - startedAtMs;
  await write(scope, {
    events: [...fileEvents, toolCompleted(scope, call, offered, outcome, execId, durationMs)],
    steps: [
      {
        name: `tool:${call.id}`,
        kind: "tool",
        toolName: call.name,
        effect: offered?.tool.effect ?? null,
        status: isRepeat ? "unknown" : "settled",
        attempt: run.attempt,
        result: { ok: outcome.ok },
        usage: null,
        error: outcome.ok ? null : outcome.error,
        durationMs,
      },
    ],
  });
  scope.toolCallCount += 1;
  await deps.failpoint("tool:after-commit");
  return outcome.ok;
}

function noSuchTool(scope: RunScope, name: string): string {
  const known = [...scope.tools.keys()];
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
  const { deps, run, lease, config, plan } = scope;
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
      idempotencyKey: `${run.id}:${call.id}`,
      files: deps.filesOf({ organizationId: run.organization_id, workspaceId: config.session.workspace_id }),
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

function toolCompleted(
  scope: RunScope,
  call: OpenCall,
  offered: OfferedTool | null,
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
      ...(offered === null
        ? {}
        : {
            capability_id: offered.capabilityId,
            capability_name: offered.capabilityName,
            display_name: offered.tool.displayName,
          }),
    },
  };
}
