/**
 * PURE: may a tool call run now? Server tools run unless a person must allow them first; client-side tools are never
 * run here, their results come from outside. Nobody is asked about a call that could not run: malformed arguments
 * are refused, for the model to correct.
 */
import { sortKeys } from "../base/json.ts";
import type { ApprovalPolicy } from "../capabilities/capability.ts";
import { argumentsComplaint, readArguments } from "../capabilities/invoke.ts";
import { APPROVAL_SECONDS_DEFAULT } from "../capabilities/tool-approval.ts";
import type { ToolDefinition } from "../contract/common.ts";
import { limits } from "../contract/limits.ts";
import type { GivenApproval } from "../db/waits.ts";
import type { OfferedTool, RunScope } from "./scope.ts";

/** What a call waits for, instead of running. */
export interface Hold {
  kind: "client_tool" | "approval" | "timer" | "subagent";
  /** Why a person must allow it; null for the other kinds. */
  reason: string | null;
  /** null has no end. */
  timeoutMs: number | null;
  /** As the call will run, edits included. */
  argumentsJson: string;
}

export type Gate =
  | { kind: "run"; argumentsJson: string }
  | { kind: "refuse"; error: string }
  | { kind: "hold"; hold: Hold };

export interface GateInput {
  call: { id: string; name: string; argumentsJson: string };
  /** null: the program has no such tool. */
  offered: OfferedTool | null;
  /** null: the client has no such tool. The client's stands when both have it: it was named for this very agent. */
  clientTool: ToolDefinition | null;
  /** null: no call needs to be allowed. */
  policy: ApprovalPolicy | null;
  /** What was allowed for this very call. */
  given: GivenApproval | null;
  /** What was decided for all calls of this tool in this session. */
  always: "allow_always" | "reject_always" | null;
}

export function gateOf(input: GateInput): Gate {
  const { call, offered, clientTool, given, always } = input;
  if (clientTool === null && offered === null) return { kind: "run", argumentsJson: call.argumentsJson };
  const reason = approvalReason(input);
  if (clientTool === null && reason === null && given === null) {
    return { kind: "run", argumentsJson: call.argumentsJson };
  }

  const read = readArguments(call.name, call.argumentsJson);
  if (!read.ok) return { kind: "refuse", error: read.complaint };
  let argumentsJson = call.argumentsJson;
  // What was decided stands, also when the call would not be asked about any more.
  if (given !== null) {
    if (given.argumentsHash !== argumentsHash(call.name, read.value)) {
      return { kind: "refuse", error: "The approval was given for other arguments. The call did not run." };
    }
    if (given.editedArguments !== null) argumentsJson = JSON.stringify(given.editedArguments);
  } else if (reason !== null && always === "reject_always") {
    return { kind: "refuse", error: REJECTED_ALWAYS };
  } else if (reason !== null && always !== "allow_always") {
    const complaint =
      clientTool === null && offered ? argumentsComplaint(offered.tool, call.argumentsJson) : null;
    if (complaint !== null) return { kind: "refuse", error: complaint };
    const timeoutMs = input.policy?.timeoutMs ?? APPROVAL_SECONDS_DEFAULT * 1000;
    return { kind: "hold", hold: { kind: "approval", reason, timeoutMs, argumentsJson } };
  }
  if (clientTool === null) return { kind: "run", argumentsJson };
  const timeoutMs = limits.clientToolTimeoutMs;
  return { kind: "hold", hold: { kind: "client_tool", reason: null, timeoutMs, argumentsJson } };
}

export const REJECTED_ALWAYS =
  "The user rejects every call of this tool in this session. It did not run; go on without it.";

/** Why a person must allow calls of this tool; null when they need no permission. */
export function approvalReason({
  offered,
  clientTool,
  policy,
}: Pick<GateInput, "offered" | "clientTool" | "policy">): string | null {
  if (clientTool !== null) {
    return clientTool.policy === "requires_approval" ? "its definition asks for approval" : null;
  }
  return offered === null ? null : (policy?.reasonFor(offered.tool) ?? null);
}

/** True when calls of the tool of this name wait for a person, unless one has decided for all of them. */
export function needsApproval({ tools, clientTools, approval }: RunScope, name: string): boolean {
  const [offered, clientTool] = [tools.get(name) ?? null, clientTools.get(name) ?? null];
  return approvalReason({ offered, clientTool, policy: approval }) !== null;
}

/** What a decision is bound to: SHA-256, in hex, of the tool's name and its arguments with sorted keys. */
export function argumentsHash(toolName: string, value: unknown): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify([toolName, sortKeys(value)])).digest("hex");
}
