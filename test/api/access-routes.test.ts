/** Every route that the app serves, with every kind of caller who may not use it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { bearer, makeToken, makeUser, tokenOf } from "../support/callers.ts";
import { DOCUMENTS, routesOf, type ServedRoute } from "../support/routes.ts";

let app: TestApp;
let routes: ServedRoute[];
const callers: Record<string, string> = {};

/** For those who watch the server; a route made by hand. */
const SCRAPED = "/metrics";

beforeAll(async () => {
  app = await testApp({ access: {} });
  await app.db.sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
  routes = routesOf(app);
  const user = await makeUser(app.db);
  const [revoked, expired] = [await makeToken(app.db, user.id), await makeToken(app.db, user.id)];
  await app.db.sql`update access_tokens set revoked_at = now() where id = ${revoked.id}`;
  await app.db.sql`update access_tokens set expires_at = now() where id = ${expired.id}`;
  Object.assign(callers, {
    revoked: revoked.token,
    expired: expired.token,
    viewer: await tokenOf(app.db, "viewer"),
    member: await tokenOf(app.db, "member"),
    reader: await tokenOf(app.db, "owner", { scopes: ["read"] }),
    writer: await tokenOf(app.db, "owner", { scopes: ["read", "write"] }),
    owner: await tokenOf(app.db, "owner"),
  });
});
afterAll(() => app.close());

/** An address below the route: ids that are well-formed and belong to nobody. */
const PREFIXES: Record<string, string> = {
  turn_id: "turn",
  model_id: "model",
  message_id: "message",
  approval_id: "approval",
};
function addressOf(path: string): string {
  return path
    .replace(/:(\w+)/g, (_match, name: string) => newId((PREFIXES[name] ?? name.replace(/_id$/, "")) as "x"))
    .replace(/\*$/, "a");
}

const guarded = () =>
  routes.filter(({ path, route }) => !DOCUMENTS.includes(path) && route?.access !== "public");
const call = (method: string, path: string, headers: Record<string, string>) =>
  app.call(method, `/${addressOf(path)}`, undefined, headers);

/** Calls all the routes and gives those that did not answer as expected. */
async function unlike(
  chosen: { method: string; path: string }[],
  headers: Record<string, string>,
  status: number,
  code: string,
): Promise<unknown[]> {
  expect(chosen.length).toBeGreaterThan(2);
  const wrong: unknown[] = [];
  for (const { method, path } of chosen) {
    const answer = await call(method, path, headers);
    if (answer.status !== status || answer.body?.code !== code)
      wrong.push([method, path, answer.status, answer.body]);
  }
  return wrong;
}

describe("every route", () => {
  test("is known with its data, or is one of the few that have none", () => {
    const odd = routes
      .filter(({ route }) => route === undefined)
      .map(({ path }) => path.replace(/^\/api\/v1/, "/v1"));
    expect([...new Set(odd)].sort()).toEqual(
      [...DOCUMENTS, SCRAPED, "/v1/sessions/:session_id/events", "/v1/sessions/:session_id/sse"].sort(),
    );
  });

  test("is public only when it is one of these", () => {
    const open = routes.filter(({ route }) => route?.access === "public").map(({ path }) => path);
    expect([...new Set(open.map((path) => path.replace(/^(\/api)?\/v1/, "")))].sort()).toEqual(PUBLIC);
  });

  const outsiders: [string, () => Record<string, string>][] = [
    ["no credential", () => ({})],
    ["a wrong one", () => bearer("evr_pat_wrong")],
    ["a revoked one", () => bearer(callers.revoked ?? "")],
    ["an expired one", () => bearer(callers.expired ?? "")],
    ["a cookie that is none", () => ({ cookie: "access_token=x", "sec-fetch-site": "same-origin" })],
  ];
  for (const [what, headers] of outsiders) {
    test(`with ${what} is 401`, async () => {
      expect(await unlike(guarded(), headers(), 401, "unauthorized")).toEqual([]);
    });
  }

  test("with an organization that is not the caller's is 404", async () => {
    const headers = bearer(callers.owner ?? "", { "x-org-id": OTHER_ORGANIZATION });
    expect(await unlike(guarded(), headers, 404, "not_found")).toEqual([]);
  });

  const isWrite = ({ method, route }: ServedRoute) =>
    method !== "GET" && (route?.access === undefined || route.access === "write");
  test("that writes is 403 for a viewer and for a token that reads", async () => {
    const writes = guarded().filter(isWrite);
    expect(await unlike(writes, bearer(callers.viewer ?? ""), 403, "forbidden")).toEqual([]);
    expect(await unlike(writes, bearer(callers.reader ?? ""), 403, "forbidden")).toEqual([]);
  });

  test("that is an admin's is 403 for a member, and for an owner's token without the scope", async () => {
    const admins = guarded().filter(({ route }) => route?.access === "admin" || route?.access === "operator");
    for (const who of ["viewer", "member", "reader", "writer"]) {
      expect(await unlike(admins, bearer(callers[who] ?? ""), 403, "forbidden")).toEqual([]);
    }
  });

  test("that changes what is the caller's own is 403 for a token that reads", async () => {
    const own = guarded().filter(({ route }) => route?.access === "self");
    expect(await unlike(own, bearer(callers.reader ?? ""), 403, "forbidden")).toEqual([]);
  });

  test("lets the owner in: whatever it answers, it is not about who calls", async () => {
    const wrong: unknown[] = [];
    for (const { method, path } of guarded()) {
      // One never ends, the other ends the owner.
      if (path.endsWith("/sse") || (method === "DELETE" && path.endsWith("/users/me"))) continue;
      const { status } = await call(method, path, bearer(callers.owner ?? ""));
      if (status === 401 || status === 403 || status >= 500) wrong.push([method, path, status]);
    }
    expect(wrong).toEqual([]);
  });
});

const PUBLIC = [
  "/auth/callback/:provider",
  "/auth/config",
  "/auth/login",
  "/auth/logout",
  "/auth/oauth/:provider",
  "/auth/refresh",
  "/auth/register",
];
