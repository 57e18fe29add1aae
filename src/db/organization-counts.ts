/** How much of something an organization has, counted no further than a caller needs to know. */
import type { Db, Sql } from "./pool.ts";

/** @returns at most `upTo` */
type Count = (db: Db, organizationId: string, upTo: number) => Promise<number>;

const countUpTo = async (sql: Sql, rows: ReturnType<Sql>, upTo: number): Promise<number> => {
  const counted = await sql<{ count: number }[]>`select count(*) as count from (${rows} limit ${upTo}) r`;
  return counted[0]?.count ?? 0;
};

/** Archived agents count: their names are taken, and they come back with one request. */
export const countAgents: Count = ({ sql }, organizationId, upTo) =>
  countUpTo(
    sql,
    sql`select from agents where organization_id = ${organizationId} and status <> 'deleted'`,
    upTo,
  );

export const countSessions: Count = ({ sql }, organizationId, upTo) =>
  countUpTo(
    sql,
    sql`select from sessions where organization_id = ${organizationId} and deleted_at is null`,
    upTo,
  );

/** Turns that a worker has, or that wait for one. Those that wait for a person cost a row and nothing else. */
export const countActiveTurns: Count = ({ sql }, organizationId, upTo) =>
  countUpTo(
    sql,
    sql`(select from runs where organization_id = ${organizationId} and state = 'queued' limit ${upTo})
        union all
        (select from runs where organization_id = ${organizationId} and state = 'running' limit ${upTo})`,
    upTo,
  );

/** Whether a write of this agent would change one that is there. */
export async function agentExists(
  { sql }: Db,
  organizationId: string,
  agent: { id: string | null; name: string },
): Promise<boolean> {
  const rows = await sql`
    select from agents
     where organization_id = ${organizationId} and status <> 'deleted'
       and ${agent.id === null ? sql`name = ${agent.name}` : sql`id = ${agent.id}`}`;
  return rows.length > 0;
}

/** Whether a message would start no turn: it joins or waits for the one that runs, or was taken before. */
export async function startsNoTurn(
  { sql }: Db,
  organizationId: string,
  message: { sessionId: string; clientMessageId: string | null },
): Promise<boolean> {
  const rows = await sql`
    select from sessions s
     where s.id = ${message.sessionId} and s.organization_id = ${organizationId}
       and (s.active_run_id is not null
            or exists (select from accepted_messages m
                        where m.session_id = s.id and m.client_message_id = ${message.clientMessageId}))`;
  return rows.length > 0;
}
