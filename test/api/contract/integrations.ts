/** Storage of a session, connections, MCP servers and skills on the wire. */
import type { TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";
import { zip } from "../../support/zip.ts";

const CONNECTIONS = "named in the contract's text, not in its OpenAPI";

const FOR_GOOD = "named in the contract's text as what ends a resource for good";

export const ours: Record<string, string> = {
  "POST /v1/mcp-servers/{}/delete": FOR_GOOD,
  "POST /v1/skills/{}/delete": FOR_GOOD,
  "GET /v1/user/connections": CONNECTIONS,
  "GET /v1/user/connections/providers": CONNECTIONS,
  "POST /v1/user/connections/{}": CONNECTIONS,
  "PUT /v1/user/connections/api-key/{}": CONNECTIONS,
  "POST /v1/user/connections/{}/verify": CONNECTIONS,
  "DELETE /v1/user/connections/{}": CONNECTIONS,
};

const SKILL = `---
name: greeting
description: Greets people. Use it when somebody says hello.
license: MIT
compatibility: everywhere
allowed-tools: read_file
metadata: {author: us}
---
Say hello.`;

export async function steps(step: Step, app: TestApp): Promise<void> {
  const session = (await app.post("/sessions", {})).body;
  await storage(step, app, session.id);
  await databases(step, session.id);
  await connections(step);
  await mcpServers(step);
  await skills(step, app);
}

async function storage(step: Step, app: TestApp, session: string): Promise<void> {
  await app.db.sql`
    insert into session_values (session_id, key, organization_id, value)
    select id, 'k', organization_id, 'v' from sessions where id = ${session}`;
  await step("GET", "/v1/sessions/{}/storage/keys", [session], 200);
  await step("PUT", "/v1/sessions/{}/storage/secrets", [session], 200, { secrets: { TOKEN: "x" } });
  await step("GET", "/v1/sessions/{}/storage/secrets", [session], 200);
}

async function databases(step: Step, session: string): Promise<void> {
  await step("POST", "/v1/sessions/{}/databases", [session], 201, { name: "notes" });
  await step("GET", "/v1/sessions/{}/databases", [session], 200);
  await step("GET", "/v1/sessions/{}/databases/{}", [session, "notes"], 200);
  await step("GET", "/v1/sessions/{}/databases/{}/schema", [session, "notes"], 200);
  await step("DELETE", "/v1/sessions/{}/databases/{}", [session, "notes"], 204);
}

async function connections(step: Step): Promise<void> {
  await step("POST", "/v1/user/connections/{}", ["github"], 201, { apiKey: "x", provider_username: "me" });
  await step("PUT", "/v1/user/connections/api-key/{}", ["e2b"], 200, { api_key: "x" });
  await step("GET", "/v1/user/connections", [], 200);
  await step("GET", "/v1/user/connections/providers", [], 200);
  await step("POST", "/v1/user/connections/{}/verify", ["github"], 200);
  await step("DELETE", "/v1/user/connections/{}", ["github"], 204);
}

async function mcpServers(step: Step): Promise<void> {
  const server = await step("POST", "/v1/mcp-servers", [], 201, {
    name: "Tickets",
    url: "https://mcp.example.com/mcp",
    description: "All tickets.",
    api_key: "x",
    headers: { "X-Cloud-Id": "1" },
    transport_type: "http",
  });
  await step("POST", "/v1/mcp-servers", [], 201, { name: "Bare", url: "https://mcp.example.com/mcp" });
  await step("GET", "/v1/mcp-servers", [], 200, undefined, "?search=tickets&include_archived=true");
  await step("GET", "/v1/mcp-servers/config", [], 200);
  await step("GET", "/v1/mcp-servers/{}", [server.id], 200);
  await step("PATCH", "/v1/mcp-servers/{}", [server.id], 200, { description: null, status: "disabled" });
  await step("DELETE", "/v1/mcp-servers/{}", [server.id], 204);
  await step("GET", "/v1/mcp-servers/{}", [server.id], 200);
  await step("POST", "/v1/mcp-servers/{}/delete", [server.id], 200);
}

async function skills(step: Step, app: TestApp): Promise<void> {
  const skill = await step("POST", "/v1/skills", [], 201, { skill_md: SKILL });
  const form = new FormData();
  const document = SKILL.replace("greeting", "packed");
  form.set("file", new File([zip({ "packed/SKILL.md": document, "packed/a.txt": "a" })], "packed.zip"));
  const packed = await step("POST", "/v1/skills/upload", [], 201, form);
  await app.post("/agents", {
    name: "skilled",
    system_prompt: "",
    capabilities: [skill.id.replace("_", ":")],
  });
  await step("GET", "/v1/skills", [], 200, undefined, "?search=greets&include_archived=true");
  await step("GET", "/v1/skills/config", [], 200);
  await step("GET", "/v1/skills/usage", [], 200);
  await step("POST", "/v1/skills/validate", [], 200, { skill_md: SKILL });
  await step("POST", "/v1/skills/validate", [], 200, { skill_md: "---\nname: A B\n---\n" });
  await step("GET", "/v1/skills/{}", [skill.id], 200);
  await step("GET", "/v1/skills/{}/content", [packed.id], 200);
  await step("PATCH", "/v1/skills/{}", [skill.id], 200, { skill_md: `${SKILL} Politely.` });
  await step("DELETE", "/v1/skills/{}", [skill.id], 204);
  await step("GET", "/v1/skills/{}", [skill.id], 200);
  await step("POST", "/v1/skills/{}/delete", [skill.id], 200);
}
