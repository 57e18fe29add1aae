/** Bodies that are no JSON, of another type, cut off, nested without end, or larger than a route takes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { limits } from "../../../src/contract/limits.ts";
import { complaintAbout, createTally } from "../../support/api/bad-input.ts";
import { createWorld, type World } from "../../support/api/world.ts";
import { testApp } from "../../support/app.ts";

const tally = createTally("bodies");
let world: World;

beforeAll(async () => {
  world = await createWorld(await testApp());
});
afterAll(async () => {
  tally.report();
  await world.app.close();
});

const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

const NO_JSON: readonly (readonly [why: string, body: string | Uint8Array])[] = [
  ["no JSON", "{nope"],
  ["JSON that ends too early", '{"name":'],
  ["a comma too many", '{"name":"a",}'],
  ["two values", "{}{}"],
  ["single quotes", "{'name':'a'}"],
  ["NaN", '{"limit":NaN}'],
  ["only blanks", "   "],
  ["bytes that are no UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])],
  ["UTF-16", new Uint8Array([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00])],
  ["nested a thousand deep", `{"a":${nested(1_000)}}`],
  ["nested a hundred thousand deep", nested(100_000)],
];

const OTHER_TYPES = [
  "text/plain",
  "application/xml",
  "application/x-www-form-urlencoded",
  "image/png",
  "json",
  "*/*",
  ";",
  "",
];

test("what is no JSON is 400 where JSON is expected", async () => {
  for (const operation of world.operations.filter(({ jsonBody }) => jsonBody !== null)) {
    for (const [why, body] of NO_JSON) {
      const answer = await world.call(operation, { body });
      tally.add(
        operation,
        `the body is ${why}`,
        complaintAbout(operation, answer, { code: /^invalid_json$/ }),
      );
    }
  }
  tally.expectNone();
});

test("a body of another content type is 415", async () => {
  for (const operation of world.operations.filter(({ bodies }) => Object.keys(bodies).length > 0)) {
    for (const type of OTHER_TYPES.filter((other) => operation.bodies[other] === undefined)) {
      const headers = { "content-type": type };
      const answer = await world.call(operation, { body: JSON.stringify({ name: "x" }), headers });
      const complaint = complaintAbout(operation, answer, { code: /^unsupported_media_type$/ });
      tally.add(operation, `the content type is ${JSON.stringify(type)}`, complaint);
    }
  }
  tally.expectNone();
});

test("a body that never ends is 413, and no more of it is read than the route takes", async () => {
  const chunk = new Uint8Array(256 * 1024).fill(0x20);
  for (const operation of world.operations.filter(({ bodies }) => Object.keys(bodies).length > 0)) {
    const type = Object.keys(operation.bodies)[0] ?? "";
    let sent = 0;
    let isCancelled = false;
    const body = new ReadableStream({
      pull(controller) {
        sent += chunk.byteLength;
        controller.enqueue(chunk);
      },
      cancel() {
        isCancelled = true;
      },
    });
    const contentType = type.startsWith("multipart/") ? `${type}; boundary=x` : type;
    const response = await world.app.app.handle(
      new Request(`http://localhost/v1${world.pathOf(operation)}`, {
        method: operation.method,
        headers: { "content-type": contentType },
        body,
      }),
    );
    const answer = { status: response.status, headers: response.headers, body: await response.json() };
    tally.add(
      operation,
      "the body never ends",
      complaintAbout(operation, answer, { code: /^payload_too_large$/ }) ??
        (isCancelled ? null : "the body was not cancelled") ??
        (sent > READ_BYTES_MAX ? `${sent} bytes were read` : null),
    );
  }
  tally.expectNone();
});

/** The largest body of any route, and what lies between two looks. */
const READ_BYTES_MAX = limits.fileRequestBytesMax + 2 * 1024 * 1024;

test("a body that says that it is too large is 413 before it is read", async () => {
  for (const operation of world.operations.filter(({ bodies }) => Object.keys(bodies).length > 0)) {
    let pulls = 0;
    const body = new ReadableStream(
      {
        pull(controller) {
          pulls += 1;
          controller.enqueue(new Uint8Array(1));
        },
      },
      { highWaterMark: 0 },
    );
    const response = await world.app.app.handle(
      new Request(`http://localhost/v1${world.pathOf(operation)}`, {
        method: operation.method,
        headers: { "content-type": Object.keys(operation.bodies)[0] ?? "", "content-length": "99999999999" },
        body,
      }),
    );
    const answer = { status: response.status, headers: response.headers, body: await response.json() };
    tally.add(
      operation,
      "the length is too large",
      complaintAbout(operation, answer, { code: /^payload_too_large$/ }) ??
        (pulls === 0 ? null : `${pulls} pieces of it were read`),
    );
  }
  tally.expectNone();
});

test("a body where none is wanted, and none where one is wanted", async () => {
  for (const operation of world.operations) {
    const hasBody = Object.keys(operation.bodies).length > 0;
    if (hasBody && !operation.isBodyRequired) continue;
    if (operation.method === "GET") continue;
    const answer = await world.call(operation, { body: hasBody ? "" : "{nope" });
    const complaint = complaintAbout(operation, answer, { mayPass: !hasBody });
    tally.add(operation, hasBody ? "no body" : "a body that nobody reads", complaint);
  }
  tally.expectNone();
});

test("text that a database cannot store is taken apart before it gets there", async () => {
  for (const operation of world.operations.filter(({ jsonBody }) => jsonBody !== null)) {
    const body = JSON.stringify(world.bodyOf(operation, true), (_key, value) =>
      typeof value === "string" && value.startsWith("sample") && !/^sample-\d/.test(value)
        ? "a\0b\ud800"
        : value,
    );
    // JSON.stringify writes both as escapes; the bytes of a lone surrogate cannot be written in UTF-8 at all.
    expect([/\0/.test(body), body.includes("\ud800")]).toEqual([false, false]);
    const answer = await world.call(operation, { body });
    tally.add(
      operation,
      "NUL and half a surrogate pair",
      complaintAbout(operation, answer, { mayPass: true }),
    );
    if (answer.status < 300) expect(JSON.stringify(answer.body)).not.toMatch(/\\u0000|\\ud800/);
  }
  tally.expectNone();
  expect(limits.requestBytesMax).toBeLessThan(READ_BYTES_MAX);
});
