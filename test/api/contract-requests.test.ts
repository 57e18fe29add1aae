/** Whatever the contract's schemas take, the server takes: requests made from the contract's OpenAPI, and sent. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import contract from "../golden/contract-openapi.json";
import { type Document, operationsOf } from "../support/api/document.ts";
import { validRequests } from "../support/api/valid-requests.ts";
import { createWorld, type World } from "../support/api/world.ts";
import { testApp } from "../support/app.ts";

let world: World;

beforeAll(async () => {
  world = await createWorld(await testApp());
});
afterAll(() => world.app.close());

/** Refused although the contract's schema takes it: `POST /v1/x`, what was sent, and why we do not take it. */
const REFUSED: readonly (readonly [route: RegExp, why: RegExp, reason: string])[] = [
  [/POST .*\/fs\/\{path\}$/, /the fullest body/, "a directory has no content"],
  [/GET \/v1\/durable\//, /status/, "there is no other status"],
  [
    /POST .*\/participants$/,
    /smallest|fullest|kind|agent_id is null|role/,
    "who joins must be named, as one of two roles",
  ],
  [
    /POST \/v1\/durable\/tasks$/,
    /./,
    "a task of the engine is a turn, which names its session and its message",
  ],
  [
    /GET .*\/sessions\/.*\/export$/,
    /format|segmented|cursor/,
    "there are two formats, and one of them comes in segments",
  ],
  [
    /mcp-servers/,
    /transport_type is "stdio"/,
    "a program on the server's machine is not the client's to start",
  ],
  [/GET .*\/tasks$/, /state|kind|created_after/, "there is no other state or kind, and a time is a time"],
  [/GET .*\/events$/, /around/, "an event of another session is no place in this one"],
  [/POST .*\/messages$/, /content is empty/, "a message without content says nothing"],
  [
    /POST .*\/messages$/,
    /content has one that .*(base64 has a value|base64 is null|media_type|url is null|"image"|image_id|"image_file"|filename)/,
    "an image needs its bytes or an address, and a stored one must be there",
  ],
  [/(POST \/v1\/capabilities|PATCH .*\/declarative\/.*)$/, /body|definition/, "a definition has a name"],
  [/PATCH .*\/harnesses\/\{/, /parent_harness_id|the fullest body/, "a harness cannot inherit from itself"],
  [/POST .*\/tool-results$/, /tool_results is empty/, "the contract's text says 400"],
];

/** The state of the thing does not allow it; the request was understood. */
const UNDERSTOOD = new Set([403, 404, 409, 501, 502]);

test("requests made from the contract's schemas are taken", async () => {
  const served = new Map(world.operations.map((operation) => [operation.key, operation]));
  const refused: string[] = [];
  const reasons = new Set<string>();
  let sent = 0;
  for (const theirs of operationsOf(contract as unknown as Document)) {
    const operation = served.get(theirs.key);
    const types = [...Object.keys(theirs.bodies), ...Object.keys(operation?.bodies ?? {})];
    if (!operation || types.some((type) => type !== "application/json")) continue;
    // What would take away that which the others need comes with no body and no query.
    if (operation.method === "DELETE") continue;
    for (const { why, body, query } of validRequests(contract as unknown as Document, theirs, world.known)) {
      const answer = await world.call(operation, { body, query });
      sent += 1;
      if (answer.status < 300) {
        world.harvest(answer.body, operation);
        continue;
      }
      if (UNDERSTOOD.has(answer.status)) continue;
      const exception = REFUSED.find(([route, what]) => route.test(operation.name) && what.test(why));
      if (exception) reasons.add(exception[2]);
      else refused.push(`${operation.name}, ${why}: ${answer.status} ${answer.body?.detail}`);
    }
  }
  expect(refused.slice(0, 60)).toEqual([]);
  expect(REFUSED.filter(([, , reason]) => !reasons.has(reason))).toEqual([]);
  console.log(`requests made from the contract: ${sent}`);
});
