import { LayerRequest } from "./agent.ts";
import {
  CapabilityConfig,
  InitialFile,
  McpServers,
  NetworkAccessList,
  ToolDefinition,
  WithUrls,
} from "./common.ts";
import type { Event } from "./event.ts";
import { EventSchema } from "./event-schema.ts";
import { limits } from "./limits.ts";
import { DELIVERIES } from "./message.ts";
import { Id, JsonObject, Maybe, OneOf, type Static, Timestamp, type TSchema, Type } from "./schema.ts";
import { TokenUsage } from "./usage.ts";

/** started: no turn yet; active: a turn is under way; idle: the last turn has ended. */
export const SESSION_STATUSES = ["started", "active", "idle", "waitingfortoolresults"] as const;

export const PrincipalSummary = Type.Object({
  id: Type.String(),
  kind: OneOf(["user", "agent_identity", "system"]),
  /** The user's id. */
  subject_id: Type.Optional(Type.String({ format: "uuid" })),
});

/** One conversation; owns one event log and one workspace. Its configuration is frozen when it is created. */
export const Session = Type.Object({
  id: Id("session"),
  organization_id: Id("org"),
  workspace_id: Id("wsp"),
  harness_id: Id("harness"),
  agent_id: Type.Optional(Id("agent")),
  /** The version of the agent that every turn runs; without it the agent as it is at each turn. */
  agent_version_id: Type.Optional(Id("agentver")),
  owner_principal_id: Type.String(),
  owner: PrincipalSummary,
  effective_owner: PrincipalSummary,
  resolved_owner_user_id: Type.Optional(Type.String({ format: "uuid" })),
  title: Type.Optional(Type.String()),
  locale: Type.Optional(Type.String()),
  model_id: Type.Optional(Type.String()),
  system_prompt: Type.Optional(Type.String()),
  capabilities: Type.Array(CapabilityConfig),
  tools: Type.Array(ToolDefinition),
  initial_files: Type.Array(InitialFile),
  mcpServers: McpServers,
  network_access: Type.Optional(NetworkAccessList),
  hints: Type.Optional(JsonObject),
  parallel_tool_calls: Type.Optional(Type.Boolean()),
  /** Absent: as the agent says. */
  default_delivery: Type.Optional(OneOf(DELIVERIES)),
  max_iterations: Type.Optional(Type.Integer()),
  tags: Type.Array(Type.String()),
  /** What a user interface should show for this session: `file_system` and the like. */
  features: Type.Array(Type.String()),
  /** Whose events come before its own, and the last of them; absent when the session is no fork. */
  forked_from_session_id: Type.Optional(Id("session")),
  forked_from_sequence: Type.Optional(Type.Integer()),
  /** Of a subagent: the session whose agent handed the work to it. */
  parent_session_id: Type.Optional(Id("session")),
  is_pinned: Type.Boolean(),
  status: OneOf(SESSION_STATUSES),
  /** Its turn waits for a budget: see `POST /v1/sessions/{session_id}/resume`. Absent: no. */
  paused: Type.Optional(Type.Literal(true)),
  preview: Type.Optional(Type.String()),
  output_preview: Type.Optional(Type.String()),
  usage: TokenUsage,
  started_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Session = Static<typeof Session>;

export const SessionWithUrls = WithUrls(Session);
export type SessionWithUrls = Static<typeof SessionWithUrls>;

const Title = Type.String({ maxLength: limits.titleCharsMax });
const Locale = Type.String({ maxLength: 35, description: "BCP 47, for example uk-UA." });

/** Any of harness, agent or neither; agent and harness by id or by name. */
export const CreateSessionRequest = Type.Object({
  harness_id: Maybe(Type.String()),
  harness_name: Maybe(Type.String()),
  agent_id: Maybe(Type.String()),
  agent_name: Maybe(Type.String()),
  /** Shares the files of an existing workspace; without it the session has one of its own. */
  workspace_id: Maybe(Type.String()),
  title: Maybe(Title),
  locale: Maybe(Locale),
  model_id: Maybe(Type.String()),
  system_prompt: Maybe(Type.String()),
  /** What the client can do; kept and shown, no tool of this server asks for it. */
  hints: Maybe(JsonObject),
  ...LayerRequest,
});
export type CreateSessionRequest = Static<typeof CreateSessionRequest>;

export const GetOrCreateChatSessionRequest = Type.Object({ locale: Maybe(Locale) });

/** Absent: stays. Null: removed. */
export const UpdateSessionRequest = Type.Object({
  title: Maybe(Title),
  locale: Maybe(Locale),
  tags: LayerRequest.tags,
});
export type UpdateSessionRequest = Static<typeof UpdateSessionRequest>;

/** What is absent or null stays as the forked session has it. */
export const ForkSessionRequest = Type.Object({
  /** An agent brings its harness. */
  agent_id: Maybe(Type.String()),
  locale: Maybe(Locale),
  model_id: Maybe(Type.String()),
  system_prompt: Maybe(Type.String()),
  tags: LayerRequest.tags,
  title: Maybe(Title),
  at_sequence: Maybe(
    Type.Integer({
      minimum: 1,
      description: "The last event that both have in common; without it the newest, of a session at rest.",
    }),
  ),
});
export type ForkSessionRequest = Static<typeof ForkSessionRequest>;

const Branches = <T extends TSchema>(schema: T) => Type.Object({ a: schema, b: schema });

/** What two sessions of one descent did after the last event that they share. */
export const SessionDiff = Type.Object({
  /** Who wrote the last shared event, and its sequence. */
  common_ancestor: Type.Object({ session_id: Id("session"), sequence: Type.Integer() }),
  /** Events after it, oldest first, token deltas left out. */
  a: Type.Array(EventSchema),
  b: Type.Array(EventSchema),
  /** True when a branch has more events than the limit; `/events?after_sequence=` goes on. */
  has_more: Branches(Type.Boolean()),
  /** Of every model call after the common ancestor. */
  usage: Branches(TokenUsage),
});
export type SessionDiff = Omit<Static<typeof SessionDiff>, "a" | "b"> & { a: Event[]; b: Event[] };

export const SessionStatsResponse = Type.Object({
  total: Type.Integer(),
  started: Type.Integer(),
  active: Type.Integer(),
  idle: Type.Integer(),
  waiting_for_tool_results: Type.Integer(),
});
export type SessionStatsResponse = Static<typeof SessionStatsResponse>;
