/**
 * What two OpenAPI documents say differently, as sentences. A server may answer less than it promised others and
 * take more: of answers our types must lie within the contract's, of requests the contract's within ours.
 */
import { branchesOf, type Document, type Operation, operationsOf, type Schema, typesOf } from "./document.ts";

type Direction = "answer" | "request";

interface Side {
  document: Document;
  schema: Schema;
}

/** Every difference, `place: what is different`, without repetition and in the order of the alphabet. */
export function differencesOf(contract: Document, ours: Document): string[] {
  const found = new Set<string>();
  const ourOperations = new Map(operationsOf(ours).map((operation) => [operation.key, operation]));
  const theirs = operationsOf(contract);
  for (const operation of theirs) {
    const our = ourOperations.get(operation.key);
    if (!our) found.add(`${operation.name}: missing`);
    else compareOperations(contract, operation, ours, our, found);
  }
  const known = new Set(theirs.map(({ key }) => key));
  for (const operation of ourOperations.values()) {
    if (!known.has(operation.key)) found.add(`${operation.name}: beyond the contract`);
  }
  return [...found].sort();
}

function compareOperations(
  contract: Document,
  theirs: Operation,
  ours: Document,
  our: Operation,
  found: Set<string>,
): void {
  const { name } = theirs;
  const compare = (place: string, a: Schema, b: Schema, direction: Direction) =>
    compareSchemas(
      place,
      { document: contract, schema: a },
      { document: ours, schema: b },
      { direction, found, seen: new Set() },
    );
  if (theirs.operationId !== our.operationId) found.add(`${name}: its operation id is ${our.operationId}`);

  for (const parameter of theirs.query) {
    const same = our.query.find((other) => other.name === parameter.name);
    const place = `${name} ?${parameter.name}`;
    if (!same) found.add(`${place}: missing`);
    else {
      if (same.required && !parameter.required) found.add(`${place}: required`);
      compare(place, parameter.schema, same.schema, "request");
    }
  }
  for (const parameter of our.query) {
    if (!theirs.query.some((other) => other.name === parameter.name)) {
      found.add(`${name} ?${parameter.name}: beyond the contract`);
    }
  }

  if (our.isBodyRequired && !theirs.isBodyRequired) found.add(`${name} body: required`);
  for (const [type, schema] of Object.entries(theirs.bodies)) {
    const same = our.bodies[type];
    if (!same) found.add(`${name} body: ${type} is missing`);
    else if (type === "application/json") compare(`${name} body`, schema, same, "request");
  }
  for (const type of Object.keys(our.bodies)) {
    if (!(type in theirs.bodies)) found.add(`${name} body: ${type} is beyond the contract`);
  }

  for (const status of successes(theirs)) {
    const same = our.responses[status];
    if (!same) {
      found.add(`${name} ${status}: missing`);
      continue;
    }
    const theirTypes = theirs.responses[status] ?? {};
    for (const [type, schema] of Object.entries(theirTypes)) {
      const answer = same[type];
      if (!answer) found.add(`${name} ${status}: ${type} is missing`);
      else if (type === "application/json") compare(`${name} ${status}`, schema, answer, "answer");
    }
    for (const type of Object.keys(same)) {
      if (!(type in theirTypes)) found.add(`${name} ${status}: ${type} is beyond the contract`);
    }
  }
  for (const status of successes(our)) {
    if (!theirs.responses[status]) found.add(`${name} ${status}: beyond the contract`);
  }
}

const successes = ({ responses }: Operation) => Object.keys(responses).filter((status) => status < "300");

interface Comparison {
  direction: Direction;
  found: Set<string>;
  /** Pairs of named schemas that are being compared further up: a shape may hold itself. */
  seen: ReadonlySet<string>;
}

function compareSchemas(place: string, contract: Side, ours: Side, comparison: Comparison): void {
  const { direction, found } = comparison;
  const pair = `${contract.schema.$ref}|${ours.schema.$ref}`;
  if (comparison.seen.has(pair)) return;
  const isNamed = contract.schema.$ref !== undefined;
  const inner = isNamed ? { ...comparison, seen: new Set([...comparison.seen, pair]) } : comparison;
  // A shape with a name is described under it, not once for each route that uses it.
  const at = isNamed ? `${direction} ${contract.schema.$ref?.replace("#/components/schemas/", "")}` : place;

  const theirs = flat(contract);
  const our = flat(ours);
  if (theirs.isAnything) return;
  if (our.isAnything) {
    if (direction === "answer") found.add(`${at}: anything`);
    return;
  }
  const [inside, outside] = direction === "answer" ? [our, theirs] : [theirs, our];
  const strange = [...inside.types].filter(
    (type) => !outside.types.has(type) && !(type === "integer" && outside.types.has("number")),
  );
  if (strange.length > 0) {
    found.add(`${at}: ${direction === "answer" ? "may be" : "refuses"} ${strange.sort().join(", ")}`);
  }
  if (outside.values && inside.values) {
    const values = [...inside.values].filter((value) => !outside.values?.has(value));
    if (values.length > 0)
      found.add(`${at}: ${direction === "answer" ? "may be" : "refuses"} ${values.sort().join(", ")}`);
  } else if (outside.values && inside.types.has("string") && direction === "request") {
    found.add(`${at}: only ${[...outside.values].sort().join(", ")}`);
  }

  if (our.isMap && theirs.properties.size > 0) {
    found.add(`${at}: fields of any name`);
    return;
  }
  for (const [name, schemas] of theirs.properties) {
    const mine = our.properties.get(name);
    if (!mine) {
      found.add(`${at}.${name}: missing`);
      continue;
    }
    const required = [theirs.required.has(name), our.required.has(name)] as const;
    if (direction === "answer" && required[0] && !required[1]) found.add(`${at}.${name}: may be left out`);
    if (direction === "request" && !required[0] && required[1]) found.add(`${at}.${name}: required`);
    compareSchemas(
      `${at}.${name}`,
      { ...contract, schema: union(schemas) },
      { ...ours, schema: union(mine) },
      inner,
    );
  }
  for (const name of our.properties.keys()) {
    if (!theirs.properties.has(name) && !theirs.isMap) found.add(`${at}.${name}: beyond the contract`);
  }
  if (theirs.items.length > 0 && our.items.length > 0) {
    compareSchemas(
      `${at}[]`,
      { ...contract, schema: union(theirs.items) },
      { ...ours, schema: union(our.items) },
      inner,
    );
  }
}

const union = (schemas: Schema[]): Schema =>
  schemas.length === 1 && schemas[0] ? schemas[0] : { anyOf: schemas };

interface Flat {
  isAnything: boolean;
  /** An object whose keys are anybody's. */
  isMap: boolean;
  types: Set<string>;
  /** null: not a closed set. */
  values: Set<string> | null;
  properties: Map<string, Schema[]>;
  /** By every branch that is an object. */
  required: Set<string>;
  items: Schema[];
}

/** The branches of a schema laid over each other. Null counts in no direction: a client reads it as absent. */
function flat({ document, schema }: Side): Flat {
  const branches = branchesOf(document, schema);
  const kindOf = (branch: Schema) =>
    typesOf(branch)[0] ?? (branch.properties ? "object" : branch.enum || branch.const ? "string" : null);
  const objects = branches.filter((branch) => kindOf(branch) === "object");
  const properties = new Map<string, Schema[]>();
  for (const branch of objects) {
    for (const [name, property] of Object.entries(branch.properties ?? {})) {
      const known = properties.get(name) ?? [];
      const isRepeated = known.some((other) => JSON.stringify(other) === JSON.stringify(property));
      properties.set(name, isRepeated ? known : [...known, property]);
    }
  }
  const required = objects.map((branch) => new Set(branch.required ?? []));
  const values = branches.map(
    (branch) => branch.enum ?? (branch.const === undefined ? null : [branch.const]),
  );
  const strings = values.filter((_value, index) => kindOf(branches[index] ?? {}) === "string");
  return {
    isAnything: branches.some((branch) => kindOf(branch) === null && !branch.anyOf),
    isMap: objects.some((branch) => branch.additionalProperties && !branch.properties),
    types: new Set(branches.flatMap((branch) => kindOf(branch) ?? [])),
    values:
      strings.length > 0 && strings.every((value) => value !== null)
        ? new Set(strings.flatMap((value) => value ?? []).map(String))
        : null,
    properties,
    required: new Set([...(required[0] ?? [])].filter((name) => required.every((set) => set.has(name)))),
    items: branches.flatMap((branch) => (branch.items ? [branch.items] : [])),
  };
}

/** Named schemas as the wire really has them, put in the place of what a document says. */
export function corrected(document: Document, schemas: Record<string, unknown>): Document {
  return {
    ...document,
    components: { schemas: { ...document.components.schemas, ...(schemas as Record<string, Schema>) } },
  };
}
