/** From a request's schema, the requests that it takes: with as little as possible, with everything, one by one. */
import { branchesOf, type Document, merged, type Operation, type Schema, typesOf } from "./document.ts";
import { type Known, LEFT_OUT, sampleOf } from "./samples.ts";

export interface ValidRequest {
  why: string;
  body?: unknown;
  /** With its `?`; "" for none. */
  query: string;
}

/**
 * Valid requests of an operation: the smallest and the fullest body, each optional field alone, null where it is
 * allowed, each value of each enum, each branch of each union; and each parameter of the query.
 */
export function validRequests(document: Document, operation: Operation, known: Known): ValidRequest[] {
  const queries = operation.query.flatMap(({ name, schema }) =>
    alternatives(document, schema, name, known)
      .filter(([, value]) => value !== null)
      .map(([why, value]) => ({ why: `?${name} ${why}`, query: queryOf(name, value) })),
  );
  const required = operation.query
    .filter((parameter) => parameter.required)
    .map(({ name, schema }) => queryOf(name, alternatives(document, schema, name, known)[0]?.[1]).slice(1))
    .join("&");
  const withRequired = (query: string) =>
    required === "" ? query : query === "" ? `?${required}` : `${query}&${required}`;
  const { jsonBody } = operation;
  if (jsonBody === null) {
    return [{ why: "as it is", query: "" }, ...queries].map((request) => ({
      ...request,
      query: withRequired(request.query),
    }));
  }
  const smallest = () => sampleOf(document, jsonBody, { isFull: false, known });
  const bodies: ValidRequest[] = [
    { why: "the smallest body", body: smallest(), query: "" },
    { why: "the fullest body", body: sampleOf(document, jsonBody, { isFull: true, known }), query: "" },
  ];
  for (const branch of branchesOf(document, jsonBody)) {
    for (const [why, body] of oneByOne(document, branch, known)) bodies.push({ why, body, query: "" });
  }
  return [...bodies, ...queries.map((request) => ({ ...request, body: smallest() }))].map((request) => ({
    ...request,
    query: withRequired(request.query),
  }));
}

function queryOf(name: string, value: unknown): string {
  const values = Array.isArray(value) ? value : [value];
  return `?${values.map((one) => `${name}=${encodeURIComponent(String(one))}`).join("&")}`;
}

/** The smallest object with each of its fields in each of its kinds. */
function oneByOne(document: Document, schema: Schema, known: Known, depth = 0): [string, object][] {
  if (depth > DEPTH_MAX) return [];
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
    alternatives(document, property, name, known, depth).map(([why, value]): [string, object] => {
      const smallest = sampleOf(document, schema, { isFull: false, known }) as object;
      return [`${name} ${why}`, { ...smallest, [name]: value }];
    }),
  );
}

/** Shapes may hold themselves. */
const DEPTH_MAX = 3;

/** Every kind of value that a field may have. */
function alternatives(
  document: Document,
  schema: Schema,
  name: string,
  known: Known,
  depth = 0,
): (readonly [why: string, value: unknown])[] {
  const whole = merged(document, schema);
  const found: [string, unknown][] = [];
  if (takesNull(document, whole)) found.push(["is null", null]);
  const given = known(name, whole);
  if (given === LEFT_OUT) return found;
  if (given !== undefined) found.unshift(["has a value", given]);
  if (given !== undefined && !Array.isArray(given)) return found;
  for (const branch of branchesOf(document, schema)) {
    const values =
      branch.enum?.filter((value) => value !== null) ??
      (given === undefined ? [sampleOf(document, branch, { isFull: true, known })] : []);
    for (const value of values) found.push([`is ${JSON.stringify(value)?.slice(0, 60)}`, value]);
    for (const [why, value] of oneByOne(document, branch, known, depth + 1))
      found.push([`has ${why}`, value]);
    if (typesOf(branch)[0] === "array") {
      found.push(["is empty", []]);
      for (const [why, item] of alternatives(document, branch.items ?? {}, `${name}[]`, known, depth + 1)) {
        if (item !== null) found.push([`has one that ${why}`, [item]]);
      }
    }
  }
  return found;
}

function takesNull(document: Document, schema: Schema): boolean {
  const whole = merged(document, schema);
  return (
    typesOf(whole).includes("null") ||
    [...(whole.anyOf ?? []), ...(whole.oneOf ?? [])].some((branch) => takesNull(document, branch))
  );
}
