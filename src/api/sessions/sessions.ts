import { UserError } from "../../base/errors.ts";
import { isId, uuidOf } from "../../base/id.ts";
import type { AllowedAction, CapabilityConfig } from "../../contract/common.ts";
import { List, Type } from "../../contract/schema.ts";
import {
  CreateSessionRequest,
  type Session,
  SessionStatsResponse,
  SessionWithUrls,
  UpdateSessionRequest,
} from "../../contract/session.ts";
import { harnessChains } from "../../db/agents/harnesses.ts";
import { cancelTurn } from "../../db/cancel.ts";
import {
  capabilitiesOfAgents,
  deleteSession,
  findSession,
  listSessions,
  type SessionRow,
  sessionStats,
  updateSession,
} from "../../db/session-rows.ts";
import type { ApiDeps, CapabilityCatalog } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import {
  action,
  created,
  iso,
  isoOrNull,
  PageQuery,
  page,
  present,
  reply,
  sliceOf,
  urlsOf,
  usageOf,
} from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { readLocale, startSession } from "./session-start.ts";

type Deps = Pick<ApiDeps, "db" | "capabilities" | "caps" | "hints" | "clock">;

const SessionPage = Type.Intersect([
  List(SessionWithUrls),
  Type.Object({ sessions: Type.Array(SessionWithUrls) }),
]);

/** A message may start a turn between the cancel and the delete; after this many in a row we say so. */
const DELETE_ATTEMPTS = 5;

export function sessionRoutes(deps: Deps): Route[] {
  const { db } = deps;

  const change = async (
    caller: Caller,
    text: string,
    changes: Parameters<typeof updateSession>[1]["changes"],
  ): Promise<SessionRow> => {
    const id = pathId("session", text);
    const changed = await updateSession(db, { organizationId: caller.organizationId, id, changes });
    if (!changed) throw noSession();
    if (changed.isRetitled) deps.hints.publish({ sessions: [id] });
    return changed.session;
  };

  return [
    defineRoute({
      method: "GET",
      path: "/sessions",
      operationId: "list_sessions",
      tag: "sessions",
      summary: "List sessions, newest first",
      description: "`search` looks at the titles.",
      query: Type.Object({
        agent_id: Type.Optional(Type.String()),
        search: Type.Optional(Type.String()),
        ...PageQuery,
      }),
      responses: { 200: SessionPage },
      problems: ["invalid_id"],
      async run({ query, caller: { organizationId }, request }) {
        const slice = sliceOf(query);
        const { rows, total } = await listSessions(db, {
          organizationId,
          agentId: query.agent_id === undefined ? null : pathId("agent", query.agent_id),
          search: query.search ?? null,
          ...slice,
        });
        const data = await sessionsToWire(deps, organizationId, rows);
        return reply(200, { ...page(request, data, total, slice), sessions: data });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/sessions",
      operationId: "create_session",
      tag: "sessions",
      summary: "Start a session",
      description:
        "With an agent, a harness, both or neither (the default harness). Starter files of harness, agent and " +
        "session are merged by path, the nearest wins, and put into the session's workspace.",
      body: CreateSessionRequest,
      isBodyOptional: true,
      responses: { 201: SessionWithUrls },
      problems: ["invalid_id", "limit_exceeded", "not_found", "conflict"],
      async run({ body, caller }) {
        const row = await startSession(deps, caller, body ?? {});
        return created(await sessionToWire(deps, row));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/stats",
      operationId: "get_session_stats",
      tag: "sessions",
      summary: "Count sessions by status",
      responses: { 200: SessionStatsResponse },
      run: async ({ caller }) => reply(200, await sessionStats(db, caller.organizationId)),
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}",
      sessionRight: "read",
      operationId: "get_session",
      tag: "sessions",
      summary: "Read a session",
      responses: { 200: SessionWithUrls },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const row = await findSession(db, caller.organizationId, pathId("session", params.session_id));
        if (!row) throw noSession();
        return reply(200, await sessionToWire(deps, row));
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/sessions/{session_id}",
      operationId: "update_session",
      tag: "sessions",
      summary: "Change title, locale or tags",
      description: "Absent fields stay, null removes. The rest of a session is fixed when it is created.",
      body: UpdateSessionRequest,
      responses: { 200: SessionWithUrls },
      problems: ["invalid_id", "limit_exceeded", "not_found"],
      async run({ params, body, caller }) {
        const row = await change(caller, params.session_id, {
          title: body.title,
          locale: body.locale === undefined ? undefined : readLocale(body.locale),
          tags: body.tags === undefined ? undefined : [...new Set(body.tags ?? [])],
        });
        return reply(200, await sessionToWire(deps, row));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/sessions/{session_id}",
      operationId: "delete_session",
      tag: "sessions",
      summary: "Delete a session",
      description: "A turn under way is cancelled first. Afterwards every route answers 404 for the session.",
      responses: { 204: null },
      problems: ["invalid_id", "not_found", "session_busy"],
      async run({ params, caller }) {
        await endSession(deps, caller.organizationId, pathId("session", params.session_id));
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "PUT",
      path: "/sessions/{session_id}/pin",
      operationId: "pin_session",
      tag: "sessions",
      summary: "Pin a session",
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        await change(caller, params.session_id, { is_pinned: true });
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/sessions/{session_id}/pin",
      operationId: "unpin_session",
      tag: "sessions",
      summary: "Unpin a session",
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        await change(caller, params.session_id, { is_pinned: false });
        return reply(204, null);
      },
    }),
  ];
}

async function endSession(
  { db, hints, clock }: Deps,
  organizationId: string,
  sessionId: string,
): Promise<void> {
  for (let attempt = 0; attempt < DELETE_ATTEMPTS; attempt += 1) {
    const outcome = await deleteSession(db, organizationId, sessionId);
    if (outcome === "not_found") throw noSession();
    if (outcome === "deleted") return;
    const reason = "the session was deleted";
    const cancelled = await cancelTurn(db, { organizationId, sessionId, reason, now: clock.now() });
    if (cancelled.outcome === "cancelled") {
      hints.publish({ sessions: [sessionId], cancelled: [cancelled.turnId] });
    }
  }
  throw new UserError("session_busy", "new turns keep starting in this session; try again");
}

const noSession = () => new UserError("not_found", "Session not found");

export async function sessionToWire(
  deps: Pick<ApiDeps, "db" | "capabilities">,
  row: SessionRow,
): Promise<SessionWithUrls> {
  const [session] = await sessionsToWire(deps, row.organization_id, [row]);
  return session as SessionWithUrls;
}

async function sessionsToWire(
  { db, capabilities }: Pick<ApiDeps, "db" | "capabilities">,
  organizationId: string,
  rows: readonly SessionRow[],
): Promise<SessionWithUrls[]> {
  if (rows.length === 0) return [];
  const agentIds = [...new Set(rows.flatMap((row) => row.agent_version_id ?? row.agent_id ?? []))];
  const [chains, agents] = await Promise.all([
    harnessChains(db, organizationId, [...new Set(rows.map((row) => row.harness_id))]),
    agentIds.length === 0
      ? new Map<string, CapabilityConfig[]>()
      : capabilitiesOfAgents(db, organizationId, agentIds),
  ]);
  return rows.map((row) => {
    const agentId = row.agent_version_id ?? row.agent_id;
    const refs = [
      ...(chains.get(row.harness_id) ?? []).flatMap((layer) => layer.capabilities),
      ...(agentId === null ? [] : (agents.get(agentId) ?? [])),
      ...row.capabilities,
    ].map(({ ref }) => ref);
    return {
      ...toWire(row, featuresOf(capabilities, refs)),
      ...urlsOf(`/sessions/${row.id}`, actionsOf(row)),
    };
  });
}

/** What the capabilities and those that they depend on switch on. */
function featuresOf(catalog: CapabilityCatalog, refs: readonly string[]): string[] {
  const seen = new Set<string>();
  const features = new Set<string>();
  const visit = (ref: string) => {
    if (seen.has(ref)) return;
    seen.add(ref);
    const capability = catalog.find(ref);
    for (const feature of capability?.features ?? []) features.add(feature);
    for (const dependency of capability?.dependencies ?? []) visit(dependency);
  };
  for (const ref of refs) visit(ref);
  return [...features].sort();
}

function actionsOf({ id, status, is_pinned }: SessionRow): AllowedAction[] {
  const path = `/sessions/${id}`;
  const isBusy = status === "active" || status === "waitingfortoolresults";
  const isAtRest = status === "started" || status === "idle";
  return [
    action("update", "PATCH", path),
    action("delete", "DELETE", path),
    is_pinned ? action("unpin", "DELETE", `${path}/pin`) : action("pin", "PUT", `${path}/pin`),
    action("events", "GET", `${path}/events`),
    ...(isAtRest ? [action("fork", "POST", `${path}/fork`)] : []),
    ...(isBusy ? [action("cancel", "POST", `${path}/cancel`)] : []),
    ...(status === "paused" ? [action("resume", "POST", `${path}/resume`)] : []),
  ];
}

function toWire(row: SessionRow, features: string[]): Session {
  // A user's principal has the hex digits of the user's id.
  const userId = isId("principal", row.owner_principal_id) ? uuidOf(row.owner_principal_id) : null;
  const owner = present({ id: row.owner_principal_id, kind: "user" as const, subject_id: userId });
  return present({
    id: row.id,
    organization_id: row.organization_id,
    workspace_id: row.workspace_id,
    harness_id: row.harness_id,
    agent_id: row.agent_id,
    agent_version_id: row.agent_version_id,
    owner_principal_id: row.owner_principal_id,
    owner,
    effective_owner: owner,
    resolved_owner_user_id: userId,
    title: row.title,
    locale: row.locale,
    model_id: row.model_id,
    system_prompt: row.system_prompt,
    capabilities: row.capabilities,
    tools: row.tools,
    initial_files: row.initial_files,
    mcpServers: row.mcp_servers,
    network_access: row.network_access,
    hints: row.hints,
    parallel_tool_calls: row.parallel_tool_calls,
    default_delivery: row.default_delivery,
    max_iterations: row.max_iterations,
    tags: row.tags,
    features,
    forked_from_session_id: row.forked_from_session_id,
    forked_from_sequence: row.forked_from_sequence,
    parent_session_id: row.parent_ids?.at(-1) ?? null,
    is_pinned: row.is_pinned,
    // The strict clients know no status "paused".
    status: row.status === "paused" ? ("idle" as const) : row.status,
    paused: row.status === "paused" ? (true as const) : null,
    preview: row.preview,
    output_preview: row.output_preview,
    usage: usageOf(row),
    started_at: isoOrNull(row.started_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
