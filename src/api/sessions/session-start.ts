import { RetryableError, UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { declarativeNames, definedFiles } from "../../capabilities/declarative.ts";
import { mergeCapabilities, mergeFiles } from "../../capabilities/layers.ts";
import { type CapabilityConfig, type InitialFile, SLUG } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import type { CreateSessionRequest } from "../../contract/session.ts";
import { agentForSession } from "../../db/agents/agent-versions.ts";
import { type AgentRow, findAgent } from "../../db/agents/agents.ts";
import { readDefinitions } from "../../db/agents/declarative-capabilities.ts";
import { harnessChains, readHarness } from "../../db/agents/harnesses.ts";
import { putInitialFiles } from "../../db/files/files.ts";
import { findTree } from "../../db/files/trees.ts";
import { createSession, ownWorkspaceId, type SessionRow } from "../../db/session-rows.ts";
import { EMPTY_LAYER, readLayer, requireBytes, requireModel } from "../agents/layer.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { action } from "../http/respond.ts";

/** Checks what a new session names, puts its first files, and creates it with its first event. @throws UserError */
export async function startSession(
  { db, capabilities, caps }: Pick<ApiDeps, "db" | "capabilities" | "caps">,
  { organizationId, principalId }: Caller,
  body: CreateSessionRequest,
): Promise<SessionRow> {
  requireBytes("system_prompt", body.system_prompt, limits.systemPromptBytesMax);
  requireBytes("hints", JSON.stringify(body.hints ?? {}), limits.metadataBytesMax);
  const layer = { ...EMPTY_LAYER, ...(await readLayer(body, { db, capabilities }, organizationId)) };
  const locale = readLocale(body.locale ?? null);
  const agent = await findSessionAgent(db, organizationId, body);
  const harnessId = await findSessionHarness(db, organizationId, body, agent);
  const modelId =
    body.model_id == null
      ? null
      : await requireModel(db, organizationId, { field: "model_id", id: body.model_id, code: "not_found" });

  await caps.admitSession(organizationId);
  const id = newId("session");
  const shared = body.workspace_id == null ? null : pathId("wsp", body.workspace_id);
  if (shared !== null) await requireWorkspace(db, organizationId, shared);
  const workspaceId = shared ?? ownWorkspaceId(id);
  // Into a workspace that others use, only what this very request brings along is put.
  const files =
    shared === null
      ? await starterFiles(db, organizationId, { harnessId, agent, own: layer })
      : layer.initial_files;
  await putInitialFiles(db, { organizationId, treeId: workspaceId }, files);

  const session = await createSession(db, {
    organizationId,
    id,
    fields: {
      ...layer,
      harness_id: harnessId,
      agent_id: agent?.id ?? null,
      agent_version_id: agent?.default_version_id ?? null,
      workspace_id: workspaceId,
      owner_principal_id: principalId,
      title: body.title ?? null,
      locale,
      model_id: modelId,
      system_prompt: body.system_prompt ?? null,
      hints: body.hints ?? null,
    },
  });
  if (session) return session;
  await requireWorkspace(db, organizationId, workspaceId);
  throw new RetryableError("unavailable", "the workspace was being changed; try again");
}

/** @throws UserError not_found; invalid_request   it is archived */
async function requireWorkspace(db: ApiDeps["db"], organizationId: string, id: string): Promise<void> {
  const workspace = await findTree(db, organizationId, "workspace", id);
  if (!workspace) throw new UserError("not_found", "Workspace not found");
  if (workspace.status === "active") return;
  throw new UserError(
    "invalid_request",
    `workspace_id: the workspace ${workspace.name} is archived; take it back to start sessions with it`,
    {
      fields: {
        allowed_actions: [
          { ...action("unarchive", "PATCH", `/workspaces/${id}`), hint: '{"status": "active"}' },
        ],
      },
    },
  );
}

/** The agent as a new session uses it. @throws UserError */
export async function findSessionAgent(
  db: ApiDeps["db"],
  organizationId: string,
  body: Pick<CreateSessionRequest, "agent_id" | "agent_name">,
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
  return agentForSession(db, organizationId, agent);
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
  if (harness.status === "archived") {
    throw new UserError(
      "conflict",
      `the harness ${harness.name} is archived; take it back to start sessions with it`,
      {
        fields: {
          allowed_actions: [
            { ...action("unarchive", "PATCH", `/harnesses/${harness.id}`), hint: '{"status": "active"}' },
          ],
        },
      },
    );
  }
  return harness.id;
}

/** By path: what declarative capabilities bring along, the harness's parents, the harness, the agent, the session; the last one wins. */
async function starterFiles(
  db: ApiDeps["db"],
  organizationId: string,
  {
    harnessId,
    agent,
    own,
  }: {
    harnessId: string;
    agent: AgentRow | null;
    own: { capabilities: CapabilityConfig[]; initial_files: InitialFile[] };
  },
): Promise<InitialFile[]> {
  const chain = (await harnessChains(db, organizationId, [harnessId])).get(harnessId) ?? [];
  const layers = [...chain.toReversed(), ...(agent ? [agent] : []), own];
  const capabilities = mergeCapabilities(layers.map((layer) => layer.capabilities));
  const definitions = await readDefinitions(db, organizationId, declarativeNames(capabilities));
  return mergeFiles([definedFiles(capabilities, definitions), ...layers.map((layer) => layer.initial_files)]);
}

/** @throws UserError invalid_request */
export function readLocale(locale: string | null): string | null {
  if (locale === null || isLocale(locale)) return locale;
  throw new UserError(
    "invalid_request",
    `locale: ${JSON.stringify(locale)} is no language tag such as uk-UA`,
  );
}

/** A language tag of BCP 47. */
export function isLocale(text: string): boolean {
  try {
    Intl.getCanonicalLocales(text);
    return true;
  } catch {
    return false;
  }
}
