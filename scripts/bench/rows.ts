/** Rows to work on, written in bulk as acceptance would have written them one by one. */
import { newEventIdHead, newId } from "../../src/base/id.ts";
import { type Accepted, type AcceptInput, acceptMessage } from "../../src/db/accept.ts";
import type { Db } from "../../src/db/pool.ts";

export const ORGANIZATION = "org_00000000000000000000000000000001";
const HARNESS = "harness_00000000000000000000000000000002";
const CHUNK = 5_000;

/** About 900 bytes: with its keys a step's result is about 1 KB. */
export const FILL = "abcdefghijklmnopqrstuvwxyz0123456789".repeat(25);

export async function newSessions({ sql }: Db, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newId("session"));
  for (let at = 0; at < count; at += CHUNK) {
    await sql`
      insert into sessions (id, organization_id, harness_id, workspace_id, owner_principal_id)
      select id, ${ORGANIZATION}, ${HARNESS}, replace(id, 'session_', 'wsp_'), 'principal_bench'
        from unnest(${ids.slice(at, at + CHUNK)}::text[]) id`;
  }
  return ids;
}

/** Sessions with one queued run each. @returns the runs' ids */
export async function queueRuns(db: Db, count: number, text: string): Promise<string[]> {
  const sessions = await newSessions(db, count);
  const runs: string[] = [];
  for (let at = 0; at < count; at += CHUNK) {
    const chunk = sessions.slice(at, at + CHUNK);
    const ids = chunk.map(() => newId("turn"));
    runs.push(...ids);
    await db.sql`
      with run as (
        insert into runs (id, organization_id, session_id, input_message_id, input_sequence)
        select run_id, ${ORGANIZATION}, session_id, 'message_' || right(run_id, 32), 1
          from unnest(${ids}::text[], ${chunk}::text[]) as t(run_id, session_id)
      ), activated as (
        update sessions set last_sequence = 2, last_input_sequence = 1, status = 'active', active_run_id = t.run_id
          from unnest(${ids}::text[], ${chunk}::text[]) as t(run_id, session_id) where id = t.session_id
      )
      insert into events (session_id, sequence, id, type, context, data)
      select t.session_id, n, ${newEventIdHead()} || lpad(to_hex(n), 10, '0'),
             case n when 1 then 'input.message' else 'session.activated' end,
             jsonb_build_object('turn_id', t.run_id),
             case n when 1 then jsonb_build_object('message', jsonb_build_object(
               'id', 'message_' || right(t.run_id, 32), 'role', 'user', 'created_at', now(),
               'content', jsonb_build_array(jsonb_build_object('type', 'text', 'text', ${text}::text))))
             else jsonb_build_object('turn_id', t.run_id) end
        from unnest(${ids}::text[], ${chunk}::text[]) as t(run_id, session_id), generate_series(1, 2) n`;
  }
  return runs;
}

/** One message, through the statement that the API uses. */
export function send(db: Db, sessionId: string, text: string): Promise<Accepted> {
  return acceptMessage(db, messageTo(sessionId, text));
}

export function messageTo(sessionId: string, text: string): AcceptInput {
  return {
    organizationId: ORGANIZATION,
    sessionId,
    message: {
      id: newId("message"),
      role: "user",
      content: [{ type: "text", text }],
      created_at: new Date().toISOString(),
    },
    controls: null,
    metadata: null,
    tags: null,
    clientMessageId: null,
    delivery: "reject",
    priority: 0,
    preview: text,
  };
}

/** The simulated model as the organization's default. */
export async function seedModel({ sql }: Db): Promise<void> {
  const [provider, model] = [newId("prov"), newId("model")];
  await sql`insert into providers (id, organization_id, name, provider_type)
            values (${provider}, ${ORGANIZATION}, 'Simulated', 'llmsim')`;
  await sql`insert into models (id, organization_id, provider_id, model_id, display_name)
            values (${model}, ${ORGANIZATION}, ${provider}, 'llmsim', 'llmsim')`;
  await sql`update organizations set default_model_id = ${model} where id = ${ORGANIZATION}`;
}

export async function ended({ sql }: Db): Promise<number> {
  const rows = await sql<
    { count: number }[]
  >`select count(*) as count from runs where finished_at is not null`;
  return rows[0]?.count ?? 0;
}

/** Deadlocks that PostgreSQL has broken in this database; there must be none. */
export async function deadlocks({ sql }: Db): Promise<number> {
  const rows = await sql<{ deadlocks: number }[]>`
    select deadlocks from pg_stat_database where datname = current_database()`;
  return rows[0]?.deadlocks ?? 0;
}
