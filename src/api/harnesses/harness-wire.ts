/** From a harness's row to the wire. */
import { UserError } from "../../base/errors.ts";
import type { AllowedAction } from "../../contract/common.ts";
import type { Harness, HarnessWithCounts, HarnessWithUrls } from "../../contract/harness.ts";
import { limits } from "../../contract/limits.ts";
import { type HarnessWritten, harnessIdOfName } from "../../db/agents/harness-writes.ts";
import type { HarnessCountsRow, HarnessRow } from "../../db/agents/harnesses.ts";
import type { Db } from "../../db/pool.ts";
import { action, iso, isoOrNull, nameTaken, present, urlsOf } from "../http/respond.ts";

export const noHarness = () => new UserError("not_found", "Harness not found");

/** The harness that was written. @throws UserError not_found, name_taken, conflict, invalid_request */
export async function writtenHarness(
  db: Db,
  organizationId: string,
  result: HarnessWritten,
  name: string,
): Promise<HarnessWithUrls> {
  switch (result.outcome) {
    case "written":
      return harnessWithUrls(result.harness);
    case "not_found":
      throw noHarness();
    case "name_taken":
      throw nameTaken("harness", name, "/harnesses", await harnessIdOfName(db, organizationId, name));
    case "too_many":
      throw new UserError(
        "conflict",
        `the organization has ${limits.harnessesPerOrganizationMax} harnesses already; delete one first`,
      );
    case "no_parent":
      throw new UserError("invalid_request", "parent_harness_id: there is no active harness of this id");
    case "cycle":
      throw new UserError(
        "invalid_request",
        "parent_harness_id: that harness inherits from this one; a chain of parents must end",
      );
    case "too_deep":
      throw new UserError(
        "invalid_request",
        `parent_harness_id: a chain of parents has at most ${limits.harnessDepthMax} harnesses`,
      );
  }
}

export function harnessWithCounts(row: HarnessCountsRow): HarnessWithCounts {
  return {
    ...harnessWithUrls(row),
    agent_count: row.agent_count,
    app_count: 0,
    session_count: row.session_count,
  };
}

export function harnessWithUrls(row: HarnessRow): HarnessWithUrls {
  return { ...toWire(row), ...urlsOf(`/harnesses/${row.id}`, actionsOf(row)) };
}

function actionsOf({ id, organization_id, status }: HarnessRow): AllowedAction[] {
  const path = `/harnesses/${id}`;
  if (organization_id === null || status === "deleted") return [];
  if (status !== "active")
    return [{ ...action("unarchive", "PATCH", path), hint: '{"status": "active"} takes it back' }];
  return [action("update", "PATCH", path), action("delete", "DELETE", path)];
}

function toWire(row: HarnessRow): Harness {
  return present({
    id: row.id,
    name: row.name,
    display_name: row.display_name,
    description: row.description,
    system_prompt: row.system_prompt,
    parent_harness_id: row.parent_harness_id,
    default_model_id: row.default_model_id,
    capabilities: row.capabilities,
    initial_files: row.initial_files,
    mcpServers: row.mcp_servers,
    network_access: row.network_access,
    parallel_tool_calls: row.parallel_tool_calls,
    embedder_metadata: row.embedder_metadata,
    tags: row.tags,
    is_built_in: row.organization_id === null,
    status: row.status,
    archived_at: isoOrNull(row.archived_at),
    deleted_at: isoOrNull(row.deleted_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
