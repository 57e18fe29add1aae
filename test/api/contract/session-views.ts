/** What is seen of a session beside itself: who takes part, what it holds, its log in numbers. */
import type { TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";

export const ours: Record<string, string> = {};

export async function steps(step: Step, app: TestApp): Promise<void> {
  const agents = [];
  for (const name of ["views-host", "views-guest"]) {
    agents.push((await app.post("/agents", { name, system_prompt: "" })).body.id);
  }
  const initial_files = [{ path: "/a.txt", content: "a" }];
  const { id } = (await app.post("/sessions", { agent_id: agents[0], initial_files })).body;
  const joined = await step("POST", "/v1/sessions/{}/participants", [id], 201, {
    kind: "agent",
    agent_id: agents[1],
    role: "member",
  });
  await step("GET", "/v1/sessions/{}/participants", [id], 200);
  await step("DELETE", "/v1/sessions/{}/participants/{}", [id, joined.id], 200);
  await step("GET", "/v1/sessions/{}/participants", [id], 200);
  await step("GET", "/v1/sessions/{}/resources", [id], 200);
  await step("GET", "/v1/sessions/{}/events/summary", [id], 200);
  await step("POST", "/v1/sessions/chat", [], 200, { locale: "uk-UA" });
  await step("GET", "/v1/sessions/{}/context-report", [id], 200);
  await app.post(`/sessions/${id}/messages`, { message: { content: [{ type: "text", text: "Hi" }] } });
  await step("GET", "/v1/sessions/{}/export", [id], 200);
}
