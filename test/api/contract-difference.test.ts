/**
 * Our OpenAPI document beside the contract's: every difference in routes, parameters, fields, types and in what is
 * required has a reason in contract-differences.ts, and every reason has a difference.
 */
import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { openApiText } from "../../scripts/openapi.ts";
import contract from "../golden/contract-openapi.json";
import { corrected, differencesOf } from "../support/api/difference.ts";
import type { Document } from "../support/api/document.ts";
import { CORRECTED } from "../support/contract.ts";
import { DIFFERENCES, NOT_BUILT } from "./contract-differences.ts";

const TABLE = "test/api/contract-differences.ts";

/** `*` stands for anything, so that one reason serves one field of many shapes. */
const patternOf = (entry: string) =>
  new RegExp(`^${entry.replace(/[.+?^$()[\]{}|\\]/g, "\\$&").replaceAll("*", ".*")}$`);

const found = differencesOf(
  corrected(contract as unknown as Document, CORRECTED),
  JSON.parse(await openApiText()) as Document,
);
const entries = [...Object.keys(DIFFERENCES), ...NOT_BUILT.map((route) => `${route}: missing`)];
/** Routes of ours, whose reasons stand beside the steps that call them: `GET /v1/runs`. */
const ours = new Set<string>();
for (const file of new Glob("*.ts").scanSync(`${import.meta.dir}/contract`)) {
  const family = (await import(`./contract/${file}`)) as { ours: Record<string, string> };
  for (const route of Object.keys(family.ours)) ours.add(`${route}: beyond the contract`);
}
const isExplained = (difference: string) => ours.has(difference.replace(/\{\w+\}/g, "{}"));

const patterns = entries.map((entry) => ({ entry, pattern: patternOf(entry) }));

describe("our OpenAPI document and the contract's", () => {
  test("differ only for a reason", () => {
    const unexplained = found.filter(
      (difference) => !isExplained(difference) && !patterns.some(({ pattern }) => pattern.test(difference)),
    );
    expect(unexplained.map((difference) => `give a reason in ${TABLE}: "${difference}"`)).toEqual([]);
  });

  test("differ wherever the table says so", () => {
    const stale = patterns.filter(({ pattern }) => !found.some((difference) => pattern.test(difference)));
    expect(
      stale.map(({ entry }) => `delete from ${TABLE}: "${entry.replace(/^([A-Z]+ \S+): missing$/, "$1")}"`),
    ).toEqual([]);
  });

  test("differ for reasons that say something", () => {
    const silent = Object.entries(DIFFERENCES).filter(([, reason]) => reason.split(" ").length < 3);
    expect(silent.map(([entry]) => entry)).toEqual([]);
  });
});

describe("the comparison", () => {
  const documentOf = (properties: object, required: string[], status = "200"): Document => {
    const content = { "application/json": { schema: { type: "object", properties, required } } };
    const operation = {
      operationId: "x",
      requestBody: { required: true, content },
      responses: { [status]: { content } },
    };
    return { paths: { "/v1/x/{id}": { post: operation } }, components: { schemas: {} } } as Document;
  };
  const string = { type: "string" };
  const cases: [name: string, theirs: Document, ours: Document, differences: string[]][] = [
    ["sees nothing where nothing is", documentOf({ a: string }, ["a"]), documentOf({ a: string }, ["a"]), []],
    [
      "sees a field that is not there",
      documentOf({ a: string }, []),
      documentOf({}, []),
      ["POST /v1/x/{id} 200.a: missing", "POST /v1/x/{id} body.a: missing"],
    ],
    [
      "sees a field too many",
      documentOf({}, []),
      documentOf({ a: string }, []),
      ["POST /v1/x/{id} 200.a: beyond the contract", "POST /v1/x/{id} body.a: beyond the contract"],
    ],
    [
      "sees an answer that leaves out what is required",
      documentOf({ a: string }, ["a"]),
      documentOf({ a: string }, []),
      ["POST /v1/x/{id} 200.a: may be left out"],
    ],
    [
      "sees a request that needs more",
      documentOf({ a: string }, []),
      documentOf({ a: string }, ["a"]),
      ["POST /v1/x/{id} body.a: required"],
    ],
    [
      "sees another type, and takes an integer for a number in answers alone",
      documentOf({ a: { type: "number" }, b: string }, []),
      documentOf({ a: { type: "integer" }, b: { type: "boolean" } }, []),
      [
        "POST /v1/x/{id} 200.b: may be boolean",
        "POST /v1/x/{id} body.a: refuses number",
        "POST /v1/x/{id} body.b: refuses string",
      ],
    ],
    [
      "sees values beyond an enum in answers, and values that are refused in requests",
      documentOf({ a: { type: "string", enum: ["x", "y"] } }, []),
      documentOf({ a: { type: "string", enum: ["y", "z"] } }, []),
      ["POST /v1/x/{id} 200.a: may be z", "POST /v1/x/{id} body.a: refuses x"],
    ],
    [
      "sees another status",
      documentOf({}, [], "200"),
      documentOf({}, [], "201"),
      ["POST /v1/x/{id} 200: missing", "POST /v1/x/{id} 201: beyond the contract"],
    ],
    [
      "sees into lists and unions",
      documentOf(
        {
          a: {
            type: "array",
            items: { oneOf: [{ type: "null" }, { type: "object", properties: { b: string } }] },
          },
        },
        [],
      ),
      documentOf(
        { a: { type: "array", items: { type: "object", properties: { b: { type: "integer" } } } } },
        [],
      ),
      ["POST /v1/x/{id} 200.a[].b: may be integer", "POST /v1/x/{id} body.a[].b: refuses string"],
    ],
  ];
  for (const [name, theirs, ours, differences] of cases) {
    test(name, () => expect(differencesOf(theirs, ours)).toEqual(differences));
  }
});
