/** Who may call, on the wire. */
import type { TestApp } from "../../support/app.ts";
import { bearer, makeToken, makeUser } from "../../support/callers.ts";
import type { Step } from "../../support/contract.ts";

/** Without authentication there are no tokens to make. */
export const options = { access: {} };

const AUTH = "named in the contract's text, not in its OpenAPI";

export const ours: Record<string, string> = {
  "GET /v1/auth/personal-access-tokens": AUTH,
  "POST /v1/auth/personal-access-tokens": AUTH,
  "DELETE /v1/auth/personal-access-tokens/{}": AUTH,
  "GET /v1/auth/api-keys": AUTH,
  "POST /v1/auth/api-keys": AUTH,
  "DELETE /v1/auth/api-keys/{}": AUTH,
};

export async function steps(step: Step, app: TestApp): Promise<void> {
  const user = await makeUser(app.db);
  const headers = bearer((await makeToken(app.db, user.id)).token);
  for (const path of ["/v1/auth/personal-access-tokens", "/v1/auth/api-keys"]) {
    const made = await step("POST", path, [], 201, { name: "ci", expires_in_days: 1 }, "", headers);
    await step("GET", path, [], 200, undefined, "?all=true", headers);
    await step("DELETE", `${path}/{}`, [made.id], 204, undefined, "", headers);
  }
}
