/** Values that a schema takes: the smallest, the fullest, and one for each of its alternatives. */
import fc from "fast-check";
import { branchesOf, type Document, merged, type Schema, typesOf } from "./document.ts";

/** Values for fields by name, where the schema alone cannot know: an id that is there, a name that is free. */
export type Known = (field: string, schema: Schema) => unknown;

export interface SampleOptions {
  /** Optional fields, too. */
  isFull: boolean;
  known?: Known;
}

/** How deep a full sample goes into shapes that hold themselves. */
const DEPTH_MAX = 6;

/** A value that the schema takes. */
export function sampleOf(document: Document, schema: Schema, options: SampleOptions, depth = 0): unknown {
  const branch = branchesOf(document, schema)[0];
  if (!branch) return null;
  if (branch.const !== undefined) return branch.const;
  if (branch.enum) return branch.enum.find((value) => value !== null);
  switch (typesOf(branch)[0] ?? (branch.properties ? "object" : "")) {
    case "string":
      return stringOf(branch);
    case "integer":
    case "number":
      return numberOf(branch);
    case "boolean":
      return true;
    case "array": {
      const count = Math.max(branch.minItems ?? 0, options.isFull && depth < DEPTH_MAX ? 1 : 0);
      return Array.from({ length: count }, () => sampleOf(document, branch.items ?? {}, options, depth + 1));
    }
    case "object":
      return objectOf(document, branch, options, depth);
    default:
      return {};
  }
}

function objectOf(document: Document, schema: Schema, options: SampleOptions, depth: number): unknown {
  const required = new Set(schema.required ?? []);
  const fields: [string, unknown][] = [];
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (!required.has(name) && (!options.isFull || depth >= DEPTH_MAX)) continue;
    const known = options.known?.(name, merged(document, property));
    if (known === LEFT_OUT && !required.has(name)) continue;
    const isKnown = known !== undefined && known !== LEFT_OUT;
    fields.push([name, isKnown ? known : sampleOf(document, property, options, depth + 1)]);
  }
  return Object.fromEntries(fields);
}

/** What a `Known` gives for a field that must not be sent. */
export const LEFT_OUT = Symbol("left out");

function stringOf(schema: Schema): string {
  const example = schema.examples?.find((value) => typeof value === "string");
  if (example !== undefined) return example as string;
  if (schema.format === "date-time") return "2026-05-26T00:00:00.123Z";
  if (schema.format === "uuid") return "0198c0de-4f2a-7c3e-9b1a-5d6e7f8091a2";
  if (schema.pattern !== undefined) {
    const [match] = fc.sample(fc.stringMatching(new RegExp(schema.pattern)), { numRuns: 1, seed: 1 });
    return match ?? "";
  }
  return "sample-text".padEnd(schema.minLength ?? 0, "x").slice(0, schema.maxLength ?? Infinity);
}

function numberOf({ minimum, maximum, exclusiveMinimum, default: preset }: Schema): number {
  if (typeof preset === "number") return preset;
  const low = minimum ?? (exclusiveMinimum === undefined ? 1 : exclusiveMinimum + 1);
  return Math.min(Math.max(low, 1), maximum ?? Number.MAX_SAFE_INTEGER);
}
