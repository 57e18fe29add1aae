/**
 * Who takes part in a session. Its agent and its owner do so from the beginning without a row: every session has
 * them, and most have nobody else. They have ids all the same, made from the session's.
 */
import { newId } from "../base/id.ts";
import type { Db, Sql } from "./pool.ts";

export interface ParticipantRow {
  id: string;
  session_id: string;
  kind: "agent" | "user";
  role: "host" | "member";
  principal_id: string;
  agent_id: string | null;
  joined_at: Date;
  left_at: Date | null;
}

interface SessionRef {
  organizationId: string;
  sessionId: string;
}

const COLUMNS = (sql: Sql) => sql`id, session_id, kind, role, principal_id, agent_id, joined_at, left_at`;

/** Everybody, those who left too, in the order in which they came. */
const everybody = (sql: Sql, { organizationId, sessionId }: SessionRef) => sql`
  session as materialized (
    select id, agent_id, owner_principal_id, created_at from sessions
     where id = ${sessionId} and organization_id = ${organizationId} and deleted_at is null
  ), stored as materialized (
    select ${COLUMNS(sql)} from session_participants
     where session_id = ${sessionId} and organization_id = ${organizationId}
  ), everybody as materialized (
    select * from stored
    union all
    select id, session_id, kind, role, principal_id, agent_id, joined_at, null::timestamptz
      from (
        select 'part_' || md5(id || ':agent') as id, id as session_id, 'agent' as kind, 'host' as role,
               owner_principal_id as principal_id, agent_id, created_at as joined_at
          from session where agent_id is not null
        union all
        select 'part_' || md5(id || ':owner'), id, 'user', case when agent_id is null then 'host' else 'member' end,
               owner_principal_id, null, created_at
          from session
      ) born
     where born.id not in (select id from stored)
  )`;

/** @returns null when there is no such session */
export async function listParticipants(
  { sql }: Db,
  ref: SessionRef & { limit: number },
): Promise<ParticipantRow[] | null> {
  const rows = await sql<ParticipantRow[]>`
    with ${everybody(sql, ref)}
    select ${COLUMNS(sql)} from everybody where exists (select from session)
     order by joined_at, role, id
     limit ${ref.limit}`;
  // The owner takes part in every session.
  return rows.length === 0 ? null : rows;
}

/** @returns null when nobody of that id takes part, or ever did */
export async function findParticipant(
  { sql }: Db,
  input: SessionRef & { participantId: string },
): Promise<ParticipantRow | null> {
  const rows = await sql<ParticipantRow[]>`
    with ${everybody(sql, input)}
    select ${COLUMNS(sql)} from everybody where id = ${input.participantId} and exists (select from session)`;
  return rows[0] ?? null;
}

export type Joined =
  | { outcome: "joined" | "present"; participant: ParticipantRow }
  | { outcome: "not_found" }
  | { outcome: "full" };

/**
 * Lets an agent or a user take part.
 *
 * @param input.principalId  the user; of an agent, who brings it
 * @param input.max          participants of a session, those who left too
 */
export async function addParticipant(
  db: Db,
  input: SessionRef & { agentId: string | null; principalId: string; max: number },
): Promise<Joined> {
  const { sql } = db;
  const kind = input.agentId === null ? "user" : "agent";
  const [seen] = await sql<(ParticipantRow & { count: number; is_present: boolean })[]>`
    with ${everybody(sql, input)}
    select ${COLUMNS(sql)}, count, is_present from (
      select everybody.*, count(*) over () as count,
             left_at is null and kind = ${kind}
               and coalesce(agent_id, principal_id) = ${input.agentId ?? input.principalId} as is_present
        from everybody where exists (select from session)
    ) seen
     order by is_present desc
     limit 1`;
  if (!seen) return { outcome: "not_found" };
  const { count, is_present, ...participant } = seen;
  if (is_present) return { outcome: "present", participant };
  if (count >= input.max) return { outcome: "full" };
  const [joined] = await sql<ParticipantRow[]>`
    insert into session_participants (id, session_id, organization_id, kind, role, principal_id, agent_id)
    values (${newId("part")}, ${input.sessionId}, ${input.organizationId}, ${kind}, 'member', ${input.principalId},
            ${input.agentId})
    on conflict do nothing
    returning ${COLUMNS(sql)}`;
  if (joined) return { outcome: "joined", participant: joined };
  // Another request for the same was faster.
  return addParticipant(db, input);
}

export type Left =
  | { outcome: "left"; participant: ParticipantRow }
  | { outcome: "not_found" }
  | { outcome: "host" };

/** Who has left already stays as they are. The host stays as long as the session. */
export async function leaveSession(db: Db, input: SessionRef & { participantId: string }): Promise<Left> {
  const found = await findParticipant(db, input);
  if (!found) return { outcome: "not_found" };
  if (found.role === "host") return { outcome: "host" };
  const { sql } = db;
  const [left] = await sql<ParticipantRow[]>`
    insert into session_participants (id, session_id, organization_id, kind, role, principal_id, agent_id, joined_at,
                                      left_at)
    values (${found.id}, ${found.session_id}, ${input.organizationId}, ${found.kind}, ${found.role},
            ${found.principal_id}, ${found.agent_id}, ${found.joined_at}, now())
    on conflict (id) do update
      set left_at = coalesce(session_participants.left_at, excluded.left_at)
    returning ${COLUMNS(sql)}`;
  return left ? { outcome: "left", participant: left } : { outcome: "not_found" };
}
