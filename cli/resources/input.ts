/** What a body is made of: a file (JSON or YAML), stdin, and `--set name=value`. */
import { parse } from "yaml";
import { describeError, UserError } from "../../src/base/errors.ts";
import { type CommandContext, UsageError } from "../action.ts";

export interface BodySource {
  /** Path of a file, or `-` for stdin. */
  file?: string;
  /** `name=value`. */
  set?: readonly string[];
}

/**
 * @param textField  the field that the file is, letter by letter
 * @throws UsageError  nothing was given
 * @throws UserError   the file cannot be read, or is no object
 */
export async function readBody(
  _context: CommandContext,
  source: BodySource,
  textField?: string,
): Promise<Record<string, unknown>> {
  if (source.file === undefined && source.set === undefined) {
    throw new UsageError("nothing to send: give a file with -f, or fields with --set name=value");
  }
  const body = source.file === undefined ? {} : await readFields(source.file, textField);
  for (const pair of source.set ?? []) {
    const [, name, value = ""] = /^([A-Za-z_][\w]*)=([\s\S]*)$/.exec(pair) ?? [];
    if (name === undefined) throw new UsageError(`--set takes name=value, not "${pair}"`);
    body[name] = parseValue(value);
  }
  return body;
}

async function readFields(path: string, textField: string | undefined): Promise<Record<string, unknown>> {
  const text = await readText(path);
  return textField === undefined ? parseObject(text, path) : { [textField]: text };
}

/** @param path  `-`: stdin */
export async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readBytes(path));
}

/** @throws UserError file_unreadable */
export async function readBytes(path: string): Promise<Uint8Array> {
  if (path === "-") return Bun.stdin.bytes();
  try {
    return await Bun.file(path).bytes();
  } catch {
    throw new UserError("file_unreadable", `${path} cannot be read`);
  }
}

/**
 * JSON is YAML, so one reader does for both.
 *
 * @param where  said before what is wrong; null: the caller says it
 * @throws UserError file_invalid, in one line, with the line and column
 */
export function parseObject(text: string, where: string | null): Record<string, unknown> {
  const wrong = (what: string) => new UserError("file_invalid", where === null ? what : `${where}: ${what}`);
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    const [problem = ""] = describeError(error).split("\n");
    throw wrong(problem.replace(/:$/, ""));
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw wrong("an object with fields is expected");
}

/** Numbers, booleans, null, lists, objects and quoted strings are what they look like; anything else is text. */
function parseValue(text: string): unknown {
  if (!/^(?:-?\d+(?:\.\d+)?|true|false|null|[[{"'][\s\S]*)$/.test(text)) return text;
  try {
    return parse(text);
  } catch {
    return text;
  }
}
