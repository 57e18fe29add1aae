/** From a body that a schema takes, the bodies that it does not: one field at a time, wrong in one way each. */
import { branchesOf, type Document, type Schema, typesOf } from "./document.ts";
import { sampleOf } from "./samples.ts";

export interface WrongBody {
  /** `tags.0` */
  field: string;
  /** `one character too many` */
  why: string;
  body: unknown;
}

type Accepts = (schema: Schema, value: unknown) => boolean;

/** Longer than any limit that is worth a body of its own: such fields are bounded by the body itself. */
const CHARS_TRIED_MAX = 300_000;
const ITEMS_TRIED_MAX = 30_000;

/** A value of each JSON type, and texts that mean something to somebody. */
const STRANGERS: [why: string, value: unknown][] = [
  ["null", null],
  ["a boolean", true],
  ["a number", 12],
  ["a fraction", 1.5],
  ["a number below zero", -1],
  ["a number beyond every integer", 1e300],
  ["a text", "no-such-value"],
  ["an empty text", ""],
  ["SQL", "x'; drop table agents; --"],
  ["a path upwards", "../../etc/passwd"],
  ["a NUL", "a\0b"],
  ["half a surrogate pair", "\ud800"],
  ["a list", [[]]],
  ["an empty object", {}],
];

/**
 * Every wrong body of a schema.
 *
 * @param accepts  whether a schema takes a value, by another validator than the server's
 */
export function wrongBodies(document: Document, schema: Schema, accepts: Accepts): WrongBody[] {
  const whole = sampleOf(document, schema, { isFull: true });
  const found: WrongBody[] = [];
  const visit = (part: Schema, path: (string | number)[], value: unknown): void => {
    const field = path.join(".");
    const put = (why: string, wrong: unknown) =>
      found.push({ field, why, body: replaced(whole, path, wrong) });
    for (const [why, wrong] of [...STRANGERS, ...limitsOf(document, part)]) {
      if (!accepts(part, wrong)) put(why, wrong);
    }
    const branch = branchesOf(document, part)[0];
    if (!branch || value === null) return;
    if (Array.isArray(value)) {
      if (value.length > 0 && branch.items) visit(branch.items, [...path, 0], value[0]);
    } else if (typeof value === "object") {
      for (const [name, property] of Object.entries(branch.properties ?? {})) {
        if (!(name in value)) continue;
        if (branch.required?.includes(name)) {
          found.push({
            field: [...path, name].join("."),
            why: "left out",
            body: replaced(whole, [...path, name], undefined),
          });
        }
        visit(property, [...path, name], (value as Record<string, unknown>)[name]);
      }
    }
  };
  visit(schema, [], whole);
  return found;
}

/** Values that are one over what the schema allows. */
function limitsOf(document: Document, schema: Schema): [why: string, value: unknown][] {
  return branchesOf(document, schema).flatMap((branch) => {
    const cases: [string, unknown][] = [];
    const sample = sampleOf(document, branch, { isFull: true });
    if (branch.maxLength !== undefined && branch.maxLength < CHARS_TRIED_MAX) {
      cases.push(["one character too many", "x".repeat(branch.maxLength + 1)]);
    }
    if (branch.minLength) cases.push(["one character too few", "x".repeat(branch.minLength - 1)]);
    if (branch.maxItems !== undefined && branch.maxItems < ITEMS_TRIED_MAX) {
      const item = sampleOf(document, branch.items ?? {}, { isFull: false });
      cases.push(["one item too many", Array.from({ length: branch.maxItems + 1 }, () => item)]);
    }
    if (branch.minItems)
      cases.push(["one item too few", (sample as unknown[]).slice(0, branch.minItems - 1)]);
    if (branch.maximum !== undefined) cases.push(["one too large", branch.maximum + 1]);
    if (branch.minimum !== undefined) cases.push(["one too small", branch.minimum - 1]);
    if (branch.exclusiveMinimum !== undefined)
      cases.push(["at a bound that is outside", branch.exclusiveMinimum]);
    if (branch.exclusiveMaximum !== undefined)
      cases.push(["at a bound that is outside", branch.exclusiveMaximum]);
    if (branch.maxProperties !== undefined && branch.maxProperties < ITEMS_TRIED_MAX) {
      const names = Array.from({ length: branch.maxProperties + 1 }, (_none, index) => [
        `field${index}`,
        "x",
      ]);
      cases.push(["one field too many", Object.fromEntries(names)]);
    }
    if (typesOf(branch)[0] === "integer") cases.push(["a text with a number", "1"]);
    return cases;
  });
}

/** A copy in which one place holds another value; undefined takes it out. */
function replaced(whole: unknown, path: readonly (string | number)[], value: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  const inner = replaced((whole as Record<string | number, unknown>)[first], rest, value);
  if (Array.isArray(whole)) return whole.map((item, index) => (index === first ? inner : item));
  const { [first]: _old, ...others } = whole as Record<string | number, unknown>;
  return inner === undefined ? others : { ...others, [first]: inner };
}

/** Bodies in which one text or list without a limit in its schema is larger than anything that makes sense. */
export function hugeBodies(
  document: Document,
  schema: Schema,
  known: (field: string, schema: Schema) => unknown,
): WrongBody[] {
  const found: WrongBody[] = [];
  const whole = sampleOf(document, schema, { isFull: true, known });
  const visit = (part: Schema, path: (string | number)[], value: unknown): void => {
    if (value === null || value === undefined) return;
    const field = path.join(".");
    const put = (why: string, wrong: unknown) =>
      found.push({ field, why, body: replaced(whole, path, wrong) });
    for (const branch of branchesOf(document, part)) {
      const type = typesOf(branch)[0] ?? (branch.properties ? "object" : "");
      const isClosed =
        branch.enum !== undefined || branch.pattern !== undefined || branch.format !== undefined;
      if (type === "string" && typeof value === "string" && branch.maxLength === undefined && !isClosed) {
        put("a text of 2 MiB", "x".repeat(2 * 1024 * 1024));
      }
      if (type === "") put("any JSON of 2 MiB", { text: "x".repeat(2 * 1024 * 1024) });
      if (type === "array" && Array.isArray(value)) {
        if (branch.maxItems === undefined && value.length > 0) {
          put(
            "a list of 20,001 items",
            Array.from({ length: 20_001 }, () => value[0]),
          );
        }
        if (branch.items) visit(branch.items, [...path, 0], value[0]);
      }
      if (type !== "object" || typeof value !== "object" || Array.isArray(value)) continue;
      for (const [name, property] of Object.entries(branch.properties ?? {})) {
        visit(property, [...path, name], (value as Record<string, unknown>)[name]);
      }
      if (branch.additionalProperties && !branch.properties && branch.maxProperties === undefined) {
        const names = Array.from({ length: 20_001 }, (_none, index) => [`field${index}`, "x".repeat(100)]);
        put("an object of 20,001 fields", Object.fromEntries(names));
      }
    }
  };
  visit(schema, [], whole);
  return found;
}
