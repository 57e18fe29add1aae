/** Providers and models on the wire. */
import type { Step } from "../../support/contract.ts";

export const ours: Record<string, string> = {};

export async function steps(step: Step): Promise<void> {
  const provider = await step("POST", "/v1/providers", [], 201, {
    name: "Mine",
    provider_type: "openai_completions",
    base_url: "http://localhost:11434/v1/",
    api_key: "sk-mine",
    trace: { enabled: true, session_url_template: "https://trace.example.com/{id}" },
    limits: { max_concurrent_requests: 8, requests_per_minute: 600 },
  });
  await step("GET", "/v1/providers", [], 200);
  await step("GET", "/v1/providers/config", [], 200);
  await step("GET", "/v1/providers/{}", [provider.id], 200);
  await step("PATCH", "/v1/providers/{}", [provider.id], 200, { status: "disabled", api_key: "" });
  const added = await step("POST", "/v1/providers/{}/models", [provider.id], 201, {
    model_id: "claude-sonnet-5-5",
    display_name: "Through a proxy",
    capabilities: ["chat"],
  });
  await step("GET", "/v1/providers/{}/models", [provider.id], 200);
  await step(
    "GET",
    "/v1/models",
    [],
    200,
    undefined,
    "?source=manual&include_stale=true&favorites_only=false",
  );
  await step("GET", "/v1/models/config", [], 200);
  const simulated = (await step("GET", "/v1/providers", [], 200)).data[0];
  await step("POST", "/v1/providers/{}/sync-models", [simulated.id], 200);
  await step("GET", "/v1/models/{}", [added.id], 200);
  await step("PATCH", "/v1/models/{}", [added.id], 200, { is_favorite: true });
  await step("DELETE", "/v1/models/{}", [added.id], 204);
  await step("DELETE", "/v1/providers/{}", [provider.id], 204);
}
