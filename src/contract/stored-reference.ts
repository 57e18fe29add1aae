/** References to what an organization has made itself: `skill:<uuid>`, `mcp:<uuid>`. */

const PREFIXES = { mcp: "mcp", skill: "skill" } as const;

export type StoredReferenceKind = keyof typeof PREFIXES;

export interface StoredReference {
  kind: StoredReferenceKind;
  /** Prefixed: `skill_<32 hex>`. */
  id: string;
}

/**
 * null: `ref` is of another kind. "malformed": it is of one of these and names nothing.
 *
 * @param ref  the UUID in its usual spelling, without hyphens, or with the prefix of its id: `skill:skill_<hex>`
 */
export function readStoredReference(ref: string): StoredReference | "malformed" | null {
  const at = ref.indexOf(":");
  const kind = ref.slice(0, at);
  if (at < 0 || !Object.hasOwn(PREFIXES, kind)) return null;
  const rest = ref.slice(at + 1);
  const hex = (rest.startsWith(`${kind}_`) ? rest.slice(kind.length + 1) : rest).toLowerCase();
  const isUuid = /^[0-9a-f]{32}$|^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(hex);
  if (!isUuid) return "malformed";
  return { kind: kind as StoredReferenceKind, id: `${kind}_${hex.replaceAll("-", "")}` };
}
