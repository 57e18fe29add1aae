/** Health and the engine's operation on the wire. */
import type { TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";

export const ours: Record<string, string> = {
  "GET /health": "named in the contract's text, not in its OpenAPI",
  "GET /ready": "ours: for probes",
};

export async function steps(step: Step, app: TestApp): Promise<void> {
  await step("GET", "/health", [], 200);
  await step("GET", "/ready", [], 200);

  const provider = (await app.get("/providers")).body.data[0];
  const breaker = `${provider.id}:claude-sonnet-5-5`;
  await step("POST", "/v1/durable/circuit-breakers/{}/open", [breaker], 200);
  await step("GET", "/v1/durable/circuit-breakers", [], 200);
  await step("GET", "/v1/durable/circuit-breakers/{}", [breaker], 200);
  await step("POST", "/v1/durable/circuit-breakers/{}/close", [breaker], 200);
  await step("DELETE", "/v1/durable/circuit-breakers/{}", [breaker], 200);
  await app.db.sql`insert into workers (id, hostname, pid, version, concurrency, lock_key)
                   values (${`worker-${crypto.randomUUID()}`}, 'here', 1, '0', 4, 1)`;
  await step("GET", "/v1/durable/workers", [], 200);
}
