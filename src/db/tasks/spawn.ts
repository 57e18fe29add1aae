/**
 * Subagents: a session of its own for a piece of work, and the task that says how it stands. Ids follow from the
 * call's key, and the message is sent under it, so that a call that is repeated comes to the same session, the same
 * turn and the same task.
 */
import { UserError } from "../../base/errors.ts";
import { newEventIdHead, newId } from "../../base/id.ts";
import { preview, toJsonText, wellFormed } from "../../base/json.ts";
import type { CapabilityConfig } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import type { SpawnAgent, Spawned, TaskStore } from "../../contract/task-store.ts";
import { acceptMessage } from "../accept.ts";
import { agentForSession } from "../agents/agent-versions.ts";
import { type AgentRow, findAgent } from "../agents/agents.ts";
import { harnessChains } from "../agents/harnesses.ts";
import type { Hints } from "../hints.ts";
import type { Db } from "../pool.ts";
import { createSession, findSession, type SessionFields, type SessionRow } from "../session-rows.ts";
import { asRetryable, isUniqueViolation } from "../sqlstate.ts";
import { inheritedGuards } from "./_guarding.ts";
import { resultOf } from "./settle.ts";
import { TASK_COLUMNS, type TaskRow, taskToWire } from "./tasks.ts";

interface Scope {
  organizationId: string;
  sessionId: string;
  /** Of the turn that hands out. */
  capabilities: readonly CapabilityConfig[];
}

/** The store of each session. */
export function createTaskStores(db: Db, hints: Pick<Hints, "publish">) {
  return (scope: Scope): TaskStore => ({
    spawnAgent: (spawn) =>
      spawnAgent(db, hints, scope, spawn).catch((error) => {
        throw asRetryable(error);
      }),
  });
}

async function spawnAgent(
  db: Db,
  hints: Pick<Hints, "publish">,
  scope: Scope,
  spawn: SpawnAgent,
): Promise<Spawned> {
  const hex = new Bun.CryptoHasher("sha256").update(spawn.idempotencyKey).digest("hex").slice(0, 32);
  const taskId = `task_${hex}`;
  const known = await adopt(db, scope, taskId, spawn);
  if (known !== null) return known;

  const parent = await findSession(db, scope.organizationId, scope.sessionId);
  if (!parent) throw new UserError("not_found", "the session does not exist any more");
  const parentIds = await parentsOfChild(db, scope.sessionId);
  const childId = `session_${hex}`;
  await openChild(db, parent, { ...spawn, childId, parentIds, capabilities: scope.capabilities });
  const accepted = await acceptMessage(db, messageTo(scope, childId, taskId, spawn));
  if (!("turnId" in accepted)) throw new Error(`${childId}: a subagent's session was ${accepted.outcome}`);
  await insertTask(db, scope, {
    taskId,
    childId,
    childRunId: accepted.turnId,
    root: parentIds[0] ?? "",
    spawn,
  });
  hints.publish({ sessions: [scope.sessionId, childId], isQueued: true });
  return { outcome: "running", taskId };
}

/** The call came to its task before: the run that makes it now is the one that waits. */
async function adopt({ sql }: Db, scope: Scope, taskId: string, spawn: SpawnAgent): Promise<Spawned | null> {
  const rows = await sql<TaskRow[]>`
    update session_tasks set run_id = ${spawn.turnId}
     where id = ${taskId} and session_id = ${scope.sessionId} and organization_id = ${scope.organizationId}
    returning ${sql(TASK_COLUMNS)}`;
  const task = rows[0];
  if (!task) return null;
  if (task.finished_at === null) return { outcome: "running", taskId };
  const { ok, text } = await resultOf({ sql } as Db, task);
  return { outcome: "ended", isSuccess: ok, text };
}

/** @throws UserError limit_exceeded */
async function parentsOfChild({ sql }: Db, sessionId: string): Promise<string[]> {
  const rows = await sql<{ parent_ids: string[] | null; open: number }[]>`
    select parent_ids, (select count(*) from session_tasks where session_id = sessions.id and finished_at is null) as open
      from sessions where id = ${sessionId}`;
  const parents = rows[0]?.parent_ids ?? [];
  if (parents.length >= limits.subagentDepthMax) {
    throw new UserError("limit_exceeded", "a subagent of a subagent hands nothing out: do the work yourself");
  }
  if ((rows[0]?.open ?? 0) >= limits.openTasksPerSession) {
    throw new UserError(
      "limit_exceeded",
      `${limits.openTasksPerSession} subagents are at work already; wait for one`,
    );
  }
  return [...parents, sessionId];
}

async function openChild(
  db: Db,
  parent: SessionRow,
  child: SpawnAgent & Pick<Scope, "capabilities"> & { childId: string; parentIds: readonly string[] },
): Promise<void> {
  const agent = child.agent === null ? null : await activeAgent(db, parent.organization_id, child.agent);
  const fields: SessionFields = {
    ...(agent === null
      ? likeParent(parent)
      : ofAgent(
          agent,
          inheritedGuards(child.capabilities, await layersOf(db, parent.organization_id, agent)),
        )),
    workspace_id: parent.workspace_id,
    owner_principal_id: parent.owner_principal_id,
    title: wellFormed(child.title),
    locale: parent.locale,
    hints: null,
    // Nobody looks at its stream to run them.
    tools: [],
    initial_files: [],
    network_access: { allowed: [...child.network.allowed], blocked: [...child.network.blocked] },
    default_delivery: null,
    tags: [],
  };
  try {
    const created = await createSession(db, {
      organizationId: parent.organization_id,
      id: child.childId,
      fields,
    });
    if (!created) throw new UserError("conflict", "the session's workspace is archived");
  } catch (error) {
    // An earlier try had come this far.
    if (!isUniqueViolation(error)) throw error;
  }
  await db.sql`
    update sessions set parent_ids = ${[...child.parentIds]}::text[] where id = ${child.childId} and parent_ids is null`;
}

/** As new sessions use it. @throws UserError not_found */
async function activeAgent(db: Db, organizationId: string, ref: string): Promise<AgentRow> {
  const agent = await findAgent(db, organizationId, ref);
  if (agent?.status === "active") return agentForSession(db, organizationId, agent);
  throw new UserError("not_found", `there is no active agent ${ref}`);
}

type Own = Pick<
  SessionFields,
  | "harness_id"
  | "agent_id"
  | "agent_version_id"
  | "model_id"
  | "system_prompt"
  | "capabilities"
  | "mcp_servers"
  | "parallel_tool_calls"
  | "max_iterations"
>;

function likeParent(parent: SessionRow): Own {
  const { harness_id, agent_id, agent_version_id, model_id, system_prompt, capabilities } = parent;
  const { mcp_servers, parallel_tool_calls, max_iterations } = parent;
  return {
    ...{ harness_id, agent_id, agent_version_id, model_id, system_prompt, capabilities },
    ...{ mcp_servers, parallel_tool_calls, max_iterations },
  };
}

/** Nearest first. */
async function layersOf(db: Db, organizationId: string, agent: AgentRow): Promise<CapabilityConfig[][]> {
  const chain = (await harnessChains(db, organizationId, [agent.harness_id])).get(agent.harness_id) ?? [];
  return [agent, ...chain].map(({ capabilities }) => capabilities);
}

function ofAgent(agent: AgentRow, capabilities: CapabilityConfig[]): Own {
  return {
    harness_id: agent.harness_id,
    agent_id: agent.id,
    agent_version_id: agent.default_version_id,
    model_id: null,
    system_prompt: null,
    capabilities,
    mcp_servers: {},
    parallel_tool_calls: null,
    max_iterations: null,
  };
}

function messageTo({ organizationId }: Scope, childId: string, taskId: string, spawn: SpawnAgent) {
  return {
    organizationId,
    sessionId: childId,
    message: {
      id: newId("message"),
      role: "user" as const,
      content: [{ type: "text" as const, text: wellFormed(spawn.task) }],
      created_at: new Date().toISOString(),
      metadata: { source: "task", task_id: taskId },
    },
    controls: null,
    metadata: null,
    tags: null,
    clientMessageId: taskId,
    delivery: null,
    priority: 0,
    preview: preview(spawn.task, limits.previewChars),
  };
}

/** With its event in the log of the session that hands it out; once. */
async function insertTask(
  { sql }: Db,
  scope: Scope,
  input: { taskId: string; childId: string; childRunId: string; root: string; spawn: SpawnAgent },
): Promise<void> {
  const { spawn, taskId } = input;
  const now = new Date();
  const task: TaskRow = {
    id: taskId,
    organization_id: scope.organizationId,
    session_id: scope.sessionId,
    root_session_id: input.root,
    kind: "subagent",
    display_name: wellFormed(spawn.title),
    state: "running",
    spec: { task: spawn.task, ...(spawn.agent === null ? {} : { agent: spawn.agent }) },
    wake_policy: "on_terminal",
    run_id: spawn.turnId,
    tool_call_id: spawn.toolCallId,
    child_session_id: input.childId,
    child_run_id: input.childRunId,
    summary: null,
    error: null,
    cancel_requested_at: null,
    started_at: now,
    finished_at: null,
    created_at: now,
    updated_at: now,
  };
  await sql`
    with session as materialized (
      select id, last_sequence from sessions where id = ${scope.sessionId} for no key update
    ), task as (
      insert into session_tasks (id, organization_id, session_id, root_session_id, kind, display_name, state, spec,
                                 run_id, tool_call_id, child_session_id, child_run_id, started_at, created_at, updated_at)
      select ${task.id}, ${task.organization_id}, session.id, ${task.root_session_id}, ${task.kind},
             ${task.display_name}, ${task.state}, ${toJsonText(task.spec)}::text::jsonb, ${task.run_id},
             ${task.tool_call_id}, ${task.child_session_id}, ${task.child_run_id}, ${now}, ${now}, ${now}
        from session
      on conflict (id) do nothing
      returning session_id
    ), counted as (
      update sessions set last_sequence = sessions.last_sequence + 1 from task where sessions.id = task.session_id
    )
    insert into events (session_id, sequence, id, type, context, data)
    select session.id, session.last_sequence + 1,
           ${newEventIdHead()} || lpad(to_hex(session.last_sequence + 1), 10, '0'), 'task.created',
           jsonb_build_object('turn_id', ${task.run_id}::text, 'trace_id', ${task.run_id}::text),
           ${toJsonText({ task: taskToWire(task) })}::text::jsonb
      from session join task on task.session_id = session.id`;
}
