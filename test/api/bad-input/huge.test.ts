/** Texts, lists and objects whose schema names no limit: the route has one, in bytes. */
import { afterAll, beforeAll, test } from "bun:test";
import { complaintAbout, createTally } from "../../support/api/bad-input.ts";
import { createWorld, type World } from "../../support/api/world.ts";
import { hugeBodies } from "../../support/api/wrong-values.ts";
import { testApp } from "../../support/app.ts";

const tally = createTally("fields without a limit in their schema");
let world: World;

beforeAll(async () => {
  world = await createWorld(await testApp());
});
afterAll(async () => {
  tally.report();
  await world.app.close();
});

/**
 * Fields that may be as large as this: files have a limit of their own, above it; a signal to cancel is not read; a
 * skill is only looked at, and what is wrong with it is the answer.
 */
const LARGE = /\binitial_files\.0\.content$|\/signal payload$|\/skills\/validate skill_md$/;

test("what is larger than makes sense is refused", async () => {
  for (const operation of world.operations) {
    if (!operation.jsonBody) continue;
    for (const { field, why, body } of hugeBodies(world.document, operation.jsonBody, world.known)) {
      const answer = await world.call(operation, { body: JSON.stringify(body) });
      const complaint = complaintAbout(operation, answer, {
        mayPass: LARGE.test(`${operation.name} ${field}`),
      });
      tally.add(operation, `${field} is ${why}`, complaint);
    }
  }
  tally.expectNone();
});
