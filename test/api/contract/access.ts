/** Who may call, on the wire. */
import type { TestApp } from "../../support/app.ts";
import { bearer, makeToken, makeUser } from "../../support/callers.ts";
import type { Step } from "../../support/contract.ts";

/** Without authentication there are no tokens to make. */
export const options = { access: { isSignupOpen: true } };

const AUTH = "named in the contract's text, not in its OpenAPI";

const MEMBERS = "ours: the contract has no way to let somebody in";

export const ours: Record<string, string> = {
  "GET /v1/auth/personal-access-tokens": AUTH,
  "POST /v1/auth/personal-access-tokens": AUTH,
  "DELETE /v1/auth/personal-access-tokens/{}": AUTH,
  "GET /v1/auth/api-keys": AUTH,
  "POST /v1/auth/api-keys": AUTH,
  "DELETE /v1/auth/api-keys/{}": AUTH,
  "GET /v1/auth/config": AUTH,
  "POST /v1/auth/login": AUTH,
  "POST /v1/auth/register": AUTH,
  "POST /v1/auth/refresh": AUTH,
  "POST /v1/auth/logout": AUTH,
  "POST /v1/auth/password": "ours: the contract has no way to change a password",
  "GET /v1/auth/me": AUTH,
  "GET /v1/auth/oauth/{}": AUTH,
  "GET /v1/auth/callback/{}": AUTH,
  "POST /v1/orgs/{}/onboarding/complete": "listed among the contract's routes, not in its OpenAPI",
  "GET /v1/orgs/{}/members": MEMBERS,
  "POST /v1/orgs/{}/members": MEMBERS,
  "PATCH /v1/orgs/{}/members/{}": MEMBERS,
  "DELETE /v1/orgs/{}/members/{}": MEMBERS,
  "POST /v1/sessions/{}/tokens": "ours: what a browser gets instead of an organization's token",
};

export async function steps(step: Step, app: TestApp): Promise<void> {
  const user = await makeUser(app.db);
  const headers = bearer((await makeToken(app.db, user.id)).token);
  for (const path of ["/v1/auth/personal-access-tokens", "/v1/auth/api-keys"]) {
    const made = await step("POST", path, [], 201, { name: "ci", expires_in_days: 1 }, "", headers);
    await step("GET", path, [], 200, undefined, "?all=true", headers);
    await step("DELETE", `${path}/{}`, [made.id], 204, undefined, "", headers);
  }

  const password = "correct horse battery";
  const account = { email: "ada@example.com", name: "Ada", password };
  await step("GET", "/v1/auth/config", [], 200);
  await step("POST", "/v1/auth/register", [], 201, account);
  const signedIn = await step("POST", "/v1/auth/login", [], 200, account);
  const renewed = await step("POST", "/v1/auth/refresh", [], 200, { refresh_token: signedIn.refresh_token });
  const change = { current_password: password, new_password: "another password" };
  const changed = await step("POST", "/v1/auth/password", [], 200, change, "", bearer(renewed.access_token));
  const ada = bearer(changed.access_token);
  await step("GET", "/v1/auth/me", [], 200, undefined, "", ada);

  const organization = await step("POST", "/v1/orgs", [], 201, { name: "Second" }, "", ada);
  await step("GET", "/v1/orgs", [], 200, undefined, "", ada);
  await step("GET", "/v1/orgs/{}", [organization.id], 200, undefined, "", ada);
  const changes = { default_harness_name: "generic", default_provider_per_service: {} };
  await step("PATCH", "/v1/orgs/{}", [organization.id], 200, changes, "", ada);
  await step("POST", "/v1/orgs/{}/onboarding/complete", [organization.id], 200, undefined, "", ada);
  await step("GET", "/v1/resolve-org", [], 200, undefined, `?id=${organization.id}`, ada);
  await step("POST", "/v1/users/me/switch-org", [], 200, { org_id: organization.id }, "", ada);

  const members = "/v1/orgs/{}/members";
  const grace = await makeUser(app.db);
  await step("POST", members, [organization.id], 201, { email: grace.email, role: "viewer" }, "", ada);
  await step("GET", members, [organization.id], 200, undefined, "", ada);
  await step("PATCH", `${members}/{}`, [organization.id, grace.id], 200, { role: "admin" }, "", ada);
  await step("DELETE", `${members}/{}`, [organization.id, grace.id], 204, undefined, "", ada);

  const session = (await app.call("POST", "/sessions", {}, ada)).body.id;
  await step("POST", "/v1/sessions/{}/tokens", [session], 201, { read: true, write: true }, "", ada);
  await step("GET", "/v1/users", [], 200, undefined, "?search=ada", ada);
  await step("PATCH", "/v1/users/me", [], 200, { name: "Ada L." }, "", ada);
  await app.call("POST", "/auth/personal-access-tokens", { name: "x", expires_in_days: 1 }, ada);
  await step("GET", "/v1/users/me/export", [], 200, undefined, "", ada);
  await step("DELETE", "/v1/users/me", [], 200, undefined, "", ada);
  await step("POST", "/v1/auth/logout", [], 200, { refresh_token: renewed.refresh_token });
}
