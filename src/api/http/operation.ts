/** One route as an OpenAPI operation. Schemas stay TypeBox objects here; openapi.ts turns them into references. */
import { Problem, type ProblemCode, problems } from "../../contract/problem.ts";
import type { TObject, TSchema } from "../../contract/schema.ts";
import type { Access } from "./authorize.ts";
import { READ_METHODS } from "./identify.ts";
import { contentOf } from "./media.ts";
import type { Responses } from "./route.ts";

export interface OperationSource {
  operationId: string;
  tag: string;
  summary: string;
  description?: string;
  path?: string;
  query?: TObject;
  body?: TSchema;
  isBodyOptional?: boolean;
  responses: Responses;
  /** Of the answers; JSON when absent. */
  contentType?: string;
  problems?: readonly ProblemCode[];
  otherContentTypes?: Readonly<Record<number, readonly string[]>>;
  /** As in `RouteSpec`; GET, when nothing says otherwise. */
  method?: string;
  access?: Access | "public";
}

/** Codes that a route can give whatever it does. */
const ALWAYS: readonly ProblemCode[] = ["forbidden_host", "internal_error", "unavailable"];
/** Codes of every route that asks who is calling: nobody, an organization that is not theirs or none, too many requests. */
const WITH_CALLER: readonly ProblemCode[] = ["unauthorized", "not_found", "rate_limited", "invalid_id"];
const WITH_INPUT: readonly ProblemCode[] = ["invalid_request"];
const WITH_BODY: readonly ProblemCode[] = ["invalid_json", "payload_too_large", "unsupported_media_type"];

/** The operation object, in the shape that Elysia keeps as a route's `detail`. */
export function operationOf(source: OperationSource): never {
  const params = [...(source.path ?? "").matchAll(/\{(\w+)\+?\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const query = Object.entries(source.query?.properties ?? {}).map(([name, schema]) => ({
    name,
    in: "query",
    required: source.query?.required?.includes(name) ?? false,
    schema,
  }));
  const parameters = [...params, ...query];
  return {
    operationId: source.operationId,
    tags: [source.tag],
    summary: source.summary,
    ...(source.description === undefined ? {} : { description: source.description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(source.body === undefined
      ? {}
      : {
          requestBody: {
            required: !source.isBodyOptional,
            content: contentOf(source.body),
          },
        }),
    ...(source.access === "public" ? { security: [] } : {}),
    responses: responsesOf(source),
  } as never;
}

function responsesOf(source: OperationSource): Record<string, unknown> {
  const responses: Record<string, unknown> = {};
  for (const [status, schema] of Object.entries(source.responses)) {
    responses[status] = {
      description: DESCRIPTIONS[status] ?? "OK",
      ...(schema === null ? {} : { content: answerOf(source, Number(status), schema) }),
    };
  }
  const codes = new Set<ProblemCode>([
    ...(source.problems ?? []),
    ...(source.access === "public" ? [] : WITH_CALLER),
    ...(source.query || source.body ? WITH_INPUT : []),
    ...(source.body ? WITH_BODY : []),
    ...(isForAll(source) ? [] : (["forbidden"] as const)),
    ...ALWAYS,
  ]);
  for (const code of codes) {
    const { status } = problems[code];
    const others = [...codes].filter((other) => problems[other].status === status);
    responses[String(status)] = {
      description: others.map((other) => `\`${other}\`: ${problems[other].summary}`).join(" "),
      content: { "application/problem+json": { schema: Problem } },
    };
  }
  return responses;
}

/** Whether no role is too low for it. */
const isForAll = ({ access, method = "GET" }: OperationSource) =>
  access === "public" || access === "read" || (access === undefined && READ_METHODS.has(method));

function answerOf(source: OperationSource, status: number, schema: TSchema): Record<string, unknown> {
  if (source.contentType !== undefined) return { [source.contentType]: { schema } };
  return contentOf(schema, source.otherContentTypes?.[status]);
}

const DESCRIPTIONS: Record<string, string> = { 200: "OK", 201: "Created", 204: "Done, no content" };
