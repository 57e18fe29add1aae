import { UserError } from "../../base/errors.ts";
import { isId } from "../../base/id.ts";

/**
 * An id from the path, or from a field that names something.
 *
 * @param text  null is what Elysia gives for a segment that is not valid percent-encoding
 * @throws UserError invalid_id
 */
export function pathId(prefix: string, text: string | null): string {
  if (text !== null && isId(prefix, text)) return text;
  throw new UserError(
    "invalid_id",
    `${JSON.stringify((text ?? "").slice(0, 80).toWellFormed())} is not an id of the form ${prefix}_<32 hex digits>`,
  );
}
