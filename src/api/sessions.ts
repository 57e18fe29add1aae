import { UserError } from "../base/errors.ts";
import { newId } from "../base/id.ts";
import { type AllowedAction, type CapabilityConfig, type InitialFile, SLUG } from "../contract/common.ts";
import { limits } from "../contract/limits.ts";
import { List, Type } from "../contract/schema.ts";
import {
  CreateSessionRequest,
  type Session,
  SessionStatsResponse,
  SessionWithUrls,
  UpdateSessionRequest,
} from "../contract/session.ts";
import { type AgentRow, findAgent } from "../db/agents.ts";
import { cancelTurn } from "../db/cancel.ts";
import { putInitialFiles } from "../db/files.ts";
import { harnessChains, readHarness } from "../db/harnesses.ts";
import {
  capabilitiesOfAgents,
  createSession,
  deleteSession,
  findSession,
  listSessions,
  type SessionRow,
  sessionStats,
  updateSession,
  workspaceExists,
} from "../db/session-rows.ts";
import type { ApiDeps, CapabilityCatalog } from "./deps.ts";
import type { Caller } from "./identify.ts";
import { EMPTY_LAYER, readLayer, requireBytes, requireModel } from "./layer.ts";
import { pathId } from "./path-id.ts";
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
} from "./respond.ts";
import { defineRoute, type Route } from "./route.ts";

type Deps = Pick<ApiDeps, "db" | "capabilities" | "hints" | "clock">;

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
    const row = await updateSession(db, { organizationId: caller.organizationId, id, changes });
    if (!row) throw noSession();
    return row;
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

async function startSession(
  { db, capabilities }: Deps,
  { organizationId, principalId }: Caller,
  body: CreateSessionRequest,
): Promise<SessionRow> {
  requireBytes("system_prompt", body.system_prompt, limits.systemPromptBytesMax);
  requireBytes("hints", JSON.stringify(body.hints ?? {}), limits.metadataBytesMax);
  const layer = { ...EMPTY_LAYER, ...readLayer(body, capabilities) };
  const locale = readLocale(body.locale ?? null);
  const agent = await findSessionAgent(db, organizationId, body);
  const harnessId = await findSessionHarness(db, organizationId, body, agent);
  const modelId =
    body.model_id == null
      ? null
      : await requireModel(db, organizationId, { field: "model_id", id: body.model_id, code: "not_found" });

  const id = newId("session");
  const shared = body.workspace_id == null ? null : pathId("wsp", body.workspace_id);
  if (shared !== null && !(await workspaceExists(db, organizationId, shared))) {
    throw new UserError("not_found", "Workspace not found");
  }
  const workspaceId = shared ?? `wsp_${id.slice("session_".length)}`;
  // Into a workspace that others use, only what this very request brings along is put.
  const files =
    shared === null
      ? await starterFiles(db, organizationId, { harnessId, agent, own: layer.initial_files })
      : layer.initial_files;
  await putInitialFiles(db, { organizationId, workspaceId }, files);

  return createSession(db, {
    organizationId,
    id,
    fields: {
      ...layer,
      harness_id: harnessId,
      agent_id: agent?.id ?? null,
      workspace_id: workspaceId,
      owner_principal_id: principalId,
      title: body.title ?? null,
      locale,
      model_id: modelId,
      system_prompt: body.system_prompt ?? null,
      hints: body.hints ?? null,
    },
  });
}

async function findSessionAgent(
  db: ApiDeps["db"],
  organizationId: string,
  body: CreateSessionRequest,
): Promise<AgentRow | null> {
  const ref = body.agent_id ?? body.agent_name;
  if (ref == null) return null;
  // Who puts a name into agent_id means the name.
  const isName = SLUG.test(ref);
  const agent = await findAgent(db, organizationId, isName ? ref : pathId("agent", ref));
  if (!agent) throw new UserError("not_found", `Agent not found: ${ref}`);
  if (agent.status === "archived") {
    const unarchive = {
      ...action("unarchive", "PATCH", `/agents/${agent.id}`),
      hint: '{"status": "active"}',
    };
    throw new UserError(
      "conflict",
      `the agent ${agent.name} is archived; take it back to start sessions with it`,
      {
        fields: { allowed_actions: [unarchive] },
      },
    );
  }
  return agent;
}

async function findSessionHarness(
  db: ApiDeps["db"],
  organizationId: string,
  body: CreateSessionRequest,
  agent: AgentRow | null,
): Promise<string> {
  const ref = body.harness_id ?? body.harness_name;
  if (ref == null && agent) return agent.harness_id;
  const wanted = ref ?? "default";
  const harness = await readHarness(
    db,
    organizationId,
    SLUG.test(wanted) ? wanted : pathId("harness", wanted),
  );
  if (!harness) throw new UserError("not_found", `Harness not found: ${wanted}`);
  return harness.id;
}

/** By path: the harness's parents, the harness, the agent, the session; the last one wins. */
async function starterFiles(
  db: ApiDeps["db"],
  organizationId: string,
  { harnessId, agent, own }: { harnessId: string; agent: AgentRow | null; own: InitialFile[] },
): Promise<InitialFile[]> {
  const chain = (await harnessChains(db, organizationId, [harnessId])).get(harnessId) ?? [];
  const files = new Map<string, InitialFile>();
  for (const layer of [...chain.toReversed(), agent, { initial_files: own }]) {
    for (const file of layer?.initial_files ?? []) files.set(file.path, file);
  }
  return [...files.values()];
}

/** @throws UserError invalid_request */
function readLocale(locale: string | null): string | null {
  if (locale === null) return null;
  try {
    Intl.getCanonicalLocales(locale);
    return locale;
  } catch {
    throw new UserError(
      "invalid_request",
      `locale: ${JSON.stringify(locale)} is no language tag such as uk-UA`,
    );
  }
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

async function sessionToWire(deps: Deps, row: SessionRow): Promise<SessionWithUrls> {
  const [session] = await sessionsToWire(deps, row.organization_id, [row]);
  return session as SessionWithUrls;
}

async function sessionsToWire(
  { db, capabilities }: Deps,
  organizationId: string,
  rows: readonly SessionRow[],
): Promise<SessionWithUrls[]> {
  if (rows.length === 0) return [];
  const agentIds = [...new Set(rows.flatMap((row) => row.agent_id ?? []))];
  const [chains, agents] = await Promise.all([
    harnessChains(db, organizationId, [...new Set(rows.map((row) => row.harness_id))]),
    agentIds.length === 0
      ? new Map<string, CapabilityConfig[]>()
      : capabilitiesOfAgents(db, organizationId, agentIds),
  ]);
  return rows.map((row) => {
    const refs = [
      ...(chains.get(row.harness_id) ?? []).flatMap((layer) => layer.capabilities),
      ...(row.agent_id === null ? [] : (agents.get(row.agent_id) ?? [])),
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
  return [
    action("update", "PATCH", path),
    action("delete", "DELETE", path),
    is_pinned ? action("unpin", "DELETE", `${path}/pin`) : action("pin", "PUT", `${path}/pin`),
    action("events", "GET", `${path}/events`),
    ...(isBusy ? [action("cancel", "POST", `${path}/cancel`)] : []),
  ];
}

function toWire(row: SessionRow, features: string[]): Session {
  const owner = { id: row.owner_principal_id, kind: "user" as const };
  return present({
    id: row.id,
    organization_id: row.organization_id,
    workspace_id: row.workspace_id,
    harness_id: row.harness_id,
    agent_id: row.agent_id,
    owner_principal_id: row.owner_principal_id,
    owner,
    effective_owner: owner,
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
    max_iterations: row.max_iterations,
    tags: row.tags,
    features,
    is_pinned: row.is_pinned,
    status: row.status,
    preview: row.preview,
    output_preview: row.output_preview,
    usage: usageOf(row),
    started_at: isoOrNull(row.started_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
