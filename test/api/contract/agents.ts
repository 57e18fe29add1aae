/** Agents on the wire. */
import { newId } from "../../../src/base/id.ts";
import type { TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";

export const ours: Record<string, string> = {
  "POST /v1/agents 200": "an upsert that replaces; the contract's text says so, its OpenAPI lists 201 only",
  "POST /v1/agents/{}/delete": "named in the contract's text as what ends a resource for good",
};

export async function steps(step: Step, app: TestApp): Promise<void> {
  const models = await step("GET", "/v1/models", [], 200);
  const model = models.data[0].id;
  const full = {
    name: "full-agent",
    display_name: "Full",
    description: "Has every field.",
    system_prompt: "You are complete.",
    default_model_id: model,
    capabilities: ["current_time", { ref: "session_file_system" }, { ref: "web_fetch", config: {} }],
    tools: [
      {
        type: "client_side",
        name: "ask",
        description: "Asks.",
        parameters: { type: "object" },
        hints: { readonly: true },
      },
      { type: "builtin", name: "dropped", description: "Not the client's to define.", parameters: {} },
    ],
    initial_files: [
      { path: "/a.txt", content: "a" },
      { path: "b.bin", content: "AAEC", encoding: "base64", is_readonly: true },
    ],
    mcpServers: { docs: { type: "http", url: "https://mcp.example.com", headers: { a: "b" } } },
    network_access: { allowed: ["*.example.com"], blocked: ["10.0.0.1"] },
    parallel_tool_calls: false,
    max_iterations: 12,
    tags: ["a", "b"],
  };
  const agent = await step("POST", "/v1/agents", [], 201, full);
  await step("POST", "/v1/agents", [], 200, { ...full, system_prompt: "Again." });
  await step("POST", "/v1/agents", [], 201, { name: "bare-agent", system_prompt: "" });
  await step("GET", "/v1/agents", [], 200, undefined, "?limit=1&offset=1");
  await step("GET", "/v1/agents", [], 200, undefined, "?search=full&include_archived=true");
  await step("GET", "/v1/agents/check-name", [], 200, undefined, "?name=full-agent");
  await step("GET", "/v1/agents/config", [], 200);
  await step("GET", "/v1/agents/{}", [agent.id], 200);
  await step("GET", "/v1/agents/{}", ["bare-agent"], 200);
  await step("PUT", "/v1/agents/{}", [newId("agent")], 201, { name: "put-agent", system_prompt: "x" });
  await step("PUT", "/v1/agents/{}", ["put-agent"], 200, { name: "put-agent", system_prompt: "y" });
  await step("PATCH", "/v1/agents/{}", [agent.id], 200, { description: null, tags: ["c"] });
  await step("POST", "/v1/agents/{}/copy", [agent.id], 201);
  await step("DELETE", "/v1/agents/{}", ["bare-agent"], 204);
  await step("GET", "/v1/agents/{}", ["bare-agent"], 200);

  await step("POST", "/v1/agents/{}/delete", ["bare-agent"], 200);
  await step("GET", "/v1/agents/{}/stats", [agent.id], 200);
  await step("GET", "/v1/agents/{}", [agent.id], 200);
  const file = { "content-type": "text/markdown" };
  await step("GET", "/v1/agents/{}/export", [agent.id], 200);
  await step("POST", "/v1/agents/import", [], 201, "---\nname: from-a-file\n---\nHi.", "", file);
  await step("POST", "/v1/agents/import", [], 200, "---\nname: from-a-file\n---\nHi.", "", file);

  const first = await step("POST", "/v1/agents/{}/versions", [agent.id], 200, { change_kind: "minor" });
  await step("PATCH", "/v1/agents/{}", [agent.id], 200, { system_prompt: "Changed." });
  const second = await step("POST", "/v1/agents/{}/versions", [agent.id], 200, { summary: "Better." });
  await step("POST", "/v1/agents/{}/versions/default", [agent.id], 200, { version_id: second.id });
  await step("GET", "/v1/agents/{}/versions/{}/diff/{}", [agent.id, first.id, second.id], 200);
  await step("POST", "/v1/agents/{}/versions/{}/rollback", [agent.id, first.id], 200, { save_version: true });
  await step("POST", "/v1/agents/{}/versions/{}/fork", [agent.id, first.id], 200, { name: "forked-agent" });
  await step("GET", "/v1/agents/{}/versions", [agent.id], 200);
  await step("POST", "/v1/sessions", [], 201, { agent_id: agent.id });

  const draft = {
    system_prompt: "{{who}}",
    capabilities: ["web_fetch"],
    tools: [{ type: "client_side", name: "x" }],
  };
  await step("POST", "/v1/agents/preview", [], 200, draft);
  await step("POST", "/v1/agents/analyze", [], 200, draft);

  const check = await step("POST", "/v1/agents/{}/health-checks", [agent.id], 200);
  await app.db.sql`update agents set default_model_id = ${newId("model")} where name = 'put-agent'`;
  await step("POST", "/v1/agents/{}/health-checks", ["put-agent"], 200);
  await step("GET", "/v1/agents/{}/health-checks", ["put-agent"], 200);
  await step("GET", "/v1/agents/{}/health-checks/latest", ["put-agent"], 200);
  await step("GET", "/v1/agents/{}/health-checks/{}", [agent.id, check.id], 200);
}
