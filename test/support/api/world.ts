/**
 * The API with something in it, for tests that walk the OpenAPI document: an id of every kind that the routes
 * themselves gave, and what a field of a request must hold that its schema alone does not say.
 */
import Ajv, { type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { newId } from "../../../src/base/id.ts";
import type { Answer, TestApp } from "../app.ts";
import { type Document, type Operation, operationsOf, type Schema, typesOf } from "./document.ts";
import type { Random } from "./random.ts";
import { LEFT_OUT, sampleOf } from "./samples.ts";

/** How the API is called: in this process, or over a network. */
export type Caller = Pick<TestApp, "call" | "get">;

export interface World<A = TestApp> {
  app: A;
  document: Document;
  /** Those below `/v1`; streams, which do not end, left out. */
  operations: Operation[];
  /** Whether a schema of the document takes a value: ajv's opinion, not the server's. */
  accepts(schema: Schema, value: unknown): boolean;
  /** null when it does. */
  complaint(schema: Schema, value: unknown): string | null;
  /** Keeps every id of an answer. */
  harvest(answer: unknown, operation?: Operation): void;
  /** The ids that were seen, by prefix, in the order in which they came. */
  ids: Map<string, string[]>;
  /** Values for fields of requests. */
  known(field: string, schema: Schema): unknown;
  /** A body that should be taken; undefined when the operation has none. */
  bodyOf(operation: Operation, isFull: boolean): unknown;
  /** The path with an id in each parameter's place: one that is there, when there is one of its kind. */
  pathOf(operation: Operation, values?: Readonly<Record<string, string>>): string;
  /** Any id that was seen of the kind that a parameter or field names, or null. */
  anyOf(name: string, path: string, random: Pick<Random, "pick">): string | null;
  call(operation: Operation, options?: CallOptions): Promise<Answer>;
}

export interface CallOptions {
  /** In the place of single parameters of the path, percent-encoded already. */
  path?: Readonly<Record<string, string>>;
  query?: string;
  body?: unknown;
  headers?: Record<string, string>;
}

/** Parameters of paths and fields whose kind of id their name does not say. */
const PREFIX_OF: Readonly<Record<string, string>> = {
  default_model_id: "model",
  harness: "harness",
  model: "model",
  other_id: "session",
  parent_harness_id: "harness",
  provider_id: "prov",
  schedule_id: "sched",
  server_id: "mcp",
  source_session_id: "session",
  participant_id: "part",
  run_id: "healthcheck",
  token_id: "pat",
  turn_id: "turn",
  version_id: "agentver",
  webhook_id: "wh",
  from_version_id: "agentver",
  to_version_id: "agentver",
  workspace_id: "wsp",
  memory_id: "mem",
  image_id: "img",
};

/** By the resource in whose path they stand. */
const PREFIX_OF_ID: Readonly<Record<string, string>> = { models: "model", providers: "prov" };

/** @param path  of the operation, for parameters that are called `id` alone and for those that are plain UUIDs */
export function prefixOf(name: string, path = ""): string {
  const resource = new RegExp(`/([\\w-]+)/\\{${name}\\}`).exec(path)?.[1] ?? "";
  if (path.startsWith("/v1/durable/") && name.endsWith("_id")) {
    return name === "worker_id" ? "worker-" : `uuid:${resource}`;
  }
  if (name === "id") return PREFIX_OF_ID[resource] ?? resource.replace(/s$/, "");
  return PREFIX_OF[name] ?? name.replace(/_ids?$/, "").replace(/^.*_(?=session$|agent$|harness$|model$)/, "");
}

/** Of each kind, the newest. */
const IDS_KEPT = 50;
const UUID = /"id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"/g;
const ID = /\b([a-z]+)_[0-9a-f]{32}\b/g;
/** Well formed, of the kind, and not there. */
export const unknownId = (prefix: string): string =>
  prefix.startsWith("uuid:")
    ? crypto.randomUUID()
    : prefix === "worker-"
      ? `worker-${crypto.randomUUID()}`
      : newId(prefix);

export async function createWorld<A extends Caller>(app: A): Promise<World<A>> {
  const document = (await app.get("//api-doc/openapi.json")).body as Document;
  const operations = operationsOf(document).filter(
    ({ method, path, responses }) =>
      path.startsWith("/v1/") && !(method === "GET" && responses["200"]?.["text/event-stream"]),
  );
  const validate = createValidation(document);
  const ids: World["ids"] = new Map();
  let named = 0;

  const world: World<A> = {
    app,
    document,
    operations,
    ids,
    complaint: validate,
    accepts: (schema, value) => validate(schema, value) === null,
    harvest(answer, operation) {
      const text = JSON.stringify(answer) ?? "";
      const keep = (prefix: string, id: string) => {
        const known = ids.get(prefix) ?? [];
        if (!known.includes(id)) ids.set(prefix, [...known, id].slice(-IDS_KEPT));
      };
      for (const [id, prefix] of text.matchAll(ID)) keep(prefix ?? "", id);
      const durable = /^\/v1\/durable\/(\w+)/.exec(operation?.path ?? "")?.[1];
      if (durable) for (const [, id] of text.matchAll(UUID)) keep(`uuid:${durable}`, id ?? "");
    },
    known(field, schema) {
      if (field === "name" || field === "slug") return `sample-${named++}`;
      if (field === "id" || field.endsWith("_name") || field === "model") return LEFT_OUT;
      if (field === "content" && typesOf(schema).includes("array")) return [{ type: "text", text: "Hi" }];
      if (field === "target") {
        const input = { session_id: ids.get("session")?.at(-1), message: "Hi" };
        return { type: "workflow", name: "session.run", input };
      }
      const choices = [schema, ...(schema.anyOf ?? schema.oneOf ?? [])].flatMap((part) => part.enum ?? []);
      const isKnown = (value: unknown) => choices.length === 0 || choices.includes(value);
      if (field in VALUES && isKnown(VALUES[field])) return VALUES[field];
      if (!/_id$/.test(field)) return undefined;
      const prefix = field === "subject_id" ? "session" : prefixOf(field);
      return ids.get(prefix)?.at(-1) ?? (schema.examples ? undefined : LEFT_OUT);
    },
    bodyOf({ operationId, jsonBody }, isFull) {
      const [agent, needs] = [ids.get("agent")?.at(-1), NEEDS_AGENT.has(operationId)];
      if (agent && needs && !isFull) return { kind: "agent", agent_id: agent };
      return jsonBody === null
        ? undefined
        : sampleOf(document, jsonBody, { isFull, known: (field, schema) => world.known(field, schema) });
    },
    pathOf(operation, values = {}) {
      return operation.path.replace(/^\/v1/, "").replace(/\{(\w+)\}/g, (_match, name: string) => {
        const prefix = prefixOf(name, operation.path);
        return values[name] ?? IN_PATHS[name] ?? ids.get(prefix)?.at(-1) ?? unknownId(prefix);
      });
    },
    anyOf(name, path, random) {
      const known = ids.get(prefixOf(name, path));
      return known ? random.pick(known) : null;
    },
    async call(operation, options = {}) {
      return app.call(
        operation.method,
        world.pathOf(operation, options.path) + (options.query ?? ""),
        options.body,
        options.headers,
      );
    },
  };

  // Everything that can be made without anything else, and then what can be made from that.
  for (const isFull of [false, true]) {
    for (const operation of operations) {
      if (operation.method !== "POST" && operation.method !== "GET") continue;
      const isMade = operation.method === "POST" && operation.responses["201"];
      if (operation.method === "POST" && !isMade) continue;
      const answer = await world.call(operation, { body: world.bodyOf(operation, isFull) });
      if (answer.status < 300) world.harvest(answer.body, operation);
    }
  }
  return world;
}

/** Operations whose smallest body must name an agent, which their schema does not say. */
const NEEDS_AGENT: ReadonlySet<string> = new Set(["add_session_participant"]);

/** Parameters of paths that are no ids. */
const IN_PATHS: Readonly<Record<string, string>> = { capability_id: "current_time", path: "a.txt" };

/** Fields that mean something: what stands in them has to make sense to the server. */
const VALUES: Readonly<Record<string, unknown>> = {
  activity_type: "turn",
  // One dot, transparent.
  base64: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
  // Where nobody listens: a worker may try it.
  base_url: "http://127.0.0.1:9/v1",
  callback_url: "https://example.com/called",
  url: "https://example.com/x",
  capabilities: ["current_time"],
  credentials: LEFT_OUT,
  cron_expression: "0 * * * *",
  credential_values: LEFT_OUT,
  initial_files: [{ path: "/a.txt", content: "a" }],
  locale: "uk-UA",
  media_type: "image/png",
  path: "/a.txt",
  provider_type: "openai",
  encoding: "text",
  error_disclosure: "standard",
  exclude: ["turn.started"],
  "exclude[]": "turn.completed",
  ref: "current_time",
  repository: "owner/repo",
  role: "user",
  skill_md: "---\nname: sample-skill\ndescription: A sample.\n---\nDo it.\n",
  secret: "a secret of some length",
  signal_type: "cancel",
  src_path: "/a.txt",
  status: "active",
  subject_type: "session",
  types: ["turn.started"],
  "types[]": "turn.completed",
  tool_results: [{ tool_call_id: "call_1", result: 1 }],
  timezone: "Europe/Kyiv",
  tools: [{ type: "client_side", name: "ask", description: "Asks.", parameters: { type: "object" } }],
};

/** ajv against schemas that may refer to the document's components. @returns what is wrong, or null */
function createValidation(document: Document): (schema: Schema, value: unknown) => string | null {
  const ajv = new Ajv({ strict: false, allErrors: false });
  addFormats(ajv);
  for (const format of ["int32", "int64", "double", "float", "binary"]) ajv.addFormat(format, true);
  ajv.addSchema({ $id: "document", components: document.components });
  const compiled = new Map<string, ValidateFunction>();
  return (schema, value) => {
    const text = JSON.stringify(schema).replaceAll('"#/components', '"document#/components');
    const validate = compiled.get(text) ?? ajv.compile(JSON.parse(text));
    compiled.set(text, validate);
    return validate(value) ? null : ajv.errorsText(validate.errors);
  };
}
