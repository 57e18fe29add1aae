import { newEventIdHead } from "../base/id.ts";
import { limits } from "../contract/limits.ts";
import type { Db } from "./pool.ts";
import { ownWorkspaceId, SESSION_COLUMNS, type SessionRow } from "./session-rows.ts";
import { asRetryable } from "./sqlstate.ts";

export interface ForkInput {
  organizationId: string;
  /** The session to fork. */
  sessionId: string;
  /** Of the new session. */
  id: string;
  ownerPrincipalId: string;
  /** The last event that the fork has in common with the session; null: the newest, of a session at rest. */
  atSequence: number | null;
  /** null: as the session's own. */
  agent: { id: string; versionId: string | null; harnessId: string } | null;
  title: string | null;
  locale: string | null;
  modelId: string | null;
  systemPrompt: string | null;
  tags: readonly string[] | null;
}

export type Forked =
  | { outcome: "forked"; session: SessionRow }
  | { outcome: "not_found" }
  | { outcome: "busy"; turnId: string }
  | { outcome: "beyond_end"; lastSequence: number }
  | { outcome: "too_deep" };

interface ForkRow {
  parent_last_sequence: number;
  parent_active_run_id: string | null;
  parent_depth: number;
}

/** What a turn is ended with in a fork that was made in its middle. */
export const FORKED_MID_TURN = "the session was forked in the middle of this turn";

/**
 * Makes a session that goes on from an event of another one, in one statement and on one snapshot: settings that
 * are not given are the other's, its files (a shared workspace stays shared), values and databases are copied as they are now, its
 * secrets are not, totals begin at zero. Nothing of the other session changes, and it may be busy.
 *
 * A fork in the middle of a turn is whole, too: the turn goes on in the other session and ends here, with
 * `turn.cancelled` and `session.idled` as the fork's first own events.
 *
 * The other session's row is held, so that nobody removes events for good that the fork is about to show (they look
 * for forks under that lock, see `isNeededByFork`). What is read of it is what the statement's snapshot has, row and
 * events alike: a point in time, also when the lock had to be waited for.
 *
 * @throws RetryableError the database could not be reached
 */
export async function forkSession({ sql }: Db, input: ForkInput): Promise<Forked> {
  const workspaceId = ownWorkspaceId(input.id);
  const heads = [newEventIdHead(), newEventIdHead()];
  const rows = await sql<(ForkRow & SessionRow)[]>`
    with held as materialized (
      select id from sessions
       where id = ${input.sessionId} and organization_id = ${input.organizationId} and deleted_at is null
         for share
    ), parent as materialized (
      select *, coalesce(${input.atSequence}::bigint, last_sequence) as at_sequence,
             workspace_id <> 'wsp_' || substring(id from 9) as is_workspace_shared
        from sessions
       where id in (select id from held)
    ), point as materialized (
      select * from parent
       where at_sequence between 1 and last_sequence
         and (${input.atSequence}::bigint is not null or active_run_id is null)
         and coalesce(cardinality(lineage_ids), 0) < ${limits.forkDepthMax}
    ), writer as (
      select w.owner_id, w.up_to, w.n
        from point, unnest(point.lineage_ids, point.lineage_up_to) with ordinality as w(owner_id, up_to, n)
      union all
      select id, last_sequence, ${limits.forkDepthMax + 1} from point
    ), part as materialized (
      select p.owner_id, p.after, least(p.up_to, point.at_sequence) as up_to, p.n
        from point,
             (select owner_id, up_to, n, coalesce(lag(up_to) over (order by n), 0) as after from writer) p
       where p.after < point.at_sequence
    ), mark as materialized (
      select e.type, e.context ->> 'turn_id' as turn_id, e.context
        from part, lateral (
          select sequence, type, context from events
           where session_id = part.owner_id and sequence > part.after and sequence <= part.up_to
             and type in ('session.activated', 'turn.started', 'turn.completed', 'turn.failed', 'turn.cancelled',
                          'turn.sealed', 'session.idled')
           order by sequence desc limit 1) e
       order by e.sequence desc limit 1
    ), input as (
      select max(e.sequence) as sequence
        from part, lateral (
          select sequence from events
           where session_id = part.owner_id and sequence > part.after and sequence <= part.up_to
             and type = 'input.message'
           order by sequence desc limit 1) e
    ), closing as materialized (
      select row_number() over (order by c.n) as n, c.head, c.type, mark.context,
             jsonb_build_object('turn_id', mark.turn_id) || c.data::jsonb as data
        from mark,
             unnest(array[1, 2], ${heads}::text[], array['turn.cancelled', 'session.idled'],
                    array[jsonb_build_object('reason', ${FORKED_MID_TURN}::text)::text, '{}']) as c(n, head, type, data)
       where case when mark.type in ('session.activated', 'turn.started') then true
                  when mark.type = 'session.idled' then false
                  else c.type = 'session.idled' end
    ), fork as (
      insert into sessions (id, organization_id, harness_id, agent_id, agent_version_id, workspace_id, owner_principal_id, title, locale,
                            model_id, system_prompt, capabilities, tools, initial_files, mcp_servers, network_access,
                            hints, parallel_tool_calls, default_delivery, max_iterations, tags, status,
                            last_sequence,
                            last_input_sequence, preview, output_preview, forked_from_session_id,
                            forked_from_sequence, lineage_ids, lineage_up_to)
      select ${input.id}, organization_id, coalesce(${input.agent?.harnessId ?? null}, harness_id),
             coalesce(${input.agent?.id ?? null}, agent_id),
             case when ${input.agent !== null} then ${input.agent?.versionId ?? null} else agent_version_id end,
             case when is_workspace_shared then workspace_id else ${workspaceId} end, ${input.ownerPrincipalId},
             coalesce(${input.title}, title), coalesce(${input.locale}, locale), coalesce(${input.modelId}, model_id),
             coalesce(${input.systemPrompt}, system_prompt), capabilities, tools, initial_files, mcp_servers,
             network_access, hints, parallel_tool_calls, default_delivery, max_iterations,
             coalesce(${input.tags === null ? null : [...input.tags]}::text[], tags),
             case when exists (select from mark) then 'idle' else 'started' end,
             at_sequence + (select count(*) from closing), coalesce((select sequence from input), 0),
             case when at_sequence = last_sequence then preview end,
             case when at_sequence = last_sequence then output_preview end,
             id, at_sequence,
             (select array_agg(owner_id order by n) from part), (select array_agg(up_to order by n) from part)
        from point
      returning ${sql(SESSION_COLUMNS)}
    ), logged as (
      insert into events (session_id, sequence, id, type, context, data)
      select fork.id, point.at_sequence + closing.n,
             closing.head || lpad(to_hex(point.at_sequence + closing.n), 10, '0'), closing.type, closing.context,
             closing.data
        from fork, point, closing
    ), workspace as (
      insert into file_trees (id, organization_id, kind, name, is_session_default, files_version, size_bytes, entry_count)
      select ${workspaceId}, point.organization_id, 'workspace', ${`session-${workspaceId.slice("wsp_".length)}`}, true,
             coalesce(t.files_version, 1), coalesce(t.size_bytes, 0), coalesce(t.entry_count, 0)
        from point left join file_trees t on t.id = point.workspace_id
       where not point.is_workspace_shared
    ), copied as (
      insert into files (tree_id, path, id, organization_id, is_directory, is_readonly, content, hash, size_bytes,
                         created_at, updated_at)
      select ${workspaceId}, f.path, gen_random_uuid(), f.organization_id, f.is_directory, f.is_readonly, f.content,
             f.hash, f.size_bytes, f.created_at, f.updated_at
        from point join files f on f.tree_id = point.workspace_id
       where not point.is_workspace_shared
    ), kept as (
      insert into session_values (session_id, key, organization_id, value, created_at, updated_at)
      select fork.id, v.key, v.organization_id, v.value, v.created_at, v.updated_at
        from fork, point join session_values v on v.session_id = point.id
    ), databases as (
      insert into session_databases (session_id, name, organization_id, content, size_bytes, page_count, tables,
                                     created_at, updated_at)
      select fork.id, d.name, d.organization_id, d.content, d.size_bytes, d.page_count, d.tables, d.created_at,
             d.updated_at
        from fork, point join session_databases d on d.session_id = point.id
    )
    select parent.last_sequence as parent_last_sequence, parent.active_run_id as parent_active_run_id,
           coalesce(cardinality(parent.lineage_ids), 0) as parent_depth, fork.*
      from parent left join fork on true`.catch((error) => {
    throw asRetryable(error);
  });
  const row = rows[0];
  if (!row) return { outcome: "not_found" };
  const { parent_last_sequence: lastSequence, parent_active_run_id: turnId, parent_depth, ...session } = row;
  if (session.id !== null) return { outcome: "forked", session };
  if (parent_depth >= limits.forkDepthMax) return { outcome: "too_deep" };
  if (input.atSequence === null && turnId !== null) return { outcome: "busy", turnId };
  return { outcome: "beyond_end", lastSequence };
}
