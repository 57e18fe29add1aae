import { UserError } from "../../base/errors.ts";
import { declarativeCapability } from "../../capabilities/declarative.ts";
import type { CapabilityEntry } from "../../capabilities/registry.ts";
import { toEntry } from "../../capabilities/registry.ts";
import { CapabilityInfoWithUrls } from "../../contract/capability.ts";
import { DECLARATIVE_PREFIX, declarativeName } from "../../contract/declarative-capability.ts";
import { limits } from "../../contract/limits.ts";
import { List, Type } from "../../contract/schema.ts";
import { type CapabilityUse, capabilityUse } from "../../db/agents/capability-use.ts";
import {
  type DeclarativeCapabilityRow,
  findDeclarativeCapability,
  listDeclarativeCapabilities,
} from "../../db/agents/declarative-capabilities.ts";
import type { ApiDeps } from "../deps.ts";
import { PageQuery, page, present, reply, sliceOf, urlsOf } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

/** The catalog of capabilities that this program has. */
export function capabilityRoutes({ db, capabilities }: Pick<ApiDeps, "db" | "capabilities">): Route[] {
  const declaredEntry = async (organizationId: string, id: string): Promise<CapabilityEntry | null> => {
    const name = declarativeName(id);
    const row = name === null ? null : await findDeclarativeCapability(db, organizationId, name);
    return row?.status === "active" ? entryOf(row) : null;
  };

  return [
    defineRoute({
      method: "GET",
      path: "/capabilities",
      operationId: "list_capabilities",
      tag: "capabilities",
      summary: "List capabilities",
      description:
        "The program's own, then those that the organization wrote down (`declarative:<name>`), by name.",
      query: Type.Object({ search: Type.Optional(Type.String()), ...PageQuery }),
      responses: { 200: List(CapabilityInfoWithUrls) },
      async run({ query, caller, request }) {
        const slice = sliceOf(query);
        const written = await listDeclarativeCapabilities(db, {
          organizationId: caller.organizationId,
          search: null,
          includeArchived: false,
        });
        const all = [...capabilities.list(), ...written.flatMap((row) => entryOf(row) ?? [])];
        const found = all.filter((entry) => matches(entry, query.search ?? ""));
        const shown = found.slice(slice.offset, slice.offset + slice.limit);
        const use = await capabilityUse(db, caller.organizationId);
        const data = shown.map((entry) => toWire(entry, use.get(entry.id)));
        return reply(200, page(request, data, found.length, slice));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/capabilities/{capability_id}",
      operationId: "get_capability",
      tag: "capabilities",
      summary: "Read a capability",
      responses: { 200: CapabilityInfoWithUrls },
      problems: ["not_found"],
      async run({ params, caller }) {
        const entry =
          capabilities.find(params.capability_id) ??
          (await declaredEntry(caller.organizationId, params.capability_id));
        if (!entry) throw new UserError("not_found", "Capability not found");
        const use = await capabilityUse(db, caller.organizationId);
        return reply(200, toWire(entry, use.get(entry.id)));
      },
    }),
  ];
}

const entryOf = ({ name, definition }: DeclarativeCapabilityRow): CapabilityEntry | null => {
  const capability = declarativeCapability(DECLARATIVE_PREFIX + name, definition);
  return capability && toEntry(capability);
};

/** Every word must be found in id, name or description. */
function matches({ id, name, description }: CapabilityEntry, search: string): boolean {
  const text = `${id} ${name} ${description}`.toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .slice(0, limits.searchTokensMax)
    .every((word) => text.includes(word));
}

function toWire(entry: CapabilityEntry, use: CapabilityUse | undefined): CapabilityInfoWithUrls {
  return {
    ...present({
      id: entry.id,
      name: entry.name,
      description: entry.description,
      status: "available",
      category: entry.category,
      icon: entry.icon,
      risk_level: entry.risk_level,
      features: [...entry.features],
      dependencies: [...entry.dependencies],
      config_schema: entry.config_schema,
      system_prompt: entry.system_prompt,
      tool_definitions: [...entry.tool_definitions],
      is_guardrail: entry.is_guardrail,
      is_mcp: false,
      is_skill: false,
      agent_count: use?.agent_count ?? 0,
      harness_count: use?.harness_count ?? 0,
    }),
    ...urlsOf(`/capabilities/${entry.id}`),
  };
}
