/**
 * The engine room: durable execution of turns. It owns the loop from a claimed run to its end, the leases, the
 * workers and the janitor.
 *
 * Invariants (numbers of the engine's specification). Every write names the epoch of its claim (I5) and goes
 * through the grouped writer; a step is stored together with its events, at most once (I4); before each model
 * call every tool call has exactly one result (I8); a run ends with one terminal event (I6); an at_most_once tool
 * runs at most once for a call (I11); a run that waits for others is parked, and has pending rows in `waits` exactly
 * while it is. Decisions are pure functions (`turn.ts`, `gate.ts`, `history.ts`, `plan.ts`, `retry.ts`); the files
 * beside them act. The engine never knows about HTTP.
 */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { ApprovalPolicy, MountSpec } from "../capabilities/capability.ts";
import type { Guardrails } from "../capabilities/guardrail-checks.ts";
import type { Tool } from "../capabilities/tool.ts";
import type { CapabilityConfig, ToolDefinition } from "../contract/common.ts";
import type { Event, EventContext, NewEvent } from "../contract/event.ts";
import type { FileStore } from "../contract/file-store.ts";
import type { ScheduleStore } from "../contract/schedule-store.ts";
import type { SessionDatabases } from "../contract/session-database.ts";
import type { SessionStorage } from "../contract/session-storage.ts";
import type { SkillLibrary } from "../contract/skill-library.ts";
import type { TaskStore } from "../contract/task-store.ts";
import type { TokenUsage } from "../contract/usage.ts";
import type { ClaimedRun } from "../db/claim.ts";
import type { Hints, WrittenLog } from "../db/hints.ts";
import type { Db } from "../db/pool.ts";
import type { ResolvedModel, TurnConfig } from "../db/sessions.ts";
import type { RunWrite, Writer, Written } from "../db/writer.ts";
import type { Driver } from "../llm/driver.ts";
import type { ReachFailpoint } from "./failpoint.ts";
import type { Lease } from "./lease.ts";
import type { FindMcpTools } from "./mcp.ts";
import type { TurnPlan } from "./plan.ts";
import type { ProviderGate } from "./provider-gate.ts";

/** A tool and where it came from. */
export interface OfferedTool {
  tool: Tool;
  capabilityId: string;
  capabilityName: string;
}

export interface EngineDeps {
  db: Db;
  writer: Writer;
  hints: Hints;
  clock: Clock;
  log: Log;
  /** The driver for a model's provider. @throws UserError provider_misconfigured */
  driverFor(model: ResolvedModel, organizationId: string): Driver;
  /** Prompt, tools and approval policy of a list of capabilities; `unknown` names those that this program does not have. */
  resolveCapabilities(refs: readonly CapabilityConfig[]): {
    prompt: string;
    /** The texts that the prompt is made of. */
    prompts: readonly { capabilityId: string; capabilityName: string; text: string }[];
    tools: readonly OfferedTool[];
    /** Which calls wait for a person; null: none. */
    approval: ApprovalPolicy | null;
    /** Memories in the session's files. */
    mounts: readonly MountSpec[];
    /** Checks on what is said, called and given back. */
    guards: readonly Guardrails[];
    unknown: readonly string[];
  };
  filesOf(tree: { organizationId: string; treeId: string }): FileStore;
  databasesOf(session: { organizationId: string; sessionId: string }): SessionDatabases;
  /** The tools of the MCP servers that a turn refers to. */
  findMcpTools: FindMcpTools;
  /** @param turn.ids  of the skills that the turn refers to */
  skillsOf(turn: { organizationId: string; ids: readonly string[] }): SkillLibrary;
  storageOf(session: { organizationId: string; sessionId: string }): SessionStorage;
  /** @param turn.capabilities  that the turn has: what guards it guards the work that it hands out */
  tasksOf(turn: {
    organizationId: string;
    sessionId: string;
    capabilities: readonly CapabilityConfig[];
  }): TaskStore;
  schedulesOf(session: { organizationId: string; sessionId: string }): ScheduleStore;
  /** One a process: its limits count what the process sends. */
  providers: ProviderGate;
  failpoint: ReachFailpoint;
  random?: () => number;
}

/** Everything about one leased run while it is being driven. */
export interface RunScope {
  deps: EngineDeps;
  run: ClaimedRun;
  lease: Lease;
  config: TurnConfig;
  plan: TurnPlan;
  model: ResolvedModel;
  driver: Driver;
  /** Server tools by name; none that a client-side tool stands in for. */
  tools: ReadonlyMap<string, OfferedTool>;
  clientTools: ReadonlyMap<string, ToolDefinition>;
  approval: ApprovalPolicy | null;
  mounts: readonly MountSpec[];
  guards: readonly Guardrails[];
  systemPrompt: string;
  /** The history events of the session as far as they have been read, and as far back as the model's window goes. */
  history: Event[];
  /** The conversation goes further back than `history`. */
  isHistoryCut: boolean;
  /** Tokens that the model's window has for the history. */
  historyTokensMax: number;
  /** Of what stands in the log up to this sequence, `history` has all that the model is to see. */
  historyUpTo: number;
  /** What this run has written since: it need not be read back. */
  ownLogs: WrittenLog[];
  /** Events that go out with the next write; spares a statement of their own. */
  carry: NewEvent[];
  /** Of every committed step of the run so far. */
  usage: TokenUsage;
  toolCallCount: number;
  /** The run that made a call, for calls that were taken over from another: their idempotency keys name it. */
  callOrigins: ReadonlyMap<string, string>;
  /** at_most_once calls that this very attempt announced; what another announced may have run. */
  announcedHere: Set<string>;
  /** Monotonic time at which this attempt began. */
  beganAtMs: number;
  /** An earlier claim may have left a call in the middle of its answer; false once that has been looked at. */
  isTakenOver: boolean;
  /** When the run last got somewhere: its newest checkpoint, or the beginning of its first attempt. */
  progressedAt: Date;
  /** The session's newest input.message, as of the last write. */
  lastInputSequence: number;
}

/** The context of an event of this run; with an execution id when it belongs to one step. */
export function contextOf(run: ClaimedRun, execId?: string): EventContext {
  return {
    turn_id: run.id,
    input_message_id: run.input_message_id,
    trace_id: run.id,
    ...(execId === undefined ? {} : { exec_id: execId, span_id: execId, parent_span_id: run.id }),
  };
}

/** Writes under the run's lease, with what was carried over in front. @throws LeaseLostError, RetryableError */
export async function write(scope: RunScope, what: RunWrite): Promise<Written> {
  const events = [...scope.carry, ...what.events];
  scope.carry = [];
  const written = await scope.deps.writer.write(scope.lease, { ...what, events });
  scope.lastInputSequence = written.lastInputSequence;
  if (events.length > 0) scope.ownLogs.push(written.log);
  // The write has set both back on the run's row: failures are counted since the last checkpoint.
  if (what.steps !== undefined && what.steps.length > 0)
    Object.assign(scope.run, { takeovers: 0, retries: 0 });
  return written;
}
