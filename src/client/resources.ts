/**
 * What the resource commands are about: one entry for each kind of object. The verbs (list, get, create, …) are the
 * same for all of them and stand in files of their own; what an object cannot do, it has no word for.
 */

import type { Agent } from "../contract/agent.ts";
import type { Approval } from "../contract/approval.ts";
import type { CapabilityInfo } from "../contract/capability.ts";
import type { DlqEntryResponse } from "../contract/durable.ts";
import type { Harness } from "../contract/harness.ts";
import type { ModelWithProvider, Provider } from "../contract/provider.ts";
import type { CircuitBreakerResponse, Run, Worker } from "../contract/run.ts";
import type { ScheduleResponse } from "../contract/schedule.ts";
import type { Session } from "../contract/session.ts";
import { age } from "./age.ts";
import { type Definition, define, RESTORE } from "./definition.ts";
import { LIBRARY } from "./library.ts";
import { approvalStatus, sessionStatus } from "./status.ts";

/** An object as the API shows it. */
export type Item = Readonly<Record<string, unknown>>;

export type Resource = Definition<Item>;

export interface Action {
  summary: string;
  /** Of the object's path; the verb itself when absent. */
  path?: string;
  method?: "POST" | "PUT" | "DELETE" | "PATCH";
  body?: Item;
  /** Cannot be taken back: asks first. */
  isFinal?: boolean;
  /** Prints one field of the answer rather than all of it: for scripts. */
  prints?: string;
  /** Answers with a word, not with JSON. */
  isText?: boolean;
  /** Fields that come with the call, in words: `amount, description`. A caller that has none cannot make it. */
  fields?: string;
}

const AGENT_FIELDS = [
  "name",
  "display_name",
  "description",
  "system_prompt",
  "harness_id",
  "default_model_id",
  "capabilities",
  "tools",
  "initial_files",
  "mcpServers",
  "network_access",
  "parallel_tool_calls",
  "default_delivery",
  "max_iterations",
  "tags",
] as const;

export const CATALOG: readonly Resource[] = [
  define<Agent>({
    name: "agents",
    one: "agent",
    summary: "stored agents, newest first",
    path: "/agents",
    key: "id or name",
    columns: {
      id: (agent) => agent.id,
      name: (agent) => agent.name,
      status: (agent) => agent.status,
      updated: (agent) => age(agent.updated_at),
      description: (agent) => agent.description ?? agent.display_name,
    },
    filters: { include_archived: "archived ones, too (true)" },
    isSearchable: true,
    isPaged: true,
    isCreatable: true,
    isReadable: true,
    editable: AGENT_FIELDS,
    deletes: "archives",
    actions: {
      copy: { summary: "copy one under a free name", prints: "id" },
      restore: RESTORE,
    },
  }),
  define<Harness>({
    name: "harnesses",
    one: "harness",
    summary: "harnesses: the layer below agents",
    path: "/harnesses",
    key: "id or name",
    columns: {
      id: (harness) => harness.id,
      name: (harness) => harness.name,
      status: (harness) => harness.status,
      updated: (harness) => age(harness.updated_at),
      built_in: (harness) => (harness.is_built_in ? "yes" : "no"),
      description: (harness) => harness.description ?? harness.display_name,
    },
    filters: { include_archived: "archived ones, too (true)" },
    isSearchable: true,
    isCreatable: true,
    isReadable: true,
    editable: [
      "name",
      "display_name",
      "description",
      "system_prompt",
      "parent_harness_id",
      "default_model_id",
      "capabilities",
      "initial_files",
      "mcpServers",
      "network_access",
      "tags",
    ],
    deletes: "archives",
    actions: {
      copy: { summary: "copy one under a free name", prints: "id" },
      restore: RESTORE,
    },
  }),
  define<CapabilityInfo>({
    name: "capabilities",
    one: "capability",
    summary: "capabilities that agents can be given",
    path: "/capabilities",
    key: "id",
    columns: {
      id: (capability) => capability.id,
      status: (capability) => capability.status,
      name: (capability) => capability.name,
      description: (capability) => capability.description,
    },
    isSearchable: true,
    isPaged: true,
    isReadable: true,
  }),
  define<Session>({
    name: "sessions",
    one: "session",
    summary: "sessions, newest first",
    path: "/sessions",
    key: "id",
    columns: {
      id: (session) => session.id,
      status: sessionStatus,
      updated: (session) => age(session.updated_at),
      tokens: ({ usage }) => usage.input_tokens + usage.output_tokens,
      title: (session) => session.title ?? session.preview,
    },
    filters: { agent_id: "of one agent" },
    isSearchable: true,
    isPaged: true,
    isCreatable: true,
    isReadable: true,
    editable: ["title", "locale", "tags"],
    deletes: "deletes",
    actions: {
      cancel: { summary: "cancel the turn under way", prints: "message", isFinal: true },
      pin: { summary: "pin it", method: "PUT" },
      unpin: { summary: "unpin it", path: "pin", method: "DELETE" },
      resume: { summary: "let it go on after a budget held it" },
    },
  }),
  define<Run>({
    name: "runs",
    one: "run",
    summary: "runs of turns, newest first",
    path: "/runs",
    key: "id",
    columns: {
      id: (run) => run.id,
      status: (run) => run.status,
      attempt: (run) => run.attempt,
      iterations: (run) => run.iterations,
      queued: (run) => age(run.queued_at),
      session: (run) => run.session_id,
      note: (run) => run.stuck_reason ?? run.waiting_on ?? run.error,
    },
    filters: {
      status: "queued, running, waiting, completed, failed, cancelled or sealed",
      session_id: "of one session",
      agent_id: "of one agent",
      worker_id: "on one worker",
      waiting_on: "client_tools, approval, timer or budget",
    },
    isPaged: true,
    isReadable: true,
    actions: {
      cancel: { summary: "cancel one that has not ended", prints: "message", isFinal: true },
      retry: { summary: "take a failed or sealed one up from its last checkpoint", prints: "id" },
    },
  }),
  define<Approval>({
    name: "approvals",
    one: "approval",
    summary: "calls that wait for a person, newest first (--status all: those that are settled, too)",
    path: "/approvals",
    key: "id",
    columns: {
      id: (approval) => approval.id,
      status: approvalStatus,
      tool: (approval) => approval.tool_name,
      asked: (approval) => age(approval.requested_at),
      session: (approval) => approval.session_id,
      arguments: (approval) => JSON.stringify(approval.arguments ?? {}),
    },
    filters: { status: "pending, decided, expired, cancelled or all", session_id: "of one session" },
    defaults: { status: "pending" },
    isPaged: true,
    actions: {
      approve: { summary: "let the call run, once", path: "", body: { decision: "allow" } },
      "approve-always": {
        summary: "let the call run, and every later one of the tool in its session",
        path: "",
        body: { decision: "allow_always" },
      },
      deny: { summary: "refuse the call", path: "", body: { decision: "reject" } },
    },
  }),
  define<ModelWithProvider>({
    name: "models",
    one: "model",
    summary: "models that can be chosen",
    path: "/models",
    key: "id or name",
    namedBy: ["model_id", "display_name"],
    columns: {
      id: (model) => model.id,
      model: (model) => model.model_id,
      provider: (model) => model.provider_name,
      state: (model) => (model.enabled !== true ? "disabled" : model.healthy ? "ready" : "no key"),
      name: (model) => model.display_name,
    },
    filters: {
      source: "manual, discovered or predefined",
      favorites_only: "favourites only (true)",
      include_stale: "those that the vendor lists no more, too (true)",
    },
    isReadable: true,
    deletes: "deletes",
    actions: {
      enable: { summary: "let it be chosen", path: "", method: "PATCH", body: { enabled: true } },
      disable: { summary: "let it be chosen no more", path: "", method: "PATCH", body: { enabled: false } },
    },
  }),
  define<Provider>({
    name: "providers",
    one: "provider",
    summary: "model providers; their keys are never shown",
    path: "/providers",
    key: "id or name",
    namedBy: ["name"],
    columns: {
      id: (provider) => provider.id,
      name: (provider) => provider.name,
      type: (provider) => provider.provider_type,
      status: (provider) => provider.status,
      key: (provider) => (provider.api_key_set ? "set" : "none"),
      address: (provider) => provider.base_url,
    },
    isCreatable: true,
    isReadable: true,
    editable: ["name", "base_url", "status", "limits"],
    deletes: "deletes",
    actions: { "sync-models": { summary: "ask the vendor which models there are" } },
  }),
  define<Worker>({
    name: "workers",
    one: "worker",
    summary: "worker processes, newest first",
    path: "/durable/workers",
    key: "id",
    columns: {
      id: (worker) => worker.id,
      status: (worker) => worker.status,
      load: (worker) => `${worker.current_load}/${worker.max_concurrency}`,
      heartbeat: (worker) => age(worker.last_heartbeat_at),
      host: (worker) => worker.hostname,
    },
    filters: { status: "running, draining or stopped" },
    actions: {
      drain: { summary: "let it finish what it has and take nothing new" },
      resume: { summary: "let it take runs again" },
    },
  }),
  define<ScheduleResponse>({
    name: "schedules",
    one: "schedule",
    summary: "schedules of the organization, by name",
    path: "/durable/schedules",
    key: "id or name",
    namedBy: ["name"],
    columns: {
      id: (schedule) => schedule.id,
      name: (schedule) => schedule.name,
      state: (schedule) => (schedule.enabled ? "on" : "paused"),
      cron: (schedule) => schedule.cron_expression,
      timezone: (schedule) => schedule.timezone,
      next: (schedule) => schedule.next_trigger_at,
      last: (schedule) => age(schedule.last_triggered_at),
    },
    filters: { enabled: "only those that are on (true), or off (false)" },
    isPaged: true,
    isCreatable: true,
    isReadable: true,
    editable: ["description", "cron_expression", "timezone", "target", "catch_up_missed", "max_concurrent"],
    deletes: "deletes",
    actions: {
      pause: { summary: "switch it off" },
      resume: { summary: "switch it on, from its next time" },
      trigger: { summary: "fire it now; its own times stay" },
    },
  }),
  define<CircuitBreakerResponse>({
    name: "breakers",
    one: "breaker",
    summary: "circuit breakers of models that have been in trouble",
    path: "/durable/circuit-breakers",
    key: "id",
    columns: {
      key: (breaker) => breaker.key,
      state: (breaker) => breaker.state,
      failures: (breaker) => breaker.failure_count,
      opened: (breaker) => age(breaker.opened_at),
      updated: (breaker) => age(breaker.updated_at),
    },
    isReadable: true,
    deletes: "deletes",
    actions: {
      open: { summary: "send nothing to the model until it is closed by hand" },
      close: { summary: "let calls go out again" },
    },
  }),
  define<DlqEntryResponse>({
    name: "dead-runs",
    one: "dead run",
    summary: "runs that ended without an answer and can be retried, the last first",
    path: "/durable/dlq",
    key: "id",
    columns: {
      id: (dead) => dead.id,
      run: (dead) => dead.activity_id,
      attempts: (dead) => dead.attempts,
      died: (dead) => age(dead.dead_at),
      error: (dead) => dead.last_error,
    },
    isPaged: true,
    actions: {
      retry: { summary: "take it up again from its last checkpoint", isText: true },
    },
  }),
  ...LIBRARY,
];
