/**
 * Parking, the engine's part: which calls are waited for, what the client is told, and what becomes of the calls when
 * a message came instead. What comes from outside, and the run's way back into the queue, is `db/waits.ts`.
 */
import { readArguments } from "../capabilities/invoke.ts";
import type { NewEvent, ToolCall } from "../contract/event.ts";
import { parkRun, type WaitWrite } from "../db/park.ts";
import { SENT_A_MESSAGE } from "../db/waits.ts";
import { type Act, actCompleted, type OpenCall, toolFields } from "./act.ts";
import { argumentsHash, type Hold } from "./gate.ts";
import { contextOf, type RunScope, write } from "./scope.ts";

interface HeldCall {
  call: OpenCall;
  hold: Hold;
}

/**
 * Parks the run until its open calls are settled from outside.
 *
 * @param seen  the newest input.message that the model has seen
 * @returns false when a message came that it has not: then the calls are settled as cancelled, and the turn goes on
 * @throws LeaseLostError, RetryableError
 */
export async function park(scope: RunScope, act: Act, seen: number): Promise<boolean> {
  const { deps, run, lease } = scope;
  const open = act.calls.flatMap((call) => {
    const hold = act.settled.has(call.id) ? undefined : act.held.get(call.id);
    return hold ? [{ call, hold }] : [];
  });
  // A timer of 30 days must not keep an approved call from running: what is not for a person to do is asked again
  // once the approvals are there.
  const needsApproval = open.some(({ hold }) => hold.kind === "approval");
  const waited = needsApproval
    ? open.filter(({ hold }) => hold.kind === "approval" || hold.kind === "client_tool")
    : open;

  await deps.failpoint("park:before-commit");
  const carried = scope.carry;
  scope.carry = [];
  const succeeded = act.calls.filter((call) => act.settled.get(call.id) === true).length;
  const parked = await parkRun(deps.db, lease, {
    waits: waited.map((held) => waitOf(scope, held)),
    events: [...carried, ...requests(scope, waited)],
    seenInputSequence: seen,
    act: {
      succeeded,
      failed: act.calls.length - open.length - succeeded,
      open: open.length - waited.length,
      elapsedMs: deps.clock.monotonicMs() - act.startedAtMs,
    },
  });
  if (parked.outcome === "withheld") {
    scope.carry = carried;
    await cancelCalls(scope, act, open);
    return false;
  }
  await deps.failpoint("park:after-commit");
  deps.hints.publish({ sessions: [run.session_id] });
  return true;
}

function waitOf(scope: RunScope, { call, hold }: HeldCall): WaitWrite {
  const read = readArguments(call.name, hold.argumentsJson);
  const value = read.ok ? read.value : {};
  return {
    kind: hold.kind,
    toolCallId: call.id,
    toolName: call.name,
    effect: scope.tools.get(call.name)?.tool.effect ?? null,
    arguments: value,
    argumentsHash: argumentsHash(call.name, value),
    reason: hold.reason,
    toolFields: toolFields(scope, call.name),
    timeoutMs: hold.timeoutMs,
  };
}

/** The synthetic call that asks for an approval, as the wire contract has it (section 10.3). */
export const APPROVE_TOOL_CALL = "approve_tool_call";

/** One event for the client's tools and one for the approvals: a client answers them at different routes. */
function requests(scope: RunScope, waited: readonly HeldCall[]): NewEvent[] {
  const argumentsOf = ({ call, hold }: HeldCall) => {
    const read = readArguments(call.name, hold.argumentsJson);
    return read.ok ? read.value : {};
  };
  const clientCalls: ToolCall[] = waited
    .filter(({ hold }) => hold.kind === "client_tool")
    .map((held) => ({ id: held.call.id, name: held.call.name, arguments: argumentsOf(held) }));
  const approvals: ToolCall[] = waited
    .filter(({ hold }) => hold.kind === "approval")
    .map((held) => ({
      id: `tool_approval_${held.call.id}`,
      name: APPROVE_TOOL_CALL,
      arguments: {
        tool_call_id: held.call.id,
        tool_name: held.call.name,
        arguments: argumentsOf(held),
        reason: held.hold.reason,
      },
    }));
  return [clientCalls, approvals]
    .filter((calls) => calls.length > 0)
    .map((calls) => ({
      type: "tool.call_requested" as const,
      context: contextOf(scope.run),
      data: { tool_calls: calls },
    }));
}

async function cancelCalls(scope: RunScope, act: Act, open: readonly HeldCall[]): Promise<void> {
  for (const { call } of open) act.settled.set(call.id, false);
  await write(scope, {
    events: [
      ...open.map(({ call }) => ({
        type: "tool.completed" as const,
        context: contextOf(scope.run),
        data: {
          tool_call_id: call.id,
          tool_name: call.name,
          success: false,
          status: "cancelled" as const,
          error: SENT_A_MESSAGE,
          ...toolFields(scope, call.name),
        },
      })),
      actCompleted(scope, act),
    ],
    steps: open.map(({ call }) => ({
      name: `tool:${call.id}`,
      kind: "tool" as const,
      toolName: call.name,
      effect: scope.tools.get(call.name)?.tool.effect ?? null,
      status: "settled" as const,
      attempt: scope.run.attempt,
      result: { ok: false },
      usage: null,
      error: SENT_A_MESSAGE,
      durationMs: 0,
    })),
  });
  scope.toolCallCount += open.length;
}
