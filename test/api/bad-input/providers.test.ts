/** Providers and models that must be refused, and what is not there. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { newId } from "../../../src/base/id.ts";
import { limits } from "../../../src/contract/limits.ts";
import { type TestApp, testApp } from "../../support/app.ts";
import { type BadRequest, expectProblem, long } from "../../support/bad-requests.ts";

let app: TestApp;
let provider: string;

beforeAll(async () => {
  app = await testApp();
  provider = (await app.get("/providers")).body.data[0].id;
});
afterAll(() => app.close());

describe("providers and models", () => {
  const good = { name: "P", provider_type: "openai" };
  const model = { model_id: "m", display_name: "M" };
  const cases: BadRequest[] = [
    ["no name", "POST", "/providers", { provider_type: "openai" }, "invalid_request", /^name: is required/],
    [
      "an unknown type",
      "POST",
      "/providers",
      { name: "P", provider_type: "skynet" },
      "invalid_request",
      /^provider_type: must be one of openai, /,
    ],
    [
      "an address that is none",
      "POST",
      "/providers",
      { ...good, base_url: "not a url" },
      "invalid_request",
      /^base_url/,
    ],
    [
      "a file as address",
      "POST",
      "/providers",
      { ...good, base_url: "file:///etc/passwd" },
      "invalid_request",
      /^base_url/,
    ],
    [
      "a password in the address",
      "POST",
      "/providers",
      { ...good, base_url: "https://u:p@example.com" },
      "invalid_request",
      /^base_url/,
    ],
    [
      "a query in the address",
      "POST",
      "/providers",
      { ...good, base_url: "https://example.com?k=v" },
      "invalid_request",
      /^base_url/,
    ],
    [
      "a line break in the key",
      "POST",
      "/providers",
      { ...good, api_key: "sk\r\nx-evil: 1" },
      "invalid_request",
      /^api_key/,
    ],
    [
      "a key one too long",
      "POST",
      "/providers",
      { ...good, api_key: long(limits.secretCharsMax + 1) },
      "limit_exceeded",
      /^api_key/,
    ],
    [
      "a credential that no driver has",
      "POST",
      "/providers",
      { ...good, credentials: { region: "x" } },
      "invalid_request",
      /^credentials: .*region/,
    ],
    [
      "a status that is none",
      "PATCH",
      "/providers/PROVIDER",
      { status: "off" },
      "invalid_request",
      /^status/,
    ],
    [
      "a provider that is not there",
      "GET",
      `/providers/${newId("prov")}`,
      undefined,
      "not_found",
      /Provider/,
    ],
    ["another kind of id", "GET", `/providers/${newId("model")}`, undefined, "invalid_id", /prov_/],
    [
      "removing what is not there",
      "DELETE",
      `/providers/${newId("prov")}`,
      undefined,
      "not_found",
      /Provider/,
    ],
    [
      "a model at a provider that is not there",
      "POST",
      `/providers/${newId("prov")}/models`,
      model,
      "not_found",
      /Provider/,
    ],
    [
      "models of a provider that is not there",
      "GET",
      `/providers/${newId("prov")}/models`,
      undefined,
      "not_found",
      /Provider/,
    ],
    [
      "a model without name",
      "POST",
      "/providers/PROVIDER/models",
      { model_id: "m" },
      "invalid_request",
      /^display_name: is required/,
    ],
    [
      "a model that the provider has",
      "POST",
      "/providers/PROVIDER/models",
      { model_id: "llmsim", display_name: "x" },
      "name_taken",
      /model_id/,
    ],
    [
      "a model that is not there",
      "PATCH",
      `/models/${newId("model")}`,
      { enabled: false },
      "not_found",
      /Model/,
    ],
    ["an unknown source", "GET", "/models?source=stolen", undefined, "invalid_request", /^source/],
    ["a capability that is not there", "GET", "/capabilities/nope", undefined, "not_found", /Capability/],
    ["a harness that is not there", "GET", "/harnesses/nope", undefined, "not_found", /Harness/],
    [
      "an unknown worker status",
      "GET",
      "/durable/workers?status=asleep",
      undefined,
      "invalid_request",
      /^status/,
    ],
  ];
  for (const [name, method, path, body, code, detail] of cases) {
    test(`${name}: ${code}`, async () => {
      expectProblem(await app.call(method, path.replace("PROVIDER", provider), body), code, detail);
    });
  }
});
