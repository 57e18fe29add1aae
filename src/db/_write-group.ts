/** The grouped writer's statement: one for the writes of many runs. When it is sent, `writer.ts` decides. */
import { newEventIdHead } from "../base/id.ts";
import { parseLikeJsonb, toJsonText, wellFormed } from "../base/json.ts";
import type { Event, EventType } from "../contract/event.ts";
import { toEvent } from "./_log-rows.ts";
import type { WrittenLog } from "./hints.ts";
import type { Db } from "./pool.ts";
import type { LeaseRef, RunWrite, StepWrite, Written } from "./writer.ts";

/** What one run has to say; a group has at most one of each run. */
export interface RunWriteUnderLease {
  lease: LeaseRef;
  write: RunWrite;
}

interface WrittenRow {
  run_id: string;
  is_ended: boolean;
  last_sequence: number;
  last_input_sequence: number;
  queue_length: number;
  /** Events written. */
  total: number;
  /** Of all of them. */
  ts: Date;
}

/** The events of one write as they go out, and the first part of their ids. */
interface LogTexts {
  /** One for the whole write: the sequence at the end of an id tells its events apart. */
  head: string;
  events: { type: EventType; context: string; data: string }[];
}

function textsOf({ events, ending }: RunWrite): LogTexts {
  return {
    head: newEventIdHead(),
    events: [...events, ...(ending?.events ?? [])].map(({ type, context, data }) => ({
      type,
      context: toJsonText(context ?? {}),
      data: toJsonText(data),
    })),
  };
}

/**
 * Writes for each run that still carries its epoch under a live lease, and that has not stored one of the steps.
 *
 * @returns what was written, by run; a run that was refused is missing
 */
export async function writeGroup(
  { sql }: Db,
  group: readonly RunWriteUnderLease[],
): Promise<Map<string, Written>> {
  const logs = group.map(({ write }) => textsOf(write));
  const { runs, steps } = toColumns(group, logs);
  const rows = await sql<WrittenRow[]>`
    with input as materialized (
      select * from unnest(
        ${runs.id}::text[], ${runs.sessionId}::text[], ${runs.epoch}::int[], ${runs.events}::int[],
        ${runs.eventHead}::text[], ${runs.eventTypes}::text[], ${runs.eventContexts}::text[],
        ${runs.eventData}::text[],
        ${runs.steps}::int[], ${runs.touches}::int[], ${runs.iterations}::int[],
        ${runs.inputTokens}::bigint[], ${runs.outputTokens}::bigint[], ${runs.cacheRead}::bigint[],
        ${runs.cacheCreation}::bigint[], ${runs.cost}::float8[], ${runs.firstTokenMs}::int[],
        ${runs.hasDeltas}::int[], ${runs.endState}::text[], ${runs.endEvents}::int[], ${runs.seenInput}::bigint[],
        ${runs.errorCode}::text[], ${runs.error}::text[], ${runs.finalMessageId}::text[], ${runs.preview}::text[]
      ) as i(run_id, session_id, epoch, event_count, event_head, event_types, event_contexts, event_data,
             step_count, touches, iterations, input_tokens, output_tokens, cache_read_tokens,
             cache_creation_tokens, cost_usd, first_token_ms, has_deltas, end_state, end_event_count, seen_input, error_code, error, final_message_id, preview)
    ), session as materialized (
      select i.*, s.last_sequence, s.last_input_sequence, s.queue_length
        from input i
        join sessions s on s.id = i.session_id
       order by s.id
         for no key update of s
    ), held as materialized (
      select i.*, i.end_state is not null and (i.seen_input is null or i.last_input_sequence <= i.seen_input) as ends
        from session i
        join runs r on r.id = i.run_id
       -- Only a running run has a lease. Its state is not asked for: the planner would take an index on the running
       -- runs for short, because at times it is, and scan all of it.
       where r.lease_epoch = i.epoch and r.lease_expires_at > now()
       order by r.id
         for no key update of r
    ), stored as (
      insert into steps (run_id, name, kind, tool_name, effect, status, attempt, result, usage, error,
                         started_at, finished_at)
      select s.run_id, s.name, s.kind, s.tool_name, s.effect, s.status, s.attempt, s.result::jsonb,
             s.usage::jsonb, s.error, now() - s.duration_ms * interval '1 millisecond',
             case when s.status = 'settled' then now() end
        from unnest(
          ${steps.runId}::text[], ${steps.name}::text[], ${steps.kind}::text[], ${steps.toolName}::text[],
          ${steps.effect}::text[], ${steps.status}::text[], ${steps.attempt}::int[], ${steps.result}::text[],
          ${steps.usage}::text[], ${steps.error}::text[], ${steps.durationMs}::int[]
        ) as s(run_id, name, kind, tool_name, effect, status, attempt, result, usage, error, duration_ms)
       where (s.run_id in (select held.run_id from held)) is true
      on conflict (run_id, name) do update
         set status = excluded.status, attempt = excluded.attempt, result = excluded.result,
             usage = excluded.usage, error = excluded.error, finished_at = excluded.finished_at
       where steps.status = 'pending' and excluded.status <> 'pending'
      returning run_id
    ), written as materialized (
      select held.*, clock_timestamp() as ts, held.event_count + case when held.ends then held.end_event_count else 0 end as total
        from held
       where held.step_count = 0
          or (held.run_id, held.step_count) in (select stored.run_id, count(*) from stored group by stored.run_id)
    ), advanced as (
      update sessions s
         set last_sequence = s.last_sequence + w.total,
             status = case when w.ends then 'idle' else s.status end,
             active_run_id = case when w.ends then null else s.active_run_id end,
             output_preview = coalesce(case when w.ends then w.preview end, s.output_preview),
             input_tokens = s.input_tokens + w.input_tokens,
             output_tokens = s.output_tokens + w.output_tokens,
             cache_read_tokens = s.cache_read_tokens + w.cache_read_tokens,
             cache_creation_tokens = s.cache_creation_tokens + w.cache_creation_tokens,
             cost_usd = s.cost_usd + w.cost_usd,
             updated_at = now()
        from written w where s.id = w.session_id
    ), settled as (
      update runs r
         set state = case when w.ends then w.end_state else r.state end,
             lease_owner = case when w.ends then null else r.lease_owner end,
             lease_expires_at = case when w.ends then null else r.lease_expires_at end,
             finished_at = case when w.ends then now() end,
             error_code = case when w.ends then w.error_code end,
             error = case when w.ends then w.error end,
             final_message_id = case when w.ends then w.final_message_id end,
             iterations = r.iterations + w.iterations,
             input_tokens = r.input_tokens + w.input_tokens,
             output_tokens = r.output_tokens + w.output_tokens,
             cache_read_tokens = r.cache_read_tokens + w.cache_read_tokens,
             cache_creation_tokens = r.cache_creation_tokens + w.cache_creation_tokens,
             cost_usd = r.cost_usd + w.cost_usd,
             time_to_first_token_ms = coalesce(r.time_to_first_token_ms, w.first_token_ms),
             has_deltas = r.has_deltas or w.has_deltas = 1,
             takeovers = case when w.step_count > 0 then 0 else r.takeovers end,
             retries = case when w.step_count > 0 then 0 else r.retries end
        from written w
       where r.id = w.run_id and (w.touches = 1 or (w.step_count > 0 and r.takeovers + r.retries > 0))
    ), logged as (
      insert into events (session_id, sequence, id, type, ts, context, data)
      select w.session_id, w.last_sequence + e.k, w.event_head || lpad(to_hex(w.last_sequence + e.k), 10, '0'),
             e.type, w.ts, e.context::jsonb, e.data::jsonb
        from written w,
             lateral unnest(string_to_array(w.event_types, E'\\n'), string_to_array(w.event_contexts, E'\\n'),
                            string_to_array(w.event_data, E'\\n')) with ordinality as e(type, context, data, k)
       where e.k <= w.total
    )
    select run_id, ends as is_ended, last_sequence + total as last_sequence, last_input_sequence,
           queue_length, total, ts
      from written`;
  const places = new Map(group.map(({ lease }, place) => [lease.runId, place]));
  return new Map(
    rows.map((row) => {
      const place = places.get(row.run_id) as number;
      const { lease } = group[place] as RunWriteUnderLease;
      const written: Written = {
        lastSequence: row.last_sequence,
        lastInputSequence: row.last_input_sequence,
        isEnded: row.is_ended,
        queueLength: row.queue_length,
        log: toWrittenLog(lease.sessionId, row, logs[place] as LogTexts),
      };
      return [row.run_id, written];
    }),
  );
}

/** The events as a reader of the log would find them. */
function toWrittenLog(sessionId: string, row: WrittenRow, { head, events }: LogTexts): WrittenLog {
  const after = row.last_sequence - row.total;
  let built: Event[] | null = null;
  const build = () =>
    events.slice(0, row.total).map(({ type, context, data }, index) =>
      toEvent({
        id: head + (after + index + 1).toString(16).padStart(10, "0"),
        type,
        ts: row.ts,
        session_id: sessionId,
        sequence: after + index + 1,
        context: parseLikeJsonb(context) as Record<string, unknown>,
        data: parseLikeJsonb(data),
        metadata: null,
        tags: null,
      }),
    );
  return {
    after,
    events() {
      built ??= build();
      return built;
    },
  };
}

/**
 * Rows to columns: unnest of parallel arrays is the fastest way in (nested jsonb cost a fifth of the speed). The
 * events of a run are one text, a line each, because JSON text has no line break of its own: an element of a text
 * array is found by walking over all before it, so that picking events one by one took time with the square of the
 * group. For the same reason the statement joins no two lists of unknown length: the planner takes them for short
 * and loops; `in (select …)` that it cannot turn into a join is looked up in a hash table.
 */
function toColumns(group: readonly RunWriteUnderLease[], logs: readonly LogTexts[]) {
  const stepList: { runId: string; step: StepWrite }[] = [];
  for (const { lease, write } of group) {
    for (const step of write.steps ?? []) stepList.push({ runId: lease.runId, step });
  }
  const lines = (field: keyof LogTexts["events"][number]) =>
    logs.map((log) => log.events.map((event) => event[field]).join("\n"));
  const each = <T>(pick: (one: RunWriteUnderLease) => T) => group.map(pick);
  const eachStep = <T>(pick: (step: StepWrite) => T) => stepList.map(({ step }) => pick(step));
  return {
    runs: {
      id: each((p) => p.lease.runId),
      sessionId: each((p) => p.lease.sessionId),
      epoch: each((p) => p.lease.epoch),
      events: each((p) => p.write.events.length),
      eventHead: logs.map(({ head }) => head),
      eventTypes: lines("type"),
      eventContexts: lines("context"),
      eventData: lines("data"),
      steps: each((p) => p.write.steps?.length ?? 0),
      touches: each((p) => (touchesRun(p.write) ? 1 : 0)),
      iterations: each((p) => p.write.iterations ?? 0),
      inputTokens: each((p) => p.write.usage?.input_tokens ?? 0),
      outputTokens: each((p) => p.write.usage?.output_tokens ?? 0),
      cacheRead: each((p) => p.write.usage?.cache_read_tokens ?? 0),
      cacheCreation: each((p) => p.write.usage?.cache_creation_tokens ?? 0),
      cost: each((p) => p.write.usage?.estimated_cost_usd ?? 0),
      firstTokenMs: each((p) => p.write.timeToFirstTokenMs ?? null),
      hasDeltas: each((p) => (p.write.hasDeltas ? 1 : 0)),
      endState: each((p) => p.write.ending?.state ?? null),
      endEvents: each((p) => p.write.ending?.events.length ?? 0),
      seenInput: each((p) => p.write.ending?.seenInputSequence ?? null),
      errorCode: each((p) => p.write.ending?.errorCode ?? null),
      error: each((p) => orNull(p.write.ending?.error)),
      finalMessageId: each((p) => p.write.ending?.finalMessageId ?? null),
      preview: each((p) => orNull(p.write.ending?.outputPreview)),
    },
    steps: {
      runId: stepList.map(({ runId }) => runId),
      name: eachStep((s) => wellFormed(s.name)),
      kind: eachStep((s) => s.kind),
      toolName: eachStep((s) => orNull(s.toolName)),
      effect: eachStep((s) => s.effect),
      status: eachStep((s) => s.status),
      attempt: eachStep((s) => s.attempt),
      result: eachStep((s) => (s.status === "settled" ? toJsonText(s.result) : null)),
      usage: eachStep((s) => (s.usage === null ? null : toJsonText(s.usage))),
      error: eachStep((s) => orNull(s.error)),
      durationMs: eachStep((s) => Math.round(s.durationMs)),
    },
  };
}

/** Models and tools write names and errors, too; PostgreSQL's text refuses NUL as its jsonb does. */
function orNull(text: string | null | undefined): string | null {
  return text === null || text === undefined ? null : wellFormed(text);
}

/** Appending events alone leaves the run's row as it is: token deltas must not bloat it. */
function touchesRun(write: RunWrite): boolean {
  return (
    write.ending !== undefined ||
    (write.iterations ?? 0) > 0 ||
    (write.usage ?? null) !== null ||
    (write.timeToFirstTokenMs ?? null) !== null ||
    write.hasDeltas === true
  );
}
