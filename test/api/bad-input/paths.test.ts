/** Every parameter of every path: ids of another kind, ids that are not there, and texts that are no ids at all. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { complaintAbout, createTally } from "../../support/api/bad-input.ts";
import type { Operation } from "../../support/api/document.ts";
import { ODD_SEGMENTS } from "../../support/api/odd-texts.ts";
import { createWorld, prefixOf, unknownId, type World } from "../../support/api/world.ts";
import { testApp } from "../../support/app.ts";

const tally = createTally("parameters of paths");
let world: World;

beforeAll(async () => {
  world = await createWorld(await testApp());
});
afterAll(async () => {
  tally.report();
  await world.app.close();
});

/** Each parameter of each path, with the body that would be taken. */
async function eachParameter(
  visit: (operation: Operation, name: string, body: unknown) => Promise<void>,
): Promise<void> {
  for (const operation of world.operations) {
    for (const name of operation.pathParameters) await visit(operation, name, world.bodyOf(operation, false));
  }
  tally.expectNone();
}

test("an id that is not there is 404", async () => {
  await eachParameter(async (operation, name, body) => {
    if (isFree(name)) return;
    const id = unknownId(prefixOf(name, operation.path));
    const answer = await world.call(operation, { path: { [name]: id }, body });
    // A PUT may make what is not there.
    const mayPass = isFree(name) || (operation.method === "PUT" && operation.responses["201"] !== undefined);
    tally.add(
      operation,
      `${name} = ${id}`,
      complaintAbout(operation, answer, { mayPass, code: /not_found/ }),
    );
  });
});

test("an id of another kind is refused", async () => {
  await eachParameter(async (operation, name, body) => {
    if (isFree(name)) return;
    const id = unknownId("other");
    const answer = await world.call(operation, { path: { [name]: id }, body });
    tally.add(
      operation,
      `${name} = ${id}`,
      complaintAbout(operation, answer, { mayPass: isFree(name), code: /invalid_|not_found/ }),
    );
  });
});

test("a text that is no id is refused or taken as a name, and hurts nobody", async () => {
  await eachParameter(async (operation, name, body) => {
    for (const [why, segment] of ODD_SEGMENTS) {
      const answer = await world.call(operation, { path: { [name]: segment }, body });
      // Dots may lead the URL itself elsewhere.
      const complaint = complaintAbout(operation, answer, {
        mayPass: isFree(name),
        isElsewhere: true,
      });
      tally.add(operation, `${name} is ${why}`, complaint);
    }
  });
});

/** Names and paths of files: almost any text may be one. */
const isFree = (name: string) => name === "path" || name === "name";

test("everything is still there", async () => {
  expect((await world.app.get("/agents")).body.total).toBeGreaterThan(0);
});
