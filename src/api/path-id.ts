import { UserError } from "../base/errors.ts";
import { isId } from "../base/id.ts";

/** An id from the path. @throws UserError invalid_id */
export function pathId(prefix: string, text: string): string {
  if (isId(prefix, text)) return text;
  throw new UserError(
    "invalid_id",
    `"${text.slice(0, 80)}" is not an id of the form ${prefix}_<32 hex digits>`,
  );
}
