/** What a request says about an agent, checked before anything is stored. */
import { UserError } from "../../base/errors.ts";
import type { CreateAgentRequest, UpdateAgentRequest } from "../../contract/agent.ts";
import { SLUG } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import type { AgentFields, AgentRow } from "../../db/agents/agents.ts";
import { readHarness } from "../../db/agents/harnesses.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import {
  EMPTY_LAYER,
  readLayer,
  requireBytes,
  requireCapabilityRights,
  requireModel,
  requireName,
} from "./layer.ts";

/** An id, or a name. @throws UserError invalid_id */
export function agentRef(text: string): string {
  return text.length <= limits.nameCharsMax && SLUG.test(text) ? text : pathId("agent", text);
}

/** A whole agent: what the body leaves out is empty. @throws UserError */
export async function readFields(
  deps: Pick<ApiDeps, "db" | "capabilities">,
  caller: Caller,
  body: CreateAgentRequest,
): Promise<AgentFields> {
  const { name, system_prompt, ...rest } = body;
  const changes = await readChanges(deps, caller, rest);
  const harness = changes.harness_id ?? (await readHarness(deps.db, caller.organizationId, "default"))?.id;
  if (harness === undefined) throw new Error("the default harness is missing");
  requireBytes("system_prompt", system_prompt, limits.systemPromptBytesMax);
  return {
    display_name: null,
    description: null,
    default_model_id: null,
    ...EMPTY_LAYER,
    ...changes,
    harness_id: harness,
    name: requireName(name),
    system_prompt,
  };
}

/** What the body asks to change, checked; see `UpdateAgentRequest` for the meaning of null. */
export async function readChanges(
  { db, capabilities }: Pick<ApiDeps, "db" | "capabilities">,
  caller: Caller,
  body: UpdateAgentRequest,
): Promise<Partial<AgentFields> & { status?: AgentRow["status"] }> {
  const changes: Partial<AgentFields> & { status?: AgentRow["status"] } = await readLayer(
    body,
    { db, capabilities },
    caller.organizationId,
  );
  const { organizationId } = caller;
  requireCapabilityRights(capabilities, caller, changes.capabilities);
  if (body.name != null) changes.name = requireName(body.name);
  if (body.system_prompt != null) {
    requireBytes("system_prompt", body.system_prompt, limits.systemPromptBytesMax);
    changes.system_prompt = body.system_prompt;
  }
  if (body.status != null) changes.status = body.status;
  if (body.display_name !== undefined) changes.display_name = body.display_name;
  if (body.description !== undefined) {
    requireBytes("description", body.description, limits.descriptionBytesMax);
    changes.description = body.description;
  }
  const harness = body.harness_id ?? body.harness_name;
  if (harness != null) {
    const field = body.harness_id == null ? "harness_name" : "harness_id";
    if (field === "harness_id") pathId("harness", harness);
    const found = await readHarness(db, organizationId, harness);
    if (!found)
      throw new UserError("invalid_request", `${field}: there is no harness ${JSON.stringify(harness)}`);
    if (found.status !== "active")
      throw new UserError("invalid_request", `${field}: the harness ${found.name} is archived`);
    changes.harness_id = found.id;
  }
  const model = body.default_model_id === undefined ? body.model : body.default_model_id;
  if (model === null) changes.default_model_id = null;
  if (model != null) {
    const field = body.default_model_id === undefined ? "model" : "default_model_id";
    changes.default_model_id = await requireModel(db, organizationId, {
      field,
      id: model,
      code: "invalid_request",
    });
  }
  return changes;
}
