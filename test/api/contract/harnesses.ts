/** Harnesses and capabilities on the wire. */
import type { Step } from "../../support/contract.ts";

export const ours: Record<string, string> = {
  "DELETE /v1/capabilities/declarative/{} 200":
    "the capability as it is then: the clients parse every answer",
  "POST /v1/capabilities/declarative/{}/delete 200":
    "the capability as it was: the clients parse every answer",
  "POST /v1/harnesses/{}/delete": "named in the contract's text as what ends a resource for good",
};

export async function steps(step: Step): Promise<void> {
  const harness = await step("POST", "/v1/harnesses", [], 201, {
    name: "contract-harness",
    display_name: "Contract",
    description: "As the contract has it",
    system_prompt: "Be exact.",
    parent_harness_id: "generic",
    capabilities: ["current_time", { ref: "web_fetch", config: {} }],
    initial_files: [{ path: "/a.txt", content: "a", is_readonly: true }],
    mcpServers: { docs: { type: "http", url: "https://mcp.example.com" } },
    network_access: { allowed: ["*.example.com"] },
    embedder_metadata: { tenant: "t1" },
    tags: ["x"],
  });
  await step("GET", "/v1/harnesses", [], 200, undefined, "?search=contract&include_archived=true");
  await step("GET", "/v1/harnesses/check-name", [], 200, undefined, "?name=free-name");
  await step("GET", "/v1/harness-examples", [], 200);
  await step("POST", "/v1/harnesses/import", [], 201, undefined, "?from-example=table-analyst");
  await step("POST", "/v1/harnesses/preview", [], 200, {
    parent_harness_id: harness.id,
    system_prompt: "And brief.",
    capabilities: ["session_file_system"],
  });
  await step("PATCH", "/v1/harnesses/{}", [harness.id], 200, { description: null, tags: ["y"] });
  await step("POST", "/v1/harnesses/{}/copy", [harness.id], 201);
  await step("DELETE", "/v1/harnesses/{}", [harness.id], 204);
  await step("POST", "/v1/harnesses/{}/delete", [harness.id], 200);
  await step("GET", "/v1/harnesses/config", [], 200);
  await step("GET", "/v1/harnesses/{}", ["default"], 200);
  await step("GET", "/v1/harnesses/{}/stats", ["generic"], 200);
  const { examples } = await step("GET", "/v1/capabilities/guardrails/examples", [], 200);
  await step("POST", "/v1/capabilities/guardrails/dry-run", [], 200, {
    config: examples[0].config,
    stage: "tool_output",
    text: "key: AKIAABCDEFGHIJKLMNOP",
  });
  const written = await step("POST", "/v1/capabilities", [], 201, {
    definition: {
      name: "house-rules",
      display_name: "House rules",
      description: "How we write",
      system_prompt: "Write plainly.",
      files: [{ path: "/rules.md", content: "Plainly." }],
      mcp_servers: { docs: { type: "http", url: "https://mcp.example.com" } },
      skills: [{ name: "write", description: "How to write", instructions: "Plainly." }],
      dependencies: ["current_time"],
      features: ["file_system"],
      risk_level: "low",
      note: "kept",
    },
  });
  await step(
    "GET",
    "/v1/capabilities/declarative",
    [],
    200,
    undefined,
    "?search=rules&include_archived=true",
  );
  await step("GET", "/v1/capabilities/declarative/config", [], 200);
  await step("GET", "/v1/capabilities/declarative/{}", [written.id], 200);
  await step("GET", "/v1/capabilities/{}", ["declarative:house-rules"], 200);
  await step("PATCH", "/v1/capabilities/declarative/{}", [written.id], 200, { status: "active" });
  await step("DELETE", "/v1/capabilities/declarative/{}", [written.id], 200);
  await step("POST", "/v1/capabilities/declarative/{}/delete", [written.id], 200);
  await step("GET", "/v1/capabilities", [], 200, undefined, "?search=e&limit=2");
  await step("GET", "/v1/capabilities/{}", ["session_file_system"], 200);
}
