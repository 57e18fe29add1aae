/**
 * The usual case of acceptance, grouped: messages to sessions at rest, of many callers at the same moment, start
 * their turns in one statement with one commit. Whatever is not so simple is left as it is, for `accept.ts` to decide.
 */
import { newEventIdHead, newId } from "../base/id.ts";
import { parseLikeJsonb, toJsonText, wellFormed } from "../base/json.ts";
import type { Event, EventType } from "../contract/event.ts";
import { createGrouping } from "./_grouping.ts";
import { toEvent } from "./_log-rows.ts";
import type { AcceptInput } from "./accept.ts";
import type { WrittenLog } from "./hints.ts";
import type { Db } from "./pool.ts";

export interface StartedTurn {
  turnId: string;
  /** Of the message. */
  sequence: number;
  /** What the session's log has grown by. */
  log: WrittenLog;
}

const GROUP_MAX = 100;

/**
 * @returns null when nothing was written: the session is busy or has a queue, is not there, or has another message in the same group
 */
export const startTurn: (db: Db, input: AcceptInput) => Promise<StartedTurn | null> = createGrouping({
  groupMax: GROUP_MAX,
  answer: startTurns,
});

/** A message with everything that its rows are made of. */
interface Start {
  input: AcceptInput;
  turnId: string;
  heads: [message: string, activated: string];
  message: string;
  metadata: string | null;
}

interface StartedRow {
  place: number;
  sequence: number;
  ts: Date;
}

async function startTurns(
  { sql }: Db,
  inputs: readonly AcceptInput[],
): Promise<readonly (StartedTurn | null)[]> {
  const places = firstOfEachSession(inputs);
  const starts = places.map((place) => toStart(inputs[place] as AcceptInput));
  const each = <T>(pick: (start: Start) => T) => starts.map(pick);
  const rows = await sql<StartedRow[]>`
    with asked as materialized (
      select * from unnest(
        ${each((one) => one.input.sessionId)}::text[], ${each((one) => one.input.organizationId)}::text[],
        ${each((one) => one.turnId)}::text[], ${each((one) => one.input.message.id)}::text[],
        ${each((one) => one.message)}::text[],
        ${each((one) => (one.input.controls === null ? null : toJsonText(one.input.controls)))}::text[],
        ${each((one) => one.metadata)}::text[],
        ${each((one) => (one.input.tags === null ? null : toJsonText(one.input.tags)))}::text[],
        ${each((one) => wellFormed(one.input.preview))}::text[], ${each((one) => one.heads[0])}::text[],
        ${each((one) => one.heads[1])}::text[], ${each((one) => one.input.priority)}::int[],
        ${each((one) => one.input.agentId ?? null)}::text[], ${places}::int[]
      ) as a(session_id, organization_id, turn_id, message_id, message, controls, metadata, tags, preview,
             message_head, activated_head, priority, addressed_agent_id, place)
    ), session as materialized (
      select asked.*, coalesce(asked.addressed_agent_id, s.agent_id) as agent_id, s.last_sequence + 1 as sequence
        from asked
        join sessions s on s.id = asked.session_id
       where s.organization_id = asked.organization_id and s.deleted_at is null and s.active_run_id is null
         and s.queue_length = 0
       order by s.id
         for no key update of s
    ), started as materialized (
      select session.*, clock_timestamp() as ts,
             jsonb_build_object('turn_id', turn_id, 'input_message_id', message_id, 'trace_id', turn_id) as context
        from session
    ), run as (
      insert into runs (id, organization_id, session_id, agent_id, input_message_id, input_sequence, priority, controls)
      select turn_id, organization_id, session_id, agent_id, message_id, sequence, priority, controls::jsonb
        from started
    ), activated as (
      update sessions
         set last_sequence = started.sequence + 1,
             last_input_sequence = started.sequence,
             active_run_id = started.turn_id,
             status = 'active',
             preview = started.preview,
             started_at = coalesce(sessions.started_at, now()),
             updated_at = now()
        from started where sessions.id = started.session_id
    ), logged as (
      insert into events (session_id, sequence, id, type, ts, context, data, metadata, tags)
      select session_id, sequence, message_head || lpad(to_hex(sequence), 10, '0'), 'input.message', ts, context,
             jsonb_build_object('message', message::jsonb), metadata::jsonb,
             case when tags is not null
                  then array(select tag from jsonb_array_elements_text(tags::jsonb) tag) end
        from started
      union all
      select session_id, sequence + 1, activated_head || lpad(to_hex(sequence + 1), 10, '0'), 'session.activated', ts,
             context, jsonb_build_object('turn_id', turn_id, 'input_message_id', message_id), null, null
        from started
    )
    select place, sequence, ts from started`;
  const found = new Map(rows.map((row) => [row.place, row]));
  const answers: (StartedTurn | null)[] = inputs.map(() => null);
  for (const [index, place] of places.entries()) {
    const row = found.get(place);
    const start = starts[index] as Start;
    if (row) {
      const log = { after: row.sequence - 1, events: () => eventsOf(start, row) };
      answers[place] = { turnId: start.turnId, sequence: row.sequence, log };
    }
  }
  return answers;
}

/** A session takes one message of a group: the next finds it busy. */
function firstOfEachSession(inputs: readonly AcceptInput[]): number[] {
  const seen = new Set<string>();
  return inputs.flatMap(({ sessionId }, place) => {
    if (seen.has(sessionId)) return [];
    seen.add(sessionId);
    return [place];
  });
}

function toStart(input: AcceptInput): Start {
  return {
    input,
    turnId: newId("turn"),
    heads: [newEventIdHead(), newEventIdHead()],
    message: toJsonText(input.message),
    metadata: input.metadata === null ? null : toJsonText(input.metadata),
  };
}

/** The two events as a reader of the log would find them. */
function eventsOf({ input, turnId, heads, message, metadata }: Start, { sequence, ts }: StartedRow): Event[] {
  const ids = { turn_id: turnId, input_message_id: input.message.id };
  const row = (index: 0 | 1, type: EventType) => ({
    id: heads[index] + (sequence + index).toString(16).padStart(10, "0"),
    type,
    ts,
    session_id: input.sessionId,
    sequence: sequence + index,
    context: parseLikeJsonb(JSON.stringify({ ...ids, trace_id: turnId })) as Record<string, unknown>,
  });
  return [
    toEvent({
      ...row(0, "input.message"),
      data: parseLikeJsonb(`{"message":${message}}`),
      metadata: metadata === null ? null : (parseLikeJsonb(metadata) as Record<string, unknown>),
      tags: input.tags === null ? null : [...input.tags],
    }),
    toEvent({
      ...row(1, "session.activated"),
      data: parseLikeJsonb(JSON.stringify(ids)),
      metadata: null,
      tags: null,
    }),
  ];
}
