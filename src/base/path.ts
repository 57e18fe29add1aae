/**
 * Paths of stored files: absolute, `/`-separated, without `.`, `..` and empty segments. They name rows in a
 * database, never files of this machine.
 */
import { UserError } from "./errors.ts";

const SEGMENT_BYTES_MAX = 255;

/**
 * One spelling for each path: `notes//a.md`, `./notes/a.md` and `/notes/a.md/` are all `/notes/a.md`.
 *
 * @throws UserError invalid_request: `..`, control characters, a lone surrogate, the reserved first segment `_`,
 *   a path or segment that is too long
 */
export function normalizePath(path: string, charsMax: number): string {
  const refuse = (why: string) => new UserError("invalid_request", `the path ${shown(path)} ${why}`);
  if (path.length > charsMax) throw refuse(`is longer than ${charsMax} characters`);
  if (!path.isWellFormed()) throw refuse("is not valid Unicode");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(path)) throw refuse("contains a control character");
  const segments = path
    .normalize("NFC")
    .split("/")
    .filter((segment) => segment !== "" && segment !== ".");
  if (segments.includes("..")) throw refuse("contains `..`; name files by their absolute path");
  // `/fs/_/…` are the routes that act on files.
  if (segments[0] === "_") throw refuse("begins with `_`, which is reserved");
  if (segments.some((segment) => Buffer.byteLength(segment) > SEGMENT_BYTES_MAX)) {
    throw refuse(`has a name of more than ${SEGMENT_BYTES_MAX} bytes`);
  }
  const normalized = `/${segments.join("/")}`;
  if (normalized.length > charsMax) throw refuse(`is longer than ${charsMax} characters`);
  return normalized;
}

/** The directories above a normalized path, nearest last, without the root: `/a/b/c` has `/a` and `/a/b`. */
export function ancestorsOf(path: string): string[] {
  const segments = path.split("/").slice(1, -1);
  return segments.map((_, index) => `/${segments.slice(0, index + 1).join("/")}`);
}

/** The last segment; empty for the root. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Shortened and made printable: the path may come from anybody. */
function shown(path: string): string {
  const text = path.length > 80 ? `${path.slice(0, 80)}…` : path;
  return JSON.stringify(text.toWellFormed());
}
