/** Sessions, messages, events and runs that are asked for wrongly. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../../src/base/id.ts";
import { limits } from "../../../src/contract/limits.ts";
import { type TestApp, testApp } from "../../support/app.ts";
import { type BadRequest, expectProblem, long } from "../../support/bad-requests.ts";

let app: TestApp;
let session: string;

beforeAll(async () => {
  app = await testApp();
  await app.post("/agents", { name: "archived", system_prompt: "x" });
  await app.call("DELETE", "/agents/archived");
  session = (await app.post("/sessions", {})).body.id;
});
afterAll(() => app.close());

describe("sessions", () => {
  const cases: BadRequest[] = [
    [
      "an agent that is not there",
      "POST",
      "/sessions",
      { agent_id: newId("agent") },
      "not_found",
      /^Agent not found/,
    ],
    [
      "an agent's name that is not there",
      "POST",
      "/sessions",
      { agent_name: "nobody" },
      "not_found",
      /^Agent not found: nobody/,
    ],
    [
      "an agent id of another kind",
      "POST",
      "/sessions",
      { agent_id: newId("model") },
      "invalid_id",
      /agent_/,
    ],
    ["an archived agent", "POST", "/sessions", { agent_name: "archived" }, "conflict", /archived/],
    [
      "a harness that is not there",
      "POST",
      "/sessions",
      { harness_id: newId("harness") },
      "not_found",
      /^Harness not found/,
    ],
    [
      "a model that is not there",
      "POST",
      "/sessions",
      { model_id: newId("model") },
      "not_found",
      /^model_id: there is no enabled model/,
    ],
    [
      "a workspace that is not there",
      "POST",
      "/sessions",
      { workspace_id: newId("wsp") },
      "not_found",
      /Workspace/,
    ],
    [
      "a workspace id of another kind",
      "POST",
      "/sessions",
      { workspace_id: newId("session") },
      "invalid_id",
      /wsp_/,
    ],
    [
      "a title one too long",
      "POST",
      "/sessions",
      { title: long(limits.titleCharsMax + 1) },
      "limit_exceeded",
      /^title/,
    ],
    ["no language", "POST", "/sessions", { locale: "not a locale" }, "invalid_request", /^locale/],
    ["hints that are no object", "POST", "/sessions", { hints: "x" }, "invalid_request", /^hints/],
    [
      "hints too large",
      "POST",
      "/sessions",
      { hints: { a: long(limits.metadataBytesMax) } },
      "limit_exceeded",
      /^hints/,
    ],
    [
      "a prompt one byte too long",
      "POST",
      "/sessions",
      { system_prompt: long(limits.systemPromptBytesMax + 1) },
      "limit_exceeded",
      /^system_prompt/,
    ],
    [
      "an unknown capability",
      "POST",
      "/sessions",
      { capabilities: ["x"] },
      "invalid_request",
      /^capabilities\.0/,
    ],
    [
      "a network list that is no list",
      "POST",
      "/sessions",
      { network_access: { allowed: "x" } },
      "invalid_request",
      /^network_access\.allowed/,
    ],
    [
      "a session that is not there",
      "GET",
      `/sessions/${newId("session")}`,
      undefined,
      "not_found",
      /Session/,
    ],
    ["another kind of id", "GET", `/sessions/${newId("agent")}`, undefined, "invalid_id", /session_/],
    ["percent signs that mean nothing", "GET", "/sessions/%zz/events", undefined, "invalid_id", /./],
    ["tags that are no list", "PATCH", "/sessions/SESSION", { tags: "x" }, "invalid_request", /^tags/],
    ["a filter by another kind of id", "GET", "/sessions?agent_id=taken", undefined, "invalid_id", /agent_/],
    [
      "deleting what is not there",
      "DELETE",
      `/sessions/${newId("session")}`,
      undefined,
      "not_found",
      /Session/,
    ],
    [
      "pinning what is not there",
      "PUT",
      `/sessions/${newId("session")}/pin`,
      undefined,
      "not_found",
      /Session/,
    ],
    [
      "a message without content",
      "POST",
      "/sessions/SESSION/messages",
      { message: {} },
      "invalid_request",
      /^message\.content: is required/,
    ],
    [
      "a message with no part",
      "POST",
      "/sessions/SESSION/messages",
      { message: { content: [] } },
      "invalid_request",
      /^message\.content/,
    ],
    [
      "a message of an unknown part",
      "POST",
      "/sessions/SESSION/messages",
      { message: { content: [{ type: "video" }] } },
      "invalid_request",
      /^message\.content\.0/,
    ],
    [
      "a message to who is not there",
      "POST",
      `/sessions/${newId("session")}/messages`,
      { message: { content: [{ type: "text", text: "x" }] } },
      "not_found",
      /Session/,
    ],
    [
      "an unknown event type",
      "GET",
      "/sessions/SESSION/events?types=no.such",
      undefined,
      "unknown_event_type",
      /no\.such/,
    ],
    [
      "a NUL in an event filter",
      "GET",
      "/sessions/SESSION/events?turn_id=%00",
      undefined,
      "not_found",
      /never/,
    ],
    [
      "a cursor that is no id",
      "GET",
      "/sessions/SESSION/events?since_id=5",
      undefined,
      "invalid_id",
      /event_/,
    ],
    [
      "runs of a session that is not there",
      "GET",
      `/sessions/${newId("session")}/runs`,
      undefined,
      "not_found",
      /Session/,
    ],
    [
      "an unknown run status",
      "GET",
      "/runs?status=dead",
      undefined,
      "invalid_request",
      /^status.0: must be one of queued/,
    ],
    ["a run that is not there", "GET", `/runs/${newId("turn")}`, undefined, "not_found", /Run/],
    ["a run id of another kind", "GET", `/runs/${newId("session")}`, undefined, "invalid_id", /turn_/],
  ];
  for (const [name, method, path, body, code, detail] of cases) {
    if (detail.source === "never") {
      test(`${name}: finds nothing`, async () => {
        const answer = await app.call(method, path.replace("SESSION", session), body);
        expect([answer.status, answer.body.data]).toEqual([200, []]);
      });
      continue;
    }
    test(`${name}: ${code}`, async () => {
      expectProblem(await app.call(method, path.replace("SESSION", session), body), code, detail);
    });
  }

  test("the session is as it was", async () => {
    const stats = (await app.get("/sessions/stats")).body;
    expect([stats.total, stats.started]).toEqual([1, 1]);
    expect((await app.get(`/sessions/${session}/events`)).body.total).toBe(1);
  });
});
