/**
 * References in `capabilities` to what the organization has made itself. The catalog knows the program's own
 * capabilities; these are rows, and whether they are there is asked of the database: one statement a kind.
 */
import { UserError } from "../../base/errors.ts";
import { declarativeNames } from "../../capabilities/declarative.ts";
import type { CapabilityConfig } from "../../contract/common.ts";
import { declarativeName } from "../../contract/declarative-capability.ts";
import { readStoredReference, type StoredReferenceKind } from "../../contract/stored-reference.ts";
import { readDefinitions } from "../../db/agents/declarative-capabilities.ts";
import { activeIds } from "../../db/integrations/stored-capabilities.ts";
import type { Db } from "../../db/pool.ts";

const NOUNS: Record<StoredReferenceKind, string> = { mcp: "MCP server", skill: "skill" };

/** True for a reference that `requireStored` checks, and not the catalog. */
export const isStored = (ref: string): boolean =>
  readStoredReference(ref) !== null || declarativeName(ref) !== null;

/** @throws UserError invalid_request: it is not there, archived or switched off, or takes no configuration */
export async function requireStored(
  db: Db,
  organizationId: string,
  capabilities: readonly CapabilityConfig[],
): Promise<void> {
  const asked = capabilities.flatMap(({ ref, config }, index) => {
    const reference = readStoredReference(ref);
    if (reference === null) return [];
    if (reference === "malformed")
      throw refused(index, `${JSON.stringify(ref)} is not of the form <kind>:<uuid>`);
    const isConfigured = typeof config === "object" && config !== null && Object.keys(config).length > 0;
    if (isConfigured || (config !== undefined && typeof config !== "object")) {
      throw refused(index, `a ${NOUNS[reference.kind]} takes no config`);
    }
    return [{ ...reference, index }];
  });
  await requireDeclarative(db, organizationId, capabilities);
  for (const [kind, ofKind] of Object.entries(Object.groupBy(asked, (one) => one.kind))) {
    const found = await activeIds(
      db,
      organizationId,
      kind as StoredReferenceKind,
      ofKind.map(({ id }) => id),
    );
    const missing = ofKind.find(({ id }) => !found.has(id));
    if (missing) {
      throw refused(missing.index, `there is no active ${NOUNS[missing.kind]} ${missing.id}`);
    }
  }
}

/** Those that the organization wrote down, by name. */
async function requireDeclarative(
  db: Db,
  organizationId: string,
  capabilities: readonly CapabilityConfig[],
): Promise<void> {
  const names = declarativeNames(capabilities);
  const definitions = await readDefinitions(db, organizationId, names, { activeOnly: true });
  for (const [index, { ref, config }] of capabilities.entries()) {
    const name = declarativeName(ref);
    if (name === null) continue;
    if (!Object.hasOwn(definitions, name))
      throw refused(index, `there is no active declarative capability ${name}`);
    if (config !== undefined && !(typeof config === "object" && Object.keys(config ?? {}).length === 0)) {
      throw refused(index, "a declarative capability takes no config");
    }
  }
}

const refused = (index: number, why: string) =>
  new UserError("invalid_request", `capabilities.${index}: ${why}`);
