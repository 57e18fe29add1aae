/** Rows of tasks and of the messages to them. */
import { newEventIdHead, newId } from "../../base/id.ts";
import { toJsonText } from "../../base/json.ts";
import type {
  SESSION_TASK_KINDS,
  SessionTask,
  SessionTaskState,
  TaskMessage,
  TaskMessagePart,
} from "../../contract/task.ts";
import type { Db, Sql } from "../pool.ts";

export interface TaskRow {
  id: string;
  organization_id: string;
  session_id: string;
  root_session_id: string;
  kind: (typeof SESSION_TASK_KINDS)[number];
  display_name: string;
  state: SessionTaskState;
  spec: Record<string, unknown>;
  wake_policy: "silent" | "on_terminal" | "on_activity";
  run_id: string;
  tool_call_id: string;
  child_session_id: string;
  child_run_id: string;
  summary: string | null;
  error: { kind: string; message: string } | null;
  cancel_requested_at: Date | null;
  started_at: Date;
  finished_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

export const TASK_COLUMNS = [
  "id",
  "organization_id",
  "session_id",
  "root_session_id",
  "kind",
  "display_name",
  "state",
  "spec",
  "wake_policy",
  "run_id",
  "tool_call_id",
  "child_session_id",
  "child_run_id",
  "summary",
  "error",
  "cancel_requested_at",
  "started_at",
  "finished_at",
  "created_at",
  "updated_at",
] as const;

export function taskToWire(row: TaskRow): SessionTask {
  return {
    id: row.id,
    session_id: row.session_id,
    kind: row.kind,
    display_name: row.display_name,
    state: row.state,
    spec: row.spec,
    wake_policy: row.wake_policy,
    links: { child_session_id: row.child_session_id },
    ...(row.summary === null ? {} : { summary: row.summary }),
    ...(row.error === null ? {} : { error: row.error }),
    ...(row.cancel_requested_at === null
      ? {}
      : { cancel_requested_at: row.cancel_requested_at.toISOString() }),
    started_at: row.started_at.toISOString(),
    ...(row.finished_at === null ? {} : { finished_at: row.finished_at.toISOString() }),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

export interface TaskFilter {
  state: SessionTaskState | null;
  kind: string | null;
  /** null: of all sessions. */
  sessionId: string | null;
  rootSessionId: string | null;
  createdAfter: Date | null;
}

/** Tasks of a deleted session are not shown any more. */
const isShown = ({ sql }: Pick<Db, "sql">) =>
  sql`exists (select from sessions s where s.id = session_tasks.session_id and s.deleted_at is null)`;

/** Newest first. */
export async function listTasks(
  { sql }: Db,
  organizationId: string,
  filter: TaskFilter,
  limit: number,
): Promise<TaskRow[]> {
  const when = (value: unknown, condition: ReturnType<Sql>) => (value === null ? sql`true` : condition);
  return await sql<TaskRow[]>`
    select ${sql(TASK_COLUMNS)} from session_tasks
     where organization_id = ${organizationId} and ${isShown({ sql })}
       and ${when(filter.sessionId, sql`session_id = ${filter.sessionId}`)}
       and ${when(filter.rootSessionId, sql`root_session_id = ${filter.rootSessionId}`)}
       and ${when(filter.state, sql`state = ${filter.state}`)}
       and ${when(filter.kind, sql`kind = ${filter.kind}`)}
       and ${when(filter.createdAfter, sql`created_at > ${filter.createdAfter}`)}
     order by created_at desc, id desc
     limit ${limit}`;
}

export interface TaskRef {
  organizationId: string;
  sessionId: string;
  taskId: string;
}

export async function findTask({ sql }: Db, ref: TaskRef): Promise<TaskRow | null> {
  const rows = await sql<TaskRow[]>`
    select ${sql(TASK_COLUMNS)} from session_tasks
     where id = ${ref.taskId} and session_id = ${ref.sessionId} and organization_id = ${ref.organizationId}
       and ${isShown({ sql })}`;
  return rows[0] ?? null;
}

/** Notes that the task is to be cancelled; one that has ended stays as it is. @returns null when there is none */
export async function requestTaskCancel({ sql }: Db, ref: TaskRef): Promise<TaskRow | null> {
  const rows = await sql<TaskRow[]>`
    update session_tasks
       set cancel_requested_at = case when finished_at is null then coalesce(cancel_requested_at, now())
                                      else cancel_requested_at end,
           updated_at = case when finished_at is null then now() else updated_at end
     where id = ${ref.taskId} and session_id = ${ref.sessionId} and organization_id = ${ref.organizationId}
       and ${isShown({ sql })}
    returning ${sql(TASK_COLUMNS)}`;
  return rows[0] ?? null;
}

interface TaskMessageRow {
  id: string;
  task_id: string;
  direction: "inbound" | "outbound";
  content: TaskMessagePart[];
  in_reply_to: string | null;
  created_at: Date;
}

/** Oldest first. @param after  a message's id; null from the first */
export async function listTaskMessages(
  { sql }: Db,
  taskId: string,
  page: { after: string | null; limit: number },
): Promise<TaskMessage[]> {
  const rows = await sql<TaskMessageRow[]>`
    select id, task_id, direction, content, in_reply_to, created_at from task_messages
     where task_id = ${taskId} and (${page.after}::text is null or id > ${page.after})
     order by id limit ${page.limit}`;
  return rows.map(({ in_reply_to, created_at, ...row }) => ({
    ...row,
    ...(in_reply_to === null ? {} : { in_reply_to }),
    created_at: created_at.toISOString(),
  }));
}

/** Stores a message to a task, and says so in the log of the session that handed it out. */
export async function addTaskMessage(
  { sql }: Db,
  task: TaskRow,
  input: { content: readonly TaskMessagePart[]; inReplyTo: string | null; now: Date },
): Promise<TaskMessage> {
  const message: TaskMessage = {
    id: newId("tmsg"),
    task_id: task.id,
    direction: "inbound",
    content: [...input.content],
    ...(input.inReplyTo === null ? {} : { in_reply_to: input.inReplyTo }),
    created_at: input.now.toISOString(),
  };
  await sql`
    with session as (
      update sessions set last_sequence = last_sequence + 1 where id = ${task.session_id} returning id, last_sequence
    ), stored as (
      insert into task_messages (id, task_id, direction, content, in_reply_to, created_at)
      values (${message.id}, ${task.id}, 'inbound', ${toJsonText(message.content)}::text::jsonb,
              ${input.inReplyTo}, ${input.now})
    )
    insert into events (session_id, sequence, id, type, data)
    select id, last_sequence, ${newEventIdHead()} || lpad(to_hex(last_sequence), 10, '0'), 'task.message.sent',
           ${toJsonText({ task_id: task.id, message })}::text::jsonb
      from session`;
  return message;
}
