/**
 * Checks of agents. A check looks at the configuration that a new session would run and, when nothing stands in the
 * way, starts a real session and sends it a message. Nothing here waits for the turn: whoever reads the check learns
 * what became of it.
 */
import { RetryableError, UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { preview } from "../../base/json.ts";
import type { Finding } from "../../contract/agent-analysis.ts";
import {
  type HealthCheckCaseResult,
  HealthCheckRun,
  type HealthCheckSummary,
  LatestHealthCheckRun,
} from "../../contract/health-check.ts";
import { limits } from "../../contract/limits.ts";
import { Type } from "../../contract/schema.ts";
import { acceptMessage } from "../../db/accept.ts";
import { agentForSession } from "../../db/agents/agent-versions.ts";
import type { AgentRow } from "../../db/agents/agents.ts";
import {
  type HealthCheckRow,
  insertHealthCheck,
  type ProbeRun,
  readHealthChecks,
  settleHealthCheck,
} from "../../db/agents/health-checks.ts";
import { modelState } from "../../db/providers/model-state.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { iso, isoOrNull, PageQuery, present, reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { startSession } from "../sessions/session-start.ts";
import { configHash, resolveAgent } from "./agent-config.ts";
import { findingsOf } from "./agent-preview.ts";
import { requireAgent } from "./agent-wire.ts";

type Deps = Pick<ApiDeps, "db" | "capabilities" | "caps" | "hints" | "clock">;

/** What stands in the way of every turn; other findings do not fail a check. */
const BLOCKING = new Set([
  "model_missing",
  "model_unavailable",
  "provider_key_missing",
  "tool_schema_invalid",
  "capability_unknown",
]);

const PROBE = "This is a health check. Answer in one short sentence that you are ready. Call no tools.";
const PROBE_ITERATIONS_MAX = 10;
const NOT_JUDGED = "No model judges the answer; what happened decides.";

export function healthCheckRoutes(deps: Deps): Route[] {
  const { db } = deps;

  const read = async (organizationId: string, agent: AgentRow, id: string): Promise<HealthCheckRun> => {
    const [row] = await readHealthChecks(db, { organizationId, agentId: agent.id, id, offset: 0, limit: 1 });
    if (!row) throw new UserError("not_found", "Health check not found");
    return settled(deps, row);
  };

  return [
    defineRoute({
      method: "GET",
      path: "/agents/{agent_id}/health-checks",
      operationId: "list_health_checks",
      tag: "agents",
      summary: "The checks of an agent, newest first",
      description: "A bare array.",
      query: Type.Object({
        ...PageQuery,
        limit: Type.Optional({ ...PageQuery.limit, default: limits.pageSizeMax }),
      }),
      responses: { 200: Type.Array(HealthCheckRun) },
      problems: ["invalid_id", "not_found"],
      async run({ params, query, caller: { organizationId } }) {
        const agent = await requireAgent(db, organizationId, params.agent_id);
        const rows = await readHealthChecks(db, {
          organizationId,
          agentId: agent.id,
          id: null,
          offset: query.offset ?? 0,
          limit: query.limit ?? limits.pageSizeMax,
        });
        return reply(200, await Promise.all(rows.map((row) => settled(deps, row))));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents/{agent_id}/health-checks",
      operationId: "trigger_health_check",
      tag: "agents",
      summary: "Check an agent",
      description:
        "Two cases. `configuration`: what a new session would run has a model that can be used, whose provider has its " +
        "key, tools with valid schemas, and capabilities that exist. `answers`, when that is so: a real session (it is " +
        "in the list of sessions, with the tag health-check) is sent one message, which costs what it costs, and its " +
        "turn must end with a text. The answer comes at once; read the check again until it is `completed`. A turn that " +
        "waits for an approval or a client's tool is `running` for as long as it waits. No model judges the answer.",
      responses: { 200: HealthCheckRun },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const { organizationId } = caller;
        const agent = await requireAgent(db, organizationId, params.agent_id);
        return reply(200, await read(organizationId, agent, await check(deps, caller, agent)));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/agents/{agent_id}/health-checks/latest",
      operationId: "get_latest_health_check",
      tag: "agents",
      summary: "The newest check of an agent, and whether the agent has changed since",
      responses: { 200: LatestHealthCheckRun },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const agent = await requireAgent(db, organizationId, params.agent_id);
        const slice = { offset: 0, limit: 1 };
        const [row] = await readHealthChecks(db, { organizationId, agentId: agent.id, id: null, ...slice });
        if (!row) return reply(200, { config_changed: false });
        const { hash } = await lookAt(deps, organizationId, agent);
        return reply(200, { config_changed: hash !== row.config_hash, run: await settled(deps, row) });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/agents/{agent_id}/health-checks/{run_id}",
      operationId: "get_health_check",
      tag: "agents",
      summary: "Read a check",
      responses: { 200: HealthCheckRun },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const agent = await requireAgent(db, organizationId, params.agent_id);
        return reply(200, await read(organizationId, agent, pathId("healthcheck", params.run_id)));
      },
    }),
  ];
}

/** The agent as a new session would run it. */
async function lookAt(deps: Pick<ApiDeps, "db" | "capabilities">, organizationId: string, agent: AgentRow) {
  const used = await agentForSession(deps.db, organizationId, agent);
  const resolved = await resolveAgent(deps, organizationId, used);
  return { used, resolved, hash: configHash(resolved.config) };
}

/** @returns the id of the new check */
async function check(deps: Deps, caller: Caller, agent: AgentRow): Promise<string> {
  const { organizationId } = caller;
  const startMs = deps.clock.monotonicMs();
  const { used, resolved, hash } = await lookAt(deps, organizationId, agent);
  const findings = await findingsOf(deps, organizationId, used, resolved);
  const model = await modelState(deps.db, organizationId, resolved.modelId);
  const wrong = findings.filter(({ rule_id: rule }) => BLOCKING.has(rule)).map(sentence);
  const probe = wrong.length > 0 ? null : await sendProbe(deps, caller, agent);
  if (probe !== null && "refused" in probe) wrong.push(probe.refused);
  const latencyMs = Math.round(deps.clock.monotonicMs() - startMs);
  return insertHealthCheck(deps.db, {
    organizationId,
    agentId: agent.id,
    configHash: hash,
    // What was named may be no model at all.
    modelId: model.model_id === null ? null : model.id,
    configuration: configurationCase(wrong, latencyMs),
    probe: probe !== null && "turnId" in probe ? probe : null,
  });
}

const sentence = ({ message, fix }: Finding) => `${message} ${fix ?? ""}`.trim();

async function sendProbe(
  deps: Deps,
  caller: Caller,
  agent: AgentRow,
): Promise<{ sessionId: string; turnId: string } | { refused: string }> {
  await deps.caps.admitTurn(caller.organizationId);
  try {
    const { id: sessionId } = await startSession(deps, caller, {
      agent_id: agent.id,
      title: `Health check of ${agent.name}`,
      tags: ["health-check"],
      max_iterations: PROBE_ITERATIONS_MAX,
    });
    const accepted = await acceptMessage(deps.db, {
      organizationId: caller.organizationId,
      sessionId,
      message: {
        id: newId("message"),
        role: "user",
        content: [{ type: "text", text: PROBE }],
        created_at: deps.clock.now().toISOString(),
      },
      controls: null,
      metadata: { source: "health_check" },
      tags: null,
      clientMessageId: null,
      delivery: null,
      priority: 0,
      preview: preview(PROBE, limits.previewChars),
    });
    if (accepted.outcome !== "started") {
      throw new RetryableError(
        "unavailable",
        "the session was taken away while it was being checked; try again",
      );
    }
    deps.hints.publish({ sessions: [sessionId], isQueued: true });
    return { sessionId, turnId: accepted.turnId };
  } catch (error) {
    if (error instanceof UserError) return { refused: `No session can be started: ${error.message}` };
    throw error;
  }
}

function configurationCase(wrong: readonly string[], latencyMs: number): HealthCheckCaseResult {
  const isSound = wrong.length === 0;
  return {
    name: "configuration",
    user_message: "",
    rubric: "A model that can be used, a provider with its key, valid tools, capabilities that exist.",
    passed: isSound,
    score: isSound ? 1 : 0,
    judge_reason: NOT_JUDGED,
    deterministic_reason: isSound ? "Nothing stands in the way of a turn." : wrong.join(" "),
    turns: 0,
    latency_ms: latencyMs,
  };
}

/** The check as it stands now; what is over by now is written down, so that it outlives its session. */
async function settled({ db, clock }: Deps, row: HealthCheckRow): Promise<HealthCheckRun> {
  if (row.completed_at !== null) return toWire(row);
  if (row.run === null) {
    const errorMessage = "The session of this check was deleted before anybody read how its turn ended.";
    const completedAt = clock.now();
    await settleHealthCheck(db, row.id, { results: null, errorMessage, completedAt });
    return toWire({ ...row, error_message: errorMessage, completed_at: completedAt });
  }
  if (row.run.finished_at === null) return toWire(row);
  const results = [row.configuration, answerCase(row, row.run, row.run.finished_at)];
  const completedAt = row.run.finished_at;
  await settleHealthCheck(db, row.id, { results, errorMessage: null, completedAt });
  return toWire({ ...row, results, completed_at: completedAt });
}

function answerCase(row: HealthCheckRow, run: ProbeRun, finishedAt: Date): HealthCheckCaseResult {
  const hasText = (run.answer ?? "").trim() !== "";
  const passed = run.state === "completed" && hasText;
  const reason = passed
    ? "The turn ended with a text."
    : run.state === "completed"
      ? "The turn ended without a text."
      : `The turn ended as ${run.state}.`;
  const error = run.state === "completed" ? null : `${run.error_code ?? run.state}: ${run.error ?? reason}`;
  return present({
    name: "answers",
    user_message: PROBE,
    rubric: "The turn ends, and its answer has a text.",
    passed,
    score: passed ? 1 : 0,
    judge_reason: NOT_JUDGED,
    deterministic_reason: reason,
    turns: 1,
    latency_ms: finishedAt.getTime() - run.queued_at.getTime(),
    input_tokens: run.input_tokens,
    output_tokens: run.output_tokens,
    session_id: row.session_id,
    error,
  });
}

function toWire(row: HealthCheckRow): HealthCheckRun {
  return present({
    id: row.id,
    agent_id: row.agent_id,
    config_hash: row.config_hash,
    model_id: row.model_id,
    status: statusOf(row),
    results: row.results,
    summary: row.results === null ? null : summaryOf(row.results),
    error_message: row.error_message,
    created_at: iso(row.created_at),
    completed_at: isoOrNull(row.completed_at),
  });
}

function statusOf({ results, error_message, run }: HealthCheckRow): HealthCheckRun["status"] {
  if (error_message !== null) return "failed";
  if (results !== null) return "completed";
  return run?.state === "queued" ? "pending" : "running";
}

function summaryOf(results: readonly HealthCheckCaseResult[]): HealthCheckSummary {
  const sum = (of: (result: HealthCheckCaseResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  const total = results.length;
  const passed = results.filter((result) => result.passed).length;
  return {
    total,
    passed,
    failed: total - passed,
    errored: results.filter((result) => result.error !== undefined).length,
    pass_rate: passed / total,
    avg_score: sum((result) => result.score) / total,
    avg_turns: sum((result) => result.turns) / total,
    total_input_tokens: sum((result) => result.input_tokens ?? 0),
    total_output_tokens: sum((result) => result.output_tokens ?? 0),
  };
}
