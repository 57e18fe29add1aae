import { limits } from "../contract/limits.ts";

/** A slice of a list. */
export interface Slice {
  offset: number;
  limit: number;
}

export interface Page<Row> {
  rows: Row[];
  /** Rows of the whole list. */
  total: number;
}

/**
 * The words of a search as patterns for `ilike all (…)`: each must be found, `%`, `_` and `\` mean themselves.
 * An empty search gives no pattern, which everything matches.
 */
export function searchPatterns(search: string | null | undefined): string[] {
  return (search ?? "")
    .split(/\s+/)
    .filter((word) => word !== "")
    .slice(0, limits.searchTokensMax)
    .map((word) => `%${word.replace(/[\\%_]/g, "\\$&")}%`);
}
