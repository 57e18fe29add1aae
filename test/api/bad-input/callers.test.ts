/** Who is calling, and how: organizations of others, hosts and sites of others, headers that are no good. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { complaintAbout, createTally } from "../../support/api/bad-input.ts";
import type { Operation } from "../../support/api/document.ts";
import { createWorld, unknownId, type World } from "../../support/api/world.ts";
import { OTHER_ORGANIZATION, testApp } from "../../support/app.ts";
import { makeToken, makeUser } from "../../support/callers.ts";

const tally = createTally("callers");
let world: World;

beforeAll(async () => {
  const app = await testApp();
  await app.db.sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
  world = await createWorld(app);
});
afterAll(async () => {
  tally.report();
  await world.app.close();
});

interface Caller {
  name: string;
  headers: Record<string, string>;
  code: RegExp;
  /** Of routes that change something alone. */
  isWriteOnly?: boolean;
}

const REFUSED: readonly Caller[] = [
  { name: "an organization of others", headers: { "x-org-id": OTHER_ORGANIZATION }, code: /^not_found$/ },
  {
    name: "an organization that is not there",
    headers: { "x-org-id": unknownId("org") },
    code: /^not_found$/,
  },
  {
    name: "an organization that is no id",
    headers: { "x-org-id": "' or 1=1 --" },
    code: /^(not_found|invalid_id)$/,
  },
  { name: "a host of others", headers: { host: "evil.example" }, code: /^forbidden_host$/ },
  { name: "a host that is none", headers: { host: "localhost@evil.example" }, code: /^forbidden_host$/ },
  {
    name: "a page of another site",
    headers: { origin: "https://evil.example" },
    code: /^forbidden$/,
    isWriteOnly: true,
  },
  { name: "a page without origin", headers: { origin: "null" }, code: /^forbidden$/, isWriteOnly: true },
];

/** Signing in is for everybody; all else asks who is calling, and says that it may answer 401. */
const OPEN = /^\/v1\/auth\/(config|login|logout|refresh|register|oauth|callback)\b/;
function closed(): Operation[] {
  const found = world.operations.filter(({ path, responses }) => !OPEN.test(path) && responses["401"]);
  expect(found.length).toBeGreaterThan(world.operations.length - 20);
  return found;
}

const attempt = (operation: Operation, headers: Record<string, string>) =>
  world.call(operation, { headers, body: world.bodyOf(operation, false) });

test("a caller who may not is refused on every route", async () => {
  for (const operation of closed()) {
    for (const { name, headers, code, isWriteOnly } of REFUSED) {
      if (isWriteOnly && operation.method === "GET") continue;
      const complaint = complaintAbout(operation, await attempt(operation, headers), { code });
      tally.add(operation, name, complaint);
    }
  }
  tally.expectNone();
});

test("with authentication, a caller without a good credential is refused on every route", async () => {
  const app = await testApp({ access: {} });
  try {
    const user = await makeUser(app.db);
    const [good, revoked] = [await makeToken(app.db, user.id), await makeToken(app.db, user.id)];
    await app.db.sql`update access_tokens set revoked_at = now() where id = ${revoked.id}`;
    const credentials: [name: string, headers: Record<string, string>, code: RegExp][] = [
      ["no credential", {}, /^unauthorized$/],
      ["an empty one", { authorization: "" }, /^unauthorized$/],
      ["one that was never made", { authorization: "evr_pat_x" }, /^unauthorized$/],
      ["another scheme", { authorization: "Basic eDp5" }, /^unauthorized$/],
      ["a JWT of nobody", { authorization: "Bearer eyJhbGciOiJub25lIn0.e30." }, /^unauthorized$/],
      ["SQL", { authorization: "Bearer ' or '1'='1" }, /^unauthorized$/],
      ["a cookie of nobody", { cookie: "access_token=x" }, /^(unauthorized|forbidden)$/],
      ["one that was taken back", { authorization: revoked.token }, /^unauthorized$/],
      ["a good one for others", { authorization: good.token, "x-org-id": OTHER_ORGANIZATION }, /^not_found$/],
      [
        "a good one for no organization",
        { authorization: good.token, "x-org-id": "' or 1=1 --" },
        /^(not_found|invalid_id)$/,
      ],
    ];
    for (const operation of closed()) {
      for (const [name, headers, code] of credentials) {
        const answer = await app.call(
          operation.method,
          world.pathOf(operation),
          world.bodyOf(operation, false),
          headers,
        );
        tally.add(operation, name, complaintAbout(operation, answer, { code }));
      }
    }
    tally.expectNone();
  } finally {
    await app.close();
  }
});

const ODD_HEADERS: readonly (readonly [name: string, headers: Record<string, string>])[] = [
  ["a request id that is too long", { "x-request-id": "x".repeat(10_000) }],
  ["a request id with blanks", { "x-request-id": "a b <script>" }],
  ["an idempotency key that is too long", { "idempotency-key": "x".repeat(10_000) }],
  ["an idempotency key of odd bytes", { "idempotency-key": "\u00ff' or 1=1" }],
  ["an event id that is none", { "last-event-id": "../../etc/passwd" }],
  ["an answer that is not made", { accept: "application/x-nothing" }],
  ["an accept header without sense", { accept: ";;;,,q=x" }],
  ["a range without sense", { range: "bytes=9-1" }],
  ["a condition without sense", { "if-match": "x", "if-none-match": "x" }],
  ["an expectation", { expect: "100-continue" }],
  ["addresses that are none", { "x-forwarded-for": "' or 1=1, ::::, 999.1.1.1", forwarded: "for=x" }],
  ["another method on top", { "x-http-method-override": "DELETE" }],
  ["a cookie without sense", { cookie: "access_token=x; everruns_project=..%2f" }],
];

test("odd headers are passed over or refused, and hurt nobody", async () => {
  for (const operation of world.operations) {
    for (const [name, headers] of ODD_HEADERS) {
      tally.add(
        operation,
        name,
        complaintAbout(operation, await attempt(operation, headers), { mayPass: true }),
      );
    }
  }
  tally.expectNone();
});

test("a method that a path does not have is 405 with those that it has", async () => {
  const methodsOf = Map.groupBy(world.operations, ({ path }) => path);
  for (const operations of methodsOf.values()) {
    const methods = operations.map(({ method }) => method);
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"].filter(
      (other) => !methods.includes(other),
    )) {
      const [operation] = operations;
      if (!operation) continue;
      const answer = await world.app.call(method, world.pathOf(operation), method === "GET" ? undefined : {});
      const allow = answer.headers.get("allow");
      // A path of words alone may be a name to a route beside it: `/agents/config`.
      const isRight = answer.status !== 405 || methods.every((one) => allow?.includes(one));
      const isName = [400, 403, 409].includes(answer.status);
      const complaint = isName
        ? null
        : complaintAbout(operation, answer, { isElsewhere: true, mayPass: true });
      tally.add(operation, `${method} instead`, complaint ?? (isRight ? null : `allow: ${allow}`));
    }
  }
  tally.expectNone();
});
