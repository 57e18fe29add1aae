/** What a request says about a harness, checked before anything is stored. */
import { UserError } from "../../base/errors.ts";
import { SLUG } from "../../contract/common.ts";
import type { CreateHarnessRequest, UpdateHarnessRequest } from "../../contract/harness.ts";
import { limits } from "../../contract/limits.ts";
import { type HarnessFields, type HarnessRow, readHarness } from "../../db/agents/harnesses.ts";
import type { Db } from "../../db/pool.ts";
import { readLayer, requireBytes, requireJsonBytes, requireModel, requireName } from "../agents/layer.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";

/** An id, a name, or `default`. @throws UserError invalid_id */
export function harnessRef(text: string): string {
  return text.length <= limits.nameCharsMax && SLUG.test(text) ? text : pathId("harness", text);
}

/** A whole harness: what the body leaves out is empty. @throws UserError */
export async function readHarnessFields(
  deps: Pick<ApiDeps, "db" | "capabilities">,
  organizationId: string,
  body: CreateHarnessRequest,
): Promise<HarnessFields> {
  const { name, ...rest } = body;
  return {
    display_name: null,
    description: null,
    system_prompt: null,
    parent_harness_id: null,
    default_model_id: null,
    capabilities: [],
    initial_files: [],
    mcp_servers: {},
    network_access: null,
    parallel_tool_calls: null,
    embedder_metadata: {},
    tags: [],
    ...(await readHarnessChanges(deps, organizationId, rest)),
    name: requireHarnessName(name),
  };
}

/** What the body asks to change, checked; see `UpdateHarnessRequest` for the meaning of null. */
export async function readHarnessChanges(
  { db, capabilities }: Pick<ApiDeps, "db" | "capabilities">,
  organizationId: string,
  body: UpdateHarnessRequest,
): Promise<Partial<HarnessFields> & { status?: HarnessRow["status"] }> {
  const changes: Partial<HarnessFields> & { status?: HarnessRow["status"] } = await readLayer(
    body,
    { db, capabilities },
    organizationId,
  );
  if (body.name != null) changes.name = requireHarnessName(body.name);
  if (body.status != null) changes.status = body.status;
  if (body.display_name !== undefined) changes.display_name = body.display_name;
  if (body.description !== undefined) {
    requireBytes("description", body.description, limits.descriptionBytesMax);
    changes.description = body.description;
  }
  if (body.system_prompt !== undefined) {
    requireBytes("system_prompt", body.system_prompt, limits.systemPromptBytesMax);
    changes.system_prompt = body.system_prompt;
  }
  if (body.embedder_metadata !== undefined) {
    requireJsonBytes("embedder_metadata", body.embedder_metadata, limits.embedderMetadataBytesMax);
    changes.embedder_metadata = body.embedder_metadata ?? {};
  }
  if (body.parent_harness_id === null) changes.parent_harness_id = null;
  if (body.parent_harness_id != null) {
    changes.parent_harness_id = await requireParent(db, organizationId, body.parent_harness_id);
  }
  if (body.default_model_id === null) changes.default_model_id = null;
  if (body.default_model_id != null) {
    const model = { field: "default_model_id", id: body.default_model_id, code: "invalid_request" } as const;
    changes.default_model_id = await requireModel(db, organizationId, model);
  }
  return changes;
}

/** `default` stands for whichever harness is the default: none can have it for a name. @throws UserError invalid_name */
export function requireHarnessName(name: string): string {
  if (name !== "default") return requireName(name);
  throw new UserError(
    "invalid_name",
    "no harness can be named default: it stands for the one in use by default",
  );
}

/** The parent's id; a name means the harness of that name. @throws UserError invalid_id, invalid_request */
export async function requireParent(db: Db, organizationId: string, text: string): Promise<string> {
  const parent = await readHarness(db, organizationId, harnessRef(text));
  if (parent?.status === "active") return parent.id;
  throw new UserError(
    "invalid_request",
    `parent_harness_id: there is no active harness ${JSON.stringify(text)}`,
  );
}
