import { UserError } from "../../base/errors.ts";
import { wellFormed } from "../../base/json.ts";
import { type Check, compileCheck, type SchemaError } from "../../contract/check.ts";
import type { TObject, TSchema } from "../../contract/schema.ts";

/**
 * Checks a value against a schema of the contract.
 *
 * We do this ourselves and do not hand the schemas to Elysia 1.4.30: it sets `additionalProperties: false` on the
 * very objects that are handed in (they are shared), refuses objects of an intersection for their own fields, and
 * its normalizer drops fields of `unknown` type inside unions, which loses a capability's `config`.
 */
export function createValidator(schema: TSchema, place: "body" | "query"): (value: unknown) => unknown {
  let check: Check | null = null;
  return (value) => {
    check ??= compileCheck(schema);
    const error = check.firstError(value);
    if (error) throw asUserError(error, place, value);
    return value;
  };
}

function asUserError(error: SchemaError, place: string, value: unknown): UserError {
  if (place === "body" && error.path === "" && value === undefined) {
    return new UserError("invalid_request", "The body is missing.");
  }
  const field = error.path.slice(1).replaceAll("/", ".") || place;
  return new UserError(
    error.isLimit ? "limit_exceeded" : "invalid_request",
    `${field}: ${error.message.charAt(0).toLowerCase()}${error.message.slice(1)}`,
  );
}

/** Query strings are text: numbers and booleans are read by the schema's types. An empty value means absent. */
export function readQuery(schema: TObject, search: URLSearchParams): Record<string, unknown> {
  const query: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(schema.properties)) {
    const values = search.getAll(name).filter((value) => value !== "");
    const last = values.at(-1);
    if (last === undefined) continue;
    query[name] =
      property.type === "array" ? values.map(wellFormed) : readScalar(String(property.type), last);
  }
  return query;
}

function readScalar(type: string, text: string): unknown {
  if (type === "integer" && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (type === "boolean" && (text === "true" || text === "1")) return true;
  if (type === "boolean" && (text === "false" || text === "0")) return false;
  return wellFormed(text);
}

/**
 * Renames camelCase fields to the snake_case that the schema knows (and `mcp_servers` to `mcpServers`), wherever
 * the schema describes the object: the TypeScript SDK sends several fields in its own spelling. A field that is
 * there under its proper name wins.
 */
export function applyAliases(schema: TSchema, value: unknown): unknown {
  const branches: TSchema[] | undefined = schema.anyOf ?? schema.allOf;
  if (branches) return branches.reduce((result, branch) => applyAliases(branch, result), value);
  if (Array.isArray(value))
    return schema.items ? value.map((item) => applyAliases(schema.items, item)) : value;
  if (typeof value !== "object" || value === null || schema.properties === undefined) return value;
  const result: Record<string, unknown> = { ...value };
  for (const [name, property] of Object.entries<TSchema>(schema.properties)) {
    const alias = otherCase(name);
    if (alias !== name && !(name in result) && alias in result) {
      result[name] = result[alias];
      delete result[alias];
    }
    if (name in result) result[name] = applyAliases(property, result[name]);
  }
  return result;
}

function otherCase(name: string): string {
  return name.includes("_")
    ? name.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase())
    : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
