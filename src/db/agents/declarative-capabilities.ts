import { newId } from "../../base/id.ts";
import { toJsonText } from "../../base/json.ts";
import type { DeclarativeDefinition } from "../../contract/declarative-capability.ts";
import { limits } from "../../contract/limits.ts";
import { assignments, statusStamps } from "../assign.ts";
import type { Db } from "../pool.ts";
import { searchPatterns } from "../search.ts";
import { constraintOf, isUniqueViolation } from "../sqlstate.ts";

export interface DeclarativeCapabilityRow {
  id: string;
  name: string;
  definition: DeclarativeDefinition;
  status: "active" | "archived" | "deleted";
  archived_at: Date | null;
  deleted_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = [
  "id",
  "name",
  "definition",
  "status",
  "archived_at",
  "deleted_at",
  "created_at",
  "updated_at",
] as const;

/** By name. */
export async function listDeclarativeCapabilities(
  { sql }: Db,
  input: { organizationId: string; search: string | null; includeArchived: boolean },
): Promise<DeclarativeCapabilityRow[]> {
  return await sql<DeclarativeCapabilityRow[]>`
    select ${sql(COLUMNS)} from declarative_capabilities
     where organization_id = ${input.organizationId}
       and status = any(${input.includeArchived ? ["active", "archived"] : ["active"]}::text[])
       and concat_ws(' ', name, definition->>'display_name', definition->>'description')
           ilike all (${searchPatterns(input.search)}::text[])
     order by name`;
}

/** By id, or by name when it is no id. */
export async function findDeclarativeCapability(
  { sql }: Db,
  organizationId: string,
  idOrName: string,
): Promise<DeclarativeCapabilityRow | null> {
  const rows = await sql<DeclarativeCapabilityRow[]>`
    select ${sql(COLUMNS)} from declarative_capabilities
     where organization_id = ${organizationId} and status <> 'deleted'
       and ${idOrName.includes("_") ? sql`id = ${idOrName}` : sql`name = ${idOrName}`}`;
  return rows[0] ?? null;
}

/**
 * The definitions of these names. Archived ones are in it: what refers to one already goes on; `activeOnly` leaves them
 * out, for whoever refers to one anew.
 */
export async function readDefinitions(
  { sql }: Db,
  organizationId: string,
  names: readonly string[],
  options: { activeOnly: boolean } = { activeOnly: false },
): Promise<Record<string, DeclarativeDefinition>> {
  if (names.length === 0) return {};
  const rows = await sql<{ name: string; definition: DeclarativeDefinition }[]>`
    select name, definition from declarative_capabilities
     where organization_id = ${organizationId} and name = any(${[...names]}::text[])
       and status = any(${options.activeOnly ? ["active"] : ["active", "archived"]}::text[])`;
  return Object.fromEntries(rows.map(({ name, definition }) => [name, definition]));
}

export type DeclarativeCapabilityWritten =
  | { outcome: "written"; capability: DeclarativeCapabilityRow }
  | { outcome: "not_found" | "name_taken" | "too_many" };

export async function insertDeclarativeCapability(
  { sql }: Db,
  input: { organizationId: string; definition: DeclarativeDefinition },
): Promise<DeclarativeCapabilityWritten> {
  const { organizationId, definition } = input;
  return await unlessTaken(async () => {
    const rows = await sql<DeclarativeCapabilityRow[]>`
      insert into declarative_capabilities (id, organization_id, name, definition)
      select ${newId("cap")}, ${organizationId}, ${definition.name}, ${toJsonText(definition)}::text::jsonb
       where (select count(*) from declarative_capabilities
               where organization_id = ${organizationId} and status <> 'deleted')
             < ${limits.declarativeCapabilitiesPerOrganizationMax}
      returning ${sql(COLUMNS)}`;
    return rows[0] ? { outcome: "written", capability: rows[0] } : { outcome: "too_many" };
  });
}

/** Changes what is given. A deleted one is archived before: `deleted` finds no other. */
export async function updateDeclarativeCapability(
  { sql }: Db,
  input: {
    organizationId: string;
    id: string;
    changes: {
      definition?: DeclarativeDefinition | undefined;
      status?: DeclarativeCapabilityRow["status"] | undefined;
    };
  },
): Promise<DeclarativeCapabilityWritten> {
  const { definition, status } = input.changes;
  const set = assignments(sql, { definition, name: definition?.name, status }, { definition: "json" });
  return await unlessTaken(async () => {
    const rows = await sql<DeclarativeCapabilityRow[]>`
      update declarative_capabilities
         set updated_at = now()${statusStamps(sql, status)}${set === null ? sql`` : sql`, ${set}`}
       where id = ${input.id} and organization_id = ${input.organizationId}
         and status = any(${status === "deleted" ? ["archived"] : ["active", "archived"]}::text[])
      returning ${sql(COLUMNS)}`;
    return rows[0] ? { outcome: "written", capability: rows[0] } : { outcome: "not_found" };
  });
}

async function unlessTaken(
  write: () => Promise<DeclarativeCapabilityWritten>,
): Promise<DeclarativeCapabilityWritten> {
  try {
    return await write();
  } catch (error) {
    if (isUniqueViolation(error) && constraintOf(error) === "declarative_capabilities_name") {
      return { outcome: "name_taken" };
    }
    throw error;
  }
}
