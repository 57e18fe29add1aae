/**
 * Every route that we serve, called for real, its answers held against two documents: the contract that the
 * official clients were made from (test/golden/contract-openapi.json), and our own OpenAPI.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ValidateFunction } from "ajv";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { Glob } from "bun";
import contract from "../golden/contract-openapi.json";
import { type TestApp, testApp } from "../support/app.ts";
import { CORRECTED, type Step } from "../support/contract.ts";

interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
}
interface Operation {
  operationId: string;
  responses: Record<string, { content?: Record<string, { schema: unknown }> }>;
}

type Validate = ValidateFunction | "raw" | null;

/** One file of test/api/contract. */
interface Family {
  /** When it needs an app that is made otherwise than the others'. */
  options?: Parameters<typeof testApp>[0];
  ours: Record<string, string>;
  steps(step: Step, app: TestApp): Promise<void>;
}

/** Routes and answers that the contract does not have, each with the reason why we give them. */
const OURS: Record<string, string> = {};

/** Not called below: streams never end by themselves and have tests of their own. */
const ELSEWHERE = new Set([
  "GET /v1/sessions/{}/sse",
  "GET /v1/durable/sse",
  "GET /v1/durable/workflows/{}/sse",
]);

const template = (path: string) => path.replace(/\{\w+\}|:\w+/g, "{}");

let app: TestApp;
/** The app of the family whose turn it is. */
let called: TestApp;
let ours: Document;
const seen = new Map<string, unknown[]>();

/** Calls a route and keeps its answer under `METHOD /template status`. */
const step: Step = async (method, route, params, status, body, query = "", headers = {}) => {
  let next = 0;
  const path = route.replaceAll("{}", () => params[next++] ?? "") + query;
  const answer = await called.call(method, `/${path}`, body, headers);
  expect([`${method} ${path}`, answer.status, answer.status >= 400 ? answer.body : null]).toEqual([
    `${method} ${path}`,
    status,
    null,
  ]);
  const key = `${method} ${route} ${status}`;
  seen.set(key, [...(seen.get(key) ?? []), answer.body]);
  return answer.body;
};

beforeAll(async () => {
  app = await testApp();
  ours = (await app.get("//api-doc/openapi.json")).body;

  const families = [...new Glob("*.ts").scanSync(`${import.meta.dir}/contract`)].sort();
  for (const file of families) {
    const family = (await import(`./contract/${file}`)) as Family;
    Object.assign(OURS, family.ours);
    called = family.options ? await testApp(family.options) : app;
    await family.steps(step, called);
    if (called !== app) await called.close();
  }
});

afterAll(async () => {
  await app.close();
});

describe("the wire contract", () => {
  test("every route that is served has been called, and every success status of ours seen", () => {
    const served = operations(ours).flatMap(({ key, operation }) =>
      Object.keys(operation.responses)
        .filter((status) => Number(status) < 300 && !ELSEWHERE.has(key))
        .map((status) => `${key} ${status}`),
    );
    expect([...seen.keys()].sort()).toEqual(served.sort());
  });

  test("a route that the contract does not have is one of ours, for a reason", () => {
    const known = new Set(operations(contract as unknown as Document).map(({ key }) => key));
    const unknown = operations(ours)
      .map(({ key }) => key)
      .filter((key) => !known.has(key));
    expect(unknown.filter((key) => OURS[key] === undefined)).toEqual([]);
  });

  test("operation ids are those of the contract", () => {
    const ids = new Map(
      operations(contract as unknown as Document).map(({ key, operation }) => [key, operation.operationId]),
    );
    for (const { key, operation } of operations(ours)) {
      const id = ids.get(key);
      if (id !== undefined) expect([key, operation.operationId]).toEqual([key, id]);
    }
  });

  test("every answer has the contract's shape", () => {
    const document = contract as unknown as Document;
    const validators = validatorsOf({
      ...document,
      components: { schemas: { ...document.components.schemas, ...CORRECTED } },
    });
    for (const [key, bodies] of seen) {
      if (OURS[key] ?? OURS[key.replace(/ \d+$/, "")]) continue;
      const validate = validators.get(key);
      expect([key, validate !== undefined]).toEqual([key, true]);
      for (const body of bodies) check(key, validate, body);
    }
  });

  test("every answer has the shape that our own OpenAPI says, with no field beside it", () => {
    const validators = validatorsOf(ours, true);
    for (const [key, bodies] of seen) for (const body of bodies) check(key, validators.get(key), body);
  });

  test("an answer never shows null where strict clients want the field left out", () => {
    const nullable = ["trace.generation_url_template", "profile"];
    for (const [key, bodies] of seen) {
      // A turn without a final message says so.
      if (key === "POST /v1/sessions/{}/messages 200") continue;
      for (const path of bodies.flatMap((body) => nulls(body, ""))) {
        expect([key, path, nullable.some((name) => path.includes(name))]).toEqual([key, path, true]);
      }
    }
  });
});

function operations(document: Document): { key: string; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      key: `${method.toUpperCase()} ${template(path)}`,
      operation,
    })),
  );
}

/** `METHOD /template status` → check of its JSON body; null where there is no body, "raw" where it is not JSON. */
function validatorsOf(document: Document, isClosed = false): Map<string, Validate> {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats(ajv);
  for (const format of ["int32", "int64", "double", "float"]) ajv.addFormat(format, true);
  ajv.addSchema({ $id: "document", components: document.components });
  const validators = new Map<string, Validate>();
  for (const { key, operation } of operations(document)) {
    for (const [status, response] of Object.entries(operation.responses)) {
      const schema = response.content?.["application/json"]?.schema;
      if (Number(status) >= 300) continue;
      const resolved = JSON.parse(
        JSON.stringify(schema ?? null).replaceAll('"#/components', '"document#/components'),
      );
      const closed = isClosed ? { allOf: [resolved], unevaluatedProperties: false } : resolved;
      validators.set(
        `${key} ${status}`,
        schema === undefined ? (response.content ? "raw" : null) : ajv.compile(closed),
      );
    }
  }
  return validators;
}

function check(key: string, validate: Validate | undefined, body: unknown): void {
  if (validate === "raw") return expect([key, typeof body]).toEqual([key, "string"]);
  const isRight = validate ? validate(body) : body === null;
  expect([key, isRight, validate?.errors ?? null]).toEqual([key, true, null]);
}

function nulls(value: unknown, path: string): string[] {
  if (value === null) return path === "" ? [] : [path];
  if (typeof value !== "object") return [];
  return Object.entries(value as object).flatMap(([name, item]) => nulls(item, `${path}.${name}`));
}
