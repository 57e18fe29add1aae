/** Checks of agents. A check that had a turn is over when somebody has read it after the turn's end. */
import { newId } from "../../base/id.ts";
import { toJsonText } from "../../base/json.ts";
import type { HealthCheckCaseResult } from "../../contract/health-check.ts";
import type { RunStatus } from "../../contract/run.ts";
import type { Db } from "../pool.ts";
import type { Slice } from "../search.ts";

export interface HealthCheckRow {
  id: string;
  agent_id: string;
  config_hash: string;
  model_id: string | null;
  configuration: HealthCheckCaseResult;
  session_id: string | null;
  turn_id: string | null;
  /** null: not written down yet. */
  results: HealthCheckCaseResult[] | null;
  error_message: string | null;
  created_at: Date;
  completed_at: Date | null;
  /** The check's turn, while its results are not written down; null when it had none, or it is not there any more. */
  run: ProbeRun | null;
}

export interface ProbeRun {
  state: RunStatus;
  error_code: string | null;
  error: string | null;
  input_tokens: number;
  output_tokens: number;
  queued_at: Date;
  finished_at: Date | null;
  /** Of the final answer; null when there is none. */
  answer: string | null;
}

const COLUMNS = [
  "id",
  "agent_id",
  "config_hash",
  "model_id",
  "configuration",
  "session_id",
  "turn_id",
  "results",
  "error_message",
  "created_at",
  "completed_at",
] as const;

interface JoinedRow extends Omit<HealthCheckRow, "run">, Omit<ProbeRun, "state"> {
  state: RunStatus | null;
}

/** @param probe  null: no turn was tried, and the check is over */
export async function insertHealthCheck(
  { sql }: Db,
  input: {
    organizationId: string;
    agentId: string;
    configHash: string;
    modelId: string | null;
    configuration: HealthCheckCaseResult;
    probe: { sessionId: string; turnId: string } | null;
  },
): Promise<string> {
  const id = newId("healthcheck");
  const results = input.probe === null ? toJsonText([input.configuration]) : null;
  await sql`
    insert into agent_health_checks (id, organization_id, agent_id, config_hash, model_id, configuration, session_id,
                                     turn_id, results, completed_at)
    values (${id}, ${input.organizationId}, ${input.agentId}, ${input.configHash}, ${input.modelId},
            ${toJsonText(input.configuration)}::text::jsonb, ${input.probe?.sessionId ?? null},
            ${input.probe?.turnId ?? null}, ${results}::text::jsonb,
            case when ${input.probe === null} then now() end)`;
  return id;
}

/** Newest first. @param input.id  null: every check of the agent */
export async function readHealthChecks(
  { sql }: Db,
  input: { organizationId: string; agentId: string; id: string | null } & Slice,
): Promise<HealthCheckRow[]> {
  const rows = await sql<JoinedRow[]>`
    select h.*, r.state, r.error_code, r.error, r.input_tokens, r.output_tokens, r.queued_at, r.finished_at,
           case when r.final_message_id is not null then (
             select string_agg(part ->> 'text', '' order by n)
               from events e, jsonb_array_elements(e.data -> 'message' -> 'content') with ordinality as p(part, n)
              where e.session_id = r.session_id and e.sequence > r.input_sequence
                and e.type = 'output.message.completed' and e.data -> 'message' ->> 'id' = r.final_message_id
                and part ->> 'type' = 'text') end as answer
      from (select ${sql(COLUMNS)} from agent_health_checks
             where organization_id = ${input.organizationId} and agent_id = ${input.agentId}
               and ${input.id === null ? sql`true` : sql`id = ${input.id}`}
             order by created_at desc, id desc
             limit ${input.limit} offset ${input.offset}) h
      left join runs r on r.id = h.turn_id and h.completed_at is null
     order by h.created_at desc, h.id desc`;
  return rows.map((row) => {
    const {
      state,
      error_code,
      error,
      input_tokens,
      output_tokens,
      queued_at,
      finished_at,
      answer,
      ...check
    } = row;
    const run =
      state === null
        ? null
        : { state, error_code, error, input_tokens, output_tokens, queued_at, finished_at, answer };
    return { ...check, run };
  });
}

/** Writes down what became of a check; what is written stays. */
export async function settleHealthCheck(
  { sql }: Db,
  id: string,
  outcome: { results: HealthCheckCaseResult[] | null; errorMessage: string | null; completedAt: Date },
): Promise<void> {
  await sql`
    update agent_health_checks
       set results = ${outcome.results === null ? null : toJsonText(outcome.results)}::text::jsonb,
           error_message = ${outcome.errorMessage}, completed_at = ${outcome.completedAt}
     where id = ${id} and completed_at is null`;
}
