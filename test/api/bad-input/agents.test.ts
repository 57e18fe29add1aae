/** Agents as they must not be sent: each field one over its limit, wrong types, names of others. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../../src/base/id.ts";
import { limits } from "../../../src/contract/limits.ts";
import { type TestApp, testApp } from "../../support/app.ts";
import { type BadRequest, expectProblem, long, many } from "../../support/bad-requests.ts";

let app: TestApp;

beforeAll(async () => {
  app = await testApp();
  await app.post("/agents", { name: "taken", system_prompt: "x" });
  await app.post("/agents", { name: "archived", system_prompt: "x" });
  await app.call("DELETE", "/agents/archived");
});
afterAll(() => app.close());

const agent = (fields: object) => ({ name: "new-agent", system_prompt: "x", ...fields });

describe("agents", () => {
  const cases: BadRequest[] = [
    ["no name", "POST", "/agents", { system_prompt: "x" }, "invalid_request", /^name: is required/],
    ["no system prompt", "POST", "/agents", { name: "a" }, "invalid_request", /^system_prompt: is required/],
    [
      "a prompt that is a number",
      "POST",
      "/agents",
      agent({ system_prompt: 1 }),
      "invalid_request",
      /^system_prompt: expected string/,
    ],
    ["an empty name", "POST", "/agents", agent({ name: "" }), "invalid_name", /""/],
    ["capital letters", "POST", "/agents", agent({ name: "Agent" }), "invalid_name", /Agent/],
    ["a double hyphen", "POST", "/agents", agent({ name: "a--b" }), "invalid_name", /a--b/],
    ["a path in the name", "POST", "/agents", agent({ name: "../../etc/passwd" }), "invalid_name", /etc/],
    [
      "SQL in the name",
      "POST",
      "/agents",
      agent({ name: "x'; drop table agents; --" }),
      "invalid_name",
      /drop table/,
    ],
    ["a NUL in the name", "POST", "/agents", agent({ name: "a\0b" }), "invalid_name", /a/],
    ["a line break after the name", "POST", "/agents", agent({ name: "a\n" }), "invalid_name", /a/],
    ["a name of 65 characters", "POST", "/agents", agent({ name: long(65) }), "invalid_name", /64/],
    ["another kind of id", "POST", "/agents", agent({ id: newId("session") }), "invalid_id", /agent_/],
    [
      "capital hex in the id",
      "POST",
      "/agents",
      agent({ id: newId("agent").toUpperCase() }),
      "invalid_id",
      /agent_/,
    ],
    [
      "a display name one too long",
      "POST",
      "/agents",
      agent({ display_name: long(limits.displayNameCharsMax + 1) }),
      "limit_exceeded",
      /^display_name/,
    ],
    [
      "a description one byte too long",
      "POST",
      "/agents",
      agent({ description: long(limits.descriptionBytesMax + 1) }),
      "limit_exceeded",
      /^description: at most 10240 bytes/,
    ],
    [
      "a description too long in bytes, not in characters",
      "POST",
      "/agents",
      agent({ description: "ї".repeat(limits.descriptionBytesMax / 2 + 1) }),
      "limit_exceeded",
      /^description: at most 10240 bytes, these are 10242/,
    ],
    [
      "a prompt one byte too long",
      "POST",
      "/agents",
      agent({ system_prompt: long(limits.systemPromptBytesMax + 1) }),
      "limit_exceeded",
      /^system_prompt/,
    ],
    [
      "one capability too many",
      "POST",
      "/agents",
      agent({ capabilities: many(limits.capabilitiesMax + 1, "current_time") }),
      "limit_exceeded",
      /^capabilities/,
    ],
    [
      "a capability that is not there",
      "POST",
      "/agents",
      agent({ capabilities: ["current_time", "mind_reading"] }),
      "invalid_request",
      /^capabilities\.1: .*mind_reading.*available: /,
    ],
    [
      "a capability without ref",
      "POST",
      "/agents",
      agent({ capabilities: [{ config: {} }] }),
      "invalid_request",
      /^capabilities\.0\.ref/,
    ],
    [
      "a capability's bad config",
      "POST",
      "/agents",
      agent({ capabilities: [{ ref: "current_time", config: { timezone: 5 } }] }),
      "invalid_request",
      /^capabilities\.0: config of the capability current_time/,
    ],
    [
      "one tool too many",
      "POST",
      "/agents",
      agent({
        tools: many(limits.clientToolsMax + 1, {
          type: "client_side",
          name: "t",
          description: "",
          parameters: {},
        }),
      }),
      "limit_exceeded",
      /^tools/,
    ],
    [
      "two tools of one name",
      "POST",
      "/agents",
      agent({ tools: many(2, { type: "client_side", name: "t", description: "", parameters: {} }) }),
      "invalid_request",
      /^tools: there are two of the name t/,
    ],
    [
      "a tool's name that no model takes",
      "POST",
      "/agents",
      agent({ tools: [{ type: "client_side", name: "a b", description: "", parameters: {} }] }),
      "invalid_request",
      /^tools\.0\.name: must match/,
    ],
    [
      "a file outside",
      "POST",
      "/agents",
      agent({ initial_files: [{ path: "/../etc/passwd", content: "" }] }),
      "invalid_request",
      /^initial_files: .*\.\./,
    ],
    [
      "a file that is not base64",
      "POST",
      "/agents",
      agent({ initial_files: [{ path: "/a", content: "%%%", encoding: "base64" }] }),
      "invalid_request",
      /^initial_files/,
    ],
    [
      "a file in an unknown encoding",
      "POST",
      "/agents",
      agent({ initial_files: [{ path: "/a", content: "", encoding: "latin1" }] }),
      "invalid_request",
      /^initial_files\.0\.encoding: must be one of text, base64/,
    ],
    [
      "one file too many",
      "POST",
      "/agents",
      agent({ initial_files: many(limits.initialFilesMax + 1, { path: "/a", content: "" }) }),
      "limit_exceeded",
      /^initial_files/,
    ],
    [
      "one tag too many",
      "POST",
      "/agents",
      agent({ tags: many(limits.tagsMax + 1, "t") }),
      "limit_exceeded",
      /^tags/,
    ],
    [
      "a tag one too long",
      "POST",
      "/agents",
      agent({ tags: [long(limits.tagCharsMax + 1)] }),
      "limit_exceeded",
      /^tags\.0/,
    ],
    ["no iterations", "POST", "/agents", agent({ max_iterations: 0 }), "invalid_request", /^max_iterations/],
    [
      "half an iteration",
      "POST",
      "/agents",
      agent({ max_iterations: 1.5 }),
      "invalid_request",
      /^max_iterations: expected integer/,
    ],
    [
      "a model that is not there",
      "POST",
      "/agents",
      agent({ default_model_id: newId("model") }),
      "invalid_request",
      /^default_model_id: there is no enabled model/,
    ],
    [
      "a model by its alias that is not there",
      "POST",
      "/agents",
      agent({ model: newId("model") }),
      "invalid_request",
      /^model: there is no enabled model/,
    ],
    ["a model by the vendor's name", "POST", "/agents", agent({ model: "gpt-4" }), "invalid_id", /model_/],
    [
      "a harness that is not there",
      "POST",
      "/agents",
      agent({ harness_name: "nope" }),
      "invalid_request",
      /^harness_name: there is no harness "nope"/,
    ],
    [
      "a harness id of another kind",
      "POST",
      "/agents",
      agent({ harness_id: newId("agent") }),
      "invalid_id",
      /harness_/,
    ],
    [
      "an unknown status",
      "PATCH",
      "/agents/taken",
      { status: "gone" },
      "invalid_request",
      /^status: must be one of active, archived, deleted/,
    ],
    ["a name that another has", "PATCH", "/agents/archived", { name: "taken" }, "name_taken", /taken/],
    ["an id that another kind has", "GET", `/agents/${newId("session")}`, undefined, "invalid_id", /agent_/],
    ["an id that is not there", "GET", `/agents/${newId("agent")}`, undefined, "not_found", /Agent/],
    ["a name that is not there", "GET", "/agents/nobody", undefined, "not_found", /Agent/],
    ["a traversal in the path", "GET", "/agents/..%2f..%2fetc", undefined, "invalid_id", /etc/],
    ["a NUL in the path", "GET", "/agents/a%00b", undefined, "invalid_id", /./],
    ["percent signs that mean nothing", "GET", "/agents/%zz", undefined, "invalid_id", /./],
    [
      "renaming who is not there",
      "PUT",
      "/agents/nobody",
      agent({}),
      "invalid_request",
      /^name: there is no agent nobody/,
    ],
    ["a limit of 0", "GET", "/agents?limit=0", undefined, "invalid_request", /^limit/],
    ["a limit of 101", "GET", "/agents?limit=101", undefined, "invalid_request", /^limit/],
    [
      "a limit in words",
      "GET",
      "/agents?limit=ten",
      undefined,
      "invalid_request",
      /^limit: expected integer/,
    ],
    ["an offset below 0", "GET", "/agents?offset=-1", undefined, "invalid_request", /^offset/],
    ["an offset beyond int32", "GET", "/agents?offset=99999999999", undefined, "invalid_request", /^offset/],
    [
      "a boolean in words",
      "GET",
      "/agents?include_archived=maybe",
      undefined,
      "invalid_request",
      /^include_archived: expected boolean/,
    ],
    [
      "a name check without a name",
      "GET",
      "/agents/check-name",
      undefined,
      "invalid_request",
      /^name: is required/,
    ],
  ];
  for (const [name, method, path, body, code, detail] of cases) {
    test(`${name}: ${code}`, async () => {
      expectProblem(await app.call(method, path, body), code, detail);
    });
  }

  test("nothing of all this was written", async () => {
    const names = (await app.get("/agents?include_archived=true")).body.data.map(
      (row: { name: string }) => row.name,
    );
    expect(names.filter((name: string) => !name.startsWith("taken")).sort()).toEqual(["archived"]);
  });
});
