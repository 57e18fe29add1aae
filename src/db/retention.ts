/**
 * Retention: what is removed for good, when, and in which portions. Nothing of a session whose turn is queued, running
 * or waiting is touched, and nothing that a fork which is not deleted still shows.
 *
 * Each function is one portion in one transaction: it takes the janitor's lock (one process at a time in this
 * database), locks sessions that nobody else is busy with, and only then looks at what may go, so that it sees what
 * was committed before the lock was its own. A portion removes at most `ROWS_MAX` rows of a kind and says whether
 * there may be more.
 */
import { isNeededByFork } from "./lineage.ts";
import type { Db, TransactionSql } from "./pool.ts";
import { SWEEP_LOCK } from "./sweep.ts";
import { transaction } from "./tx.ts";

const SESSIONS_MAX = 50;
const ROWS_MAX = 5_000;

/** What a portion removed; null: another process is at it. */
export type Portion<T> = (T & { hasMore: boolean }) | null;

async function portion<T>(
  db: Db,
  body: (sql: TransactionSql) => Promise<T & { hasMore: boolean }>,
): Promise<Portion<T>> {
  return transaction(db, async (sql) => {
    const [permit] = await sql<
      { is_mine: boolean }[]
    >`select pg_try_advisory_xact_lock(${SWEEP_LOCK}) as is_mine`;
    return permit?.is_mine === true ? await body(sql) : null;
  });
}

/**
 * Removes the events and steps of turns that ended longer ago than `keepDays`, oldest first: the log of a session
 * keeps its newest part, from the first turn on that must stay. The runs' rows and the session's totals stay.
 *
 * @param input.after  the session that the portion before came to; empty: from the first
 * @returns after      where to go on; empty: all sessions were seen
 */
export function pruneTurns(
  db: Db,
  input: { keepDays: number; after: string },
): Promise<Portion<{ events: number; steps: number; after: string }>> {
  return portion(db, async (sql) => {
    const sessions = await sql<{ id: string }[]>`
      select id from sessions
       where id > ${input.after} and active_run_id is null and deleted_at is null
       order by id
       limit ${SESSIONS_MAX}
         for no key update skip locked`;
    const ids = sessions.map((session) => session.id);
    const before = sql`now() - ${input.keepDays} * interval '1 day'`;
    // From this sequence on everything stays; null: nothing may go.
    const keeps = sql`
      select s.id,
             case when exists (select from runs r where r.session_id = s.id and r.finished_at < ${before})
                  then coalesce((select min(r.input_sequence) from runs r
                                  where r.session_id = s.id and (r.finished_at < ${before}) is not true),
                                s.last_sequence + 1) end as keep_from
        from sessions s
       where s.id = any (${ids}::text[]) and not ${isNeededByFork(sql, sql`s.id`)}`;
    const events = await sql`
      with keeps as materialized (${keeps}), old as materialized (
        select e.session_id, e.sequence
          from keeps, lateral (
            select session_id, sequence from events
             where session_id = keeps.id and sequence < keeps.keep_from and ts < ${before}
             order by sequence limit ${ROWS_MAX}) e
         limit ${ROWS_MAX}
      )
      delete from events e using old where e.session_id = old.session_id and e.sequence = old.sequence
      returning 1`;
    const steps = await sql`
      with keeps as materialized (${keeps}), old as materialized (
        select s.run_id, s.name
          from keeps
          join runs r on r.session_id = keeps.id and r.finished_at < ${before} and r.input_sequence < keeps.keep_from
          join steps s on s.run_id = r.id
         limit ${ROWS_MAX}
      )
      delete from steps s using old where s.run_id = old.run_id and s.name = old.name
      returning 1`;
    const isCut = events.length === ROWS_MAX || steps.length === ROWS_MAX;
    const after = isCut ? input.after : ids.length < SESSIONS_MAX ? "" : (ids.at(-1) ?? "");
    return { events: events.length, steps: steps.length, after, hasMore: after !== "" || isCut };
  });
}

/**
 * Removes deleted sessions for good, some days after they were deleted: events, runs with their steps and waits,
 * remembered messages and the images that were uploaded for them. Their workspaces: `purgeDeletedTrees`.
 */
export function purgeDeletedSessions(
  db: Db,
  input: { keepDays: number },
): Promise<Portion<{ sessions: number; events: number }>> {
  return portion(db, async (sql) => {
    const sessions = await sql<{ id: string }[]>`
      select id from sessions
       where deleted_at < now() - ${input.keepDays} * interval '1 day' and active_run_id is null
         and not ${isNeededByFork(sql, sql`sessions.id`)}
       order by deleted_at
       limit ${SESSIONS_MAX}
         for update skip locked`;
    const ids = sessions.map((session) => session.id);
    const events = await sql`
      with old as materialized (
        select session_id, sequence from events where session_id = any (${ids}::text[]) limit ${ROWS_MAX}
      )
      delete from events e using old where e.session_id = old.session_id and e.sequence = old.sequence
      returning 1`;
    const steps = await sql`
      with old as materialized (
        select s.run_id, s.name from runs r join steps s on s.run_id = r.id
         where r.session_id = any (${ids}::text[]) limit ${ROWS_MAX}
      )
      delete from steps s using old where s.run_id = old.run_id and s.name = old.name
      returning 1`;
    // Runs, their waits and remembered messages go with the row.
    await sql`delete from images where session_id = any (${ids}::text[])`;
    const gone = await sql`
      delete from sessions s
       where s.id = any (${ids}::text[]) and ${steps.length < ROWS_MAX}
         and not exists (select from events e where e.session_id = s.id)
      returning 1`;
    return {
      sessions: gone.length,
      events: events.length,
      hasMore: ids.length === SESSIONS_MAX || gone.length < ids.length,
    };
  });
}

/**
 * Removes workspaces and memories for good, some days after they were deleted, and those that were begun and never
 * had a session. No session that is not deleted has one of them: that was seen to when they were deleted.
 */
export function purgeDeletedTrees(
  db: Db,
  input: { keepDays: number },
): Promise<Portion<{ trees: number; files: number }>> {
  return portion(db, async (sql) => {
    const trees = await sql<{ id: string }[]>`
      select id from file_trees
       where status in ('starting', 'deleted')
         and updated_at < now() - case status when 'starting' then interval '1 hour'
                                              else ${input.keepDays} * interval '1 day' end
       order by updated_at
       limit ${SESSIONS_MAX}
         for update skip locked`;
    const ids = trees.map((tree) => tree.id);
    const files = await sql`
      with old as materialized (
        select tree_id, path from files where tree_id = any (${ids}::text[]) limit ${ROWS_MAX}
      )
      delete from files f using old where f.tree_id = old.tree_id and f.path = old.path
      returning 1`;
    const gone = await sql`
      delete from file_trees t
       where t.id = any (${ids}::text[]) and not exists (select from files f where f.tree_id = t.id)
      returning 1`;
    return {
      trees: gone.length,
      files: files.length,
      hasMore: ids.length === SESSIONS_MAX || gone.length < ids.length,
    };
  });
}

/** Forgets messages by which a repeated POST would be known, of sessions at rest. */
export function forgetMessages(db: Db, input: { keepDays: number }): Promise<Portion<{ messages: number }>> {
  return portion(db, async (sql) => {
    const messages = await sql`
      with old as materialized (
        select a.session_id, a.client_message_id
          from accepted_messages a join sessions s on s.id = a.session_id
         where a.created_at < now() - ${input.keepDays} * interval '1 day' and s.active_run_id is null
         limit ${ROWS_MAX}
      )
      delete from accepted_messages a using old
       where a.session_id = old.session_id and a.client_message_id = old.client_message_id
      returning 1`;
    return { messages: messages.length, hasMore: messages.length === ROWS_MAX };
  });
}
