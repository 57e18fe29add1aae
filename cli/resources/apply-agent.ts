/** Agents from files. The server imports them and compares; only a dry run compares here. */
import type { Client } from "../../src/client/client.ts";
import { ClientError } from "../../src/client/errors.ts";
import type { Agent } from "../../src/contract/agent.ts";
import { parseAgentFile } from "../../src/contract/agent-file.ts";
import type { Harness } from "../../src/contract/harness.ts";
import { type Applied, type Applier, FileProblems } from "./apply.ts";
import { changedFields } from "./file-kinds.ts";
import { knownFields, unknownFields } from "./known-fields.ts";

export function agentApplier(client: Client): Applier {
  const apply = async (text: string, { isDry }: { isDry: boolean }): Promise<Applied> => {
    // A prompt alone would be another agent at every try, and a file with a slip in it a prompt.
    const file = parseAgentFile(text, "");
    const name = String(file.name);
    if (name === "") {
      throw new FileProblems([
        "name: is missing; an agent's file is Markdown with fields between --- lines, YAML or JSON",
      ]);
    }
    const problems = unknownFields(file, await fileFields(), "agents");
    if (problems.length > 0) throw new FileProblems(problems);
    const before = await findAgent(client, String(file.id ?? file.name));
    if (isDry) {
      if (before === null) return { name, outcome: "created", fields: [] };
      const fields = await differences(client, before, file);
      return { name, outcome: fields.length === 0 ? "unchanged" : "changed", fields };
    }
    const after = await client.request<Agent>("POST", "/agents/import", {
      body: text,
      contentType: "text/plain",
    });
    const isSame = before !== null && before.id === after.id && before.updated_at === after.updated_at;
    const outcome = isSame ? "unchanged" : before === null || before.id !== after.id ? "created" : "changed";
    return { name: after.name, outcome, fields: [] };
  };
  return { nameOf, apply };
}

function nameOf(text: string): string {
  try {
    return String(parseAgentFile(text, "").name);
  } catch {
    return "";
  }
}

/** Those of the API, and what a file of an older server may call them. */
const fileFields = async () => [...((await knownFields("agents", "create"))?.fields ?? []), "mcp_servers"];

async function findAgent(client: Client, idOrName: string): Promise<Agent | null> {
  try {
    return await client.getAgent(idOrName);
  } catch (error) {
    // A name that is none is told by the import, with its reason.
    if (error instanceof ClientError && (error.status === 404 || error.status === 400)) return null;
    throw error;
  }
}

/** Against what an export says: that is in the words of a file. */
async function differences(client: Client, agent: Agent, file: Record<string, unknown>): Promise<string[]> {
  const exported = await client.request<Record<string, unknown>>("GET", `/agents/${agent.id}/export`, {
    query: { format: "json" },
  });
  const { harness_name: _name, ...known } = exported;
  const { id: _id, mcp_servers: servers, harness_id, harness_name, ...others } = file;
  // An id, a name, or whichever is the default one.
  const harness = String(harness_id ?? harness_name ?? "default");
  const { id } = await client.request<Harness>("GET", `/harnesses/${encodeURIComponent(harness)}`);
  return changedFields(
    { ...known, harness_id: agent.harness_id },
    { ...(servers === undefined ? {} : { mcpServers: servers }), ...others, harness_id: id },
  );
}
