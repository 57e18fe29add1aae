import type { Db } from "./pool.ts";

/** What is stored of an answer whose model call was announced and never came to an end. */
export interface PartialAnswer {
  execId: string;
  messageId: string;
  /** The vendor's name of the model that was speaking. */
  model: string | null;
  /** The answer as far as its deltas were stored; may be empty. */
  text: string;
  /** True when thinking was streamed, too. */
  hasThought: boolean;
  /** Of its `output.message.started`: what came later the model had not seen. */
  startedSequence: number;
}

/**
 * The newest announced answer of a turn, if it belongs to this iteration and its call did not end: its worker died.
 * For a run that is taken up again; the caller holds its lease, so nothing of the old attempt can follow.
 */
export async function readPartialAnswer(
  { sql }: Db,
  run: { id: string; session_id: string; input_sequence: number },
  iteration: number,
): Promise<PartialAnswer | null> {
  const rows = await sql<PartialAnswer[]>`
    with started as materialized (
      select sequence, context ->> 'exec_id' as exec_id, data
        from events
       where session_id = ${run.session_id} and sequence >= ${run.input_sequence}
         and type = 'output.message.started' and context ->> 'turn_id' = ${run.id}
       order by sequence desc
       limit 1
    ), since as materialized (
      select e.sequence, e.type, e.data
        from events e, started
       where e.session_id = ${run.session_id} and e.sequence > started.sequence
         and e.context ->> 'exec_id' = started.exec_id
         and e.type in ('output.message.delta', 'reason.thinking.started', 'reason.completed')
    )
    select exec_id as "execId", data ->> 'message_id' as "messageId", data ->> 'model' as model,
           coalesce((select string_agg(data ->> 'delta', '' order by sequence) from since
                      where type = 'output.message.delta'), '') as text,
           exists (select from since where type = 'reason.thinking.started') as "hasThought",
           sequence as "startedSequence"
      from started
     where (data ->> 'iteration')::int = ${iteration}
       and not exists (select from since where type = 'reason.completed')`;
  return rows[0] ?? null;
}
