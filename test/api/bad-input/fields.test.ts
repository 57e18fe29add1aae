/** Every field of every JSON body: left out, of another type, one over its limit, a value that its enum lacks. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { complaintAbout, createTally } from "../../support/api/bad-input.ts";
import { createWorld, type World } from "../../support/api/world.ts";
import { wrongBodies } from "../../support/api/wrong-values.ts";
import { testApp } from "../../support/app.ts";

const tally = createTally("fields of bodies");
let world: World;

beforeAll(async () => {
  world = await createWorld(await testApp());
});
afterAll(async () => {
  tally.report();
  await world.app.close();
});

test("a body that its schema refuses is refused, with the name of the field", async () => {
  for (const operation of world.operations) {
    if (!operation.jsonBody) continue;
    for (const { field, why, body } of wrongBodies(world.document, operation.jsonBody, world.accepts)) {
      const answer = await world.call(operation, { body: JSON.stringify(body) });
      const isNamed = field === "" || String(answer.body?.detail).includes(field.split(".")[0] ?? "");
      tally.add(
        operation,
        `${field || "the body"} is ${why}`,
        complaintAbout(operation, answer, { code: /^(invalid_|limit_exceeded)/ }) ??
          (isNamed ? null : `the field is not named: ${answer.body.detail}`),
      );
    }
  }
  tally.expectNone();
  expect(world.operations.length).toBeGreaterThan(60);
});
