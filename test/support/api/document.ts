/** An OpenAPI document as tests walk it: its operations, with schemas that refer to nothing. */

/** The parts of JSON Schema that the two documents use. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  format?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  examples?: unknown[];
  default?: unknown;
}

export interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  schema: Schema;
}

export interface Document {
  paths: Record<string, Record<string, PublishedOperation>>;
  components: { schemas: Record<string, Schema> };
}

interface PublishedOperation {
  operationId: string;
  summary?: string;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, { schema?: Schema }> };
  responses: Record<string, { content?: Record<string, { schema?: Schema }> }>;
}

export interface Operation {
  /** `POST /v1/agents/{agent_id}` */
  name: string;
  /** The same with its parameters' names taken out, by which two documents agree: `POST /v1/agents/{}`. */
  key: string;
  operationId: string;
  method: string;
  /** Below the origin: `/v1/agents/{agent_id}`. */
  path: string;
  /** Names of what stands in the path, in order. */
  pathParameters: string[];
  query: Parameter[];
  /** By content type. */
  bodies: Record<string, Schema>;
  /** The schema of its body when that is JSON and nothing else; otherwise null. */
  jsonBody: Schema | null;
  isBodyRequired: boolean;
  /** Status → content type → schema. */
  responses: Record<string, Record<string, Schema>>;
}

export function operationsOf(document: Document): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, published]) => {
      const bodies = schemasOf(published.requestBody?.content);
      const parameters = published.parameters ?? [];
      return {
        name: `${method.toUpperCase()} ${path}`,
        key: `${method.toUpperCase()} ${path.replace(/\{\w+\}/g, "{}")}`,
        operationId: published.operationId,
        method: method.toUpperCase(),
        path,
        pathParameters: [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? ""),
        query: parameters.filter((parameter) => parameter.in === "query"),
        bodies,
        // Beside other types it is a text like them, which may happen to be JSON.
        jsonBody: Object.keys(bodies).length === 1 ? (bodies["application/json"] ?? null) : null,
        isBodyRequired: published.requestBody?.required ?? false,
        responses: Object.fromEntries(
          Object.entries(published.responses).map(([status, answer]) => [status, schemasOf(answer.content)]),
        ),
      };
    }),
  );
}

const schemasOf = (content: Record<string, { schema?: Schema }> = {}): Record<string, Schema> =>
  Object.fromEntries(Object.entries(content).map(([type, { schema }]) => [type, schema ?? {}]));

/** The schema itself, or the one that it refers to. */
export function resolve(document: Document, schema: Schema): Schema {
  let found = schema;
  while (found.$ref !== undefined) {
    const name = found.$ref.replace("#/components/schemas/", "");
    const target = document.components.schemas[name];
    if (!target) throw new Error(`the document does not define ${found.$ref}`);
    found = target;
  }
  return found;
}

/** The types that a schema takes by its own `type`; empty when it names none. */
export function typesOf(schema: Schema): string[] {
  if (schema.type === undefined) return [];
  return Array.isArray(schema.type) ? schema.type : [schema.type];
}

/** One object out of an intersection: all properties, everything that any part requires. */
export function merged(document: Document, schema: Schema): Schema {
  const found = resolve(document, schema);
  if (!found.allOf) return found;
  const { allOf, ...own } = found;
  const parts = [own, ...allOf].map((part) => merged(document, part));
  return {
    ...Object.assign({}, ...parts),
    ...(parts.some((part) => part.properties)
      ? { type: "object", properties: Object.assign({}, ...parts.map((part) => part.properties ?? {})) }
      : {}),
    required: [...new Set(parts.flatMap((part) => part.required ?? []))],
  };
}

/** The alternatives of a schema, null aside: of a union its branches, otherwise the schema alone. */
export function branchesOf(document: Document, schema: Schema): Schema[] {
  const found = merged(document, schema);
  const branches = found.anyOf ?? found.oneOf;
  if (branches) return branches.flatMap((branch) => branchesOf(document, branch));
  const types = typesOf(found).filter((type) => type !== "null");
  if (typesOf(found).length > 0 && types.length === 0) return [];
  return types.length > 1
    ? types.map((type) => ({ ...found, type }))
    : [{ ...found, ...(types[0] ? { type: types[0] } : {}) }];
}
