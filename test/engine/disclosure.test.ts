/** How much of an error the caller is told, and in which language the model is asked to answer. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Controls } from "../../src/contract/message.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { isIdle, logOnce } from "../support/sessions.ts";

let app: TestApp;
let engine: TestEngine;
const model = createManualDriver();
beforeAll(async () => {
  app = await testApp();
  await seedModel(app.db);
  engine = await startEngine({ address: app.db.address }, { driver: model.driver });
});
afterAll(async () => {
  await engine.stop();
  await app.close();
});
const ask = async (controls: Controls, session: object = {}) => {
  const { id } = (await app.post("/sessions", session)).body;
  await app.post(`/sessions/${id}/messages`, { message: { content: "go" }, controls });
  engine.hint();
  return { id, call: await model.nextCall() };
};

describe("a failed turn", () => {
  const SECRET = "401 from https://internal.example.com";
  const cases: [string, string, boolean, string][] = [
    // What was asked for; then the code of the event, whether the cause is told anywhere, and the disclosure told.
    ["generic", "internal_error", false, "generic"],
    ["standard", "provider_misconfigured", true, "standard"],
    ["detailed", "provider_misconfigured", true, "detailed"],
  ];
  for (const [asked, code, isTold, told] of cases) {
    test(`tells as much as ${asked} allows, in every event`, async () => {
      const { id, call } = await ask({ error_disclosure: asked });
      call.fail({ code: "provider_misconfigured", message: SECRET, retryable: false });
      const log = await logOnce(app.db, id, isIdle);
      const failed = log.find((event) => event.type === "turn.failed");
      const answer = log.find((event) => event.type === "output.message.completed");
      expect(failed?.data).toMatchObject({ error_code: code, error_disclosure: told });
      expect(answer?.data).toMatchObject({ error_code: code, error_disclosure: told });
      expect(JSON.stringify(log).includes(SECRET)).toBe(isTold);
      // The operator sees the cause in any case.
      const [run] = (await app.get(`/sessions/${id}/runs`)).body.data;
      expect([run.error_code, run.error]).toEqual(["provider_misconfigured", SECRET]);
    });
  }
  const collapsed: [string, string][] = [
    ["provider_rate_limited", "rate_limited"],
    ["request_too_large", "request_too_large"],
    ["provider_quota_exhausted", "internal_error"],
  ];
  for (const [code, shown] of collapsed) {
    test(`generic shows ${code} as ${shown}`, async () => {
      const { id, call } = await ask({ error_disclosure: "generic" });
      call.fail({ code: code as never, message: SECRET, retryable: false });
      const log = await logOnce(app.db, id, isIdle);
      expect(log.find((event) => event.type === "turn.failed")?.data.error_code).toBe(shown);
    });
  }
});

describe("the locale", () => {
  const cases: [string, Controls, object, string | null][] = [
    ["of the session is told to the model", {}, { locale: "uk-UA" }, "uk-UA"],
    ["of the message wins", { locale: "de-AT" }, { locale: "uk-UA" }, "de-AT"],
    ["is not spoken of when there is none", {}, {}, null],
  ];
  for (const [name, controls, session, expected] of cases) {
    test(name, async () => {
      const { call } = await ask(controls, session);
      const found = /locale is (\S+)\./.exec(call.request.system ?? "")?.[1] ?? null;
      expect(found).toBe(expected);
      call.say("ok");
      call.finish();
    });
  }
});
