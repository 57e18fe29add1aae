/** Budgets on the wire. */
import type { TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";

export const ours: Record<string, string> = {
  "POST /v1/budgets": "named in the contract's text, not in its OpenAPI",
  "GET /v1/budgets": "named in the contract's text, not in its OpenAPI",
  "GET /v1/budgets/{}": "named in the contract's text, not in its OpenAPI",
  "PATCH /v1/budgets/{}": "named in the contract's text, not in its OpenAPI",
  "DELETE /v1/budgets/{}": "named in the contract's text, not in its OpenAPI",
  "GET /v1/budgets/{}/check": "named in the contract's text, not in its OpenAPI",
  "GET /v1/budgets/{}/ledger": "named in the contract's text, not in its OpenAPI",
  "POST /v1/budgets/{}/top-up": "named in the contract's text, not in its OpenAPI",
  "GET /v1/sessions/{}/budget-check": "named in the contract's text, not in its OpenAPI",
  "GET /v1/sessions/{}/budgets": "named in the contract's text, not in its OpenAPI",
  "POST /v1/sessions/{}/resume": "named in the contract's text, not in its OpenAPI",
};

export async function steps(step: Step, app: TestApp): Promise<void> {
  const session = (await app.post("/sessions", {})).body;
  const budget = await step("POST", "/v1/budgets", [], 201, {
    subject_type: "session",
    subject_id: session.id,
    currency: "usd",
    limit: 2,
    soft_limit: 1,
    period: { type: "rolling", window: "5h" },
  });
  await step("GET", "/v1/budgets", [], 200);
  await step("GET", "/v1/budgets/{}", [budget.id], 200);
  await step("PATCH", "/v1/budgets/{}", [budget.id], 200, { metadata: { a: 1 } });
  await step("POST", "/v1/budgets/{}/top-up", [budget.id], 200, { amount: 1 });
  await step("GET", "/v1/budgets/{}/ledger", [budget.id], 200);
  await step("GET", "/v1/budgets/{}/check", [budget.id], 200);
  await step("GET", "/v1/sessions/{}/budgets", [session.id], 200);
  await step("GET", "/v1/sessions/{}/budget-check", [session.id], 200);
  await step("POST", "/v1/sessions/{}/resume", [session.id], 200);
  await step("DELETE", "/v1/budgets/{}", [budget.id], 204);
}
