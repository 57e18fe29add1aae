/**
 * References in `capabilities` to what the organization has made itself. The catalog knows the program's own
 * capabilities; these are rows, and whether they are there is asked of the database: one statement a kind.
 */
import { UserError } from "../../base/errors.ts";
import type { CapabilityConfig } from "../../contract/common.ts";
import { readStoredReference, type StoredReferenceKind } from "../../contract/stored-reference.ts";
import { activeIds } from "../../db/integrations/stored-capabilities.ts";
import type { Db } from "../../db/pool.ts";

const NOUNS: Record<StoredReferenceKind, string> = { mcp: "MCP server", skill: "skill" };

/** True for a reference that `requireStored` checks, and not the catalog. */
export const isStored = (ref: string): boolean => readStoredReference(ref) !== null;

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

const refused = (index: number, why: string) =>
  new UserError("invalid_request", `capabilities.${index}: ${why}`);
