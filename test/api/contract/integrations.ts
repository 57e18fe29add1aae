/** Storage of a session, connections, MCP servers and skills on the wire. */
import type { TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";

export const ours: Record<string, string> = {};

export async function steps(step: Step, app: TestApp): Promise<void> {
  const session = (await app.post("/sessions", {})).body;
  await storage(step, app, session.id);
}

async function storage(step: Step, app: TestApp, session: string): Promise<void> {
  await app.db.sql`
    insert into session_values (session_id, key, organization_id, value)
    select id, 'k', organization_id, 'v' from sessions where id = ${session}`;
  await step("GET", "/v1/sessions/{}/storage/keys", [session], 200);
  await step("PUT", "/v1/sessions/{}/storage/secrets", [session], 200, { secrets: { TOKEN: "x" } });
  await step("GET", "/v1/sessions/{}/storage/secrets", [session], 200);
}
