import { describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { openApiText } from "../../scripts/openapi.ts";
import { EVENT_TYPES } from "../../src/contract/event.ts";

const GOLDEN = fileURLToPath(new URL("../golden/openapi.json", import.meta.url));

describe("the OpenAPI document", () => {
  test("is the stored one; after a wanted change: bun scripts/openapi.ts > test/golden/openapi.json", async () => {
    expect(JSON.parse(await openApiText())).toEqual(await Bun.file(GOLDEN).json());
  });

  test("names no schema that it does not define", async () => {
    const text = await openApiText();
    const defined = new Set(Object.keys(JSON.parse(text).components.schemas));
    const used = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name ?? "");
    expect(used.filter((name) => !defined.has(name))).toEqual([]);
    expect(used.length).toBeGreaterThan(50);
  });

  test("describes the data of every event type", async () => {
    const { schemas } = JSON.parse(await openApiText()).components;
    expect(EVENT_TYPES.filter((type) => schemas[`EventData_${type}`] === undefined)).toEqual([]);
  });

  test("says of every route what it answers, and gives every operation an id of its own", async () => {
    const { paths } = JSON.parse(await openApiText());
    const operations = Object.values(paths).flatMap((methods) => Object.values(methods as object));
    const ids = operations.map(({ operationId }) => operationId);
    // The contract gives this one twice: to the engine's tasks and to those of a session.
    const twice = ids.filter((id, index) => ids.indexOf(id) !== index);
    expect(twice).toEqual(["list_tasks"]);
    for (const { operationId, responses } of operations) {
      const statuses = Object.keys(responses);
      expect([operationId, statuses.some((status) => /^[23]/.test(status))]).toEqual([operationId, true]);
    }
  });

  test("gives every list the envelope of the contract's rule: data, total, offset, limit", async () => {
    const { paths, components } = JSON.parse(await openApiText());
    type Schema = { $ref?: string; type?: string; properties?: Record<string, Schema>; allOf?: Schema[] };
    const resolved = (schema: Schema): Schema =>
      schema.$ref ? resolved(components.schemas[schema.$ref.split("/").at(-1) ?? ""]) : schema;
    const fields = (schema: Schema): Record<string, Schema> => {
      const { properties = {}, allOf = [] } = resolved(schema);
      return Object.assign({ ...properties }, ...allOf.map(fields));
    };
    const lists: [operationId: string, fields: string[]][] = [];
    for (const { operationId, responses } of Object.values(paths).flatMap((methods) =>
      Object.values(methods as Record<string, { operationId: string; responses: Record<string, unknown> }>),
    )) {
      const answer = responses["200"] as { content?: Record<string, { schema: Schema }> } | undefined;
      const schema = answer?.content?.["application/json"]?.schema;
      const found = schema ? fields(schema) : {};
      if (found.data && resolved(found.data).type === "array") lists.push([operationId, Object.keys(found)]);
    }
    expect(lists.length).toBeGreaterThan(30);
    const wanted = ["data", "total", "offset", "limit"];
    expect(lists.filter(([, found]) => wanted.some((name) => !found.includes(name)))).toEqual([]);
  });
});
