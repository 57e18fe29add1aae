/** Agents as files: export, import, and the examples to begin with. The form itself is contract/agent-file.ts. */
import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { AgentWithUrls, CreateAgentRequest } from "../../contract/agent.ts";
import {
  AGENT_FILE_FORMATS,
  type AgentFileFields,
  type AgentFileFormat,
  formatAgentFile,
  nameFromTime,
  parseAgentFile,
} from "../../contract/agent-file.ts";
import { limits } from "../../contract/limits.ts";
import { OneOf, Type } from "../../contract/schema.ts";
import { type AgentRow, type AgentWritten, applyAgent, findAgent } from "../../db/agents/agents.ts";
import { readHarness } from "../../db/agents/harnesses.ts";
import type { ApiDeps } from "../deps.ts";
import { cleanJson, contentTypeOf } from "../http/body.ts";
import { Raw, RawBody, TextBody } from "../http/media.ts";
import { pathId } from "../http/path-id.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { applyAliases, createValidator } from "../http/validate.ts";
import { veiledFor } from "../http/veil.ts";
import { AGENT_EXAMPLES } from "./agent-examples.ts";
import { agentRef, readFields } from "./agent-input.ts";
import { agentReply, noAgent } from "./agent-wire.ts";

const CONTENT_TYPES: Record<AgentFileFormat, string> = {
  markdown: "text/markdown; charset=utf-8",
  yaml: "application/yaml; charset=utf-8",
  json: "application/json; charset=utf-8",
};
const EXTENSIONS: Record<AgentFileFormat, string> = { markdown: "md", yaml: "yaml", json: "json" };

/** What people send files as; what is in them is told from the text. */
const IMPORT_TYPES = [
  "text/plain",
  "text/markdown",
  "text/yaml",
  "application/yaml",
  "application/x-yaml",
  "application/json",
  "application/octet-stream",
];

const checkAgent = createValidator(CreateAgentRequest, "body");

const IMPORT_PROBLEMS = [
  "forbidden",
  "invalid_id",
  "invalid_name",
  "limit_exceeded",
  "name_taken",
  "not_found",
  "conflict",
] as const;

export function agentFileRoutes(deps: Pick<ApiDeps, "db" | "capabilities" | "caps" | "clock">): Route[] {
  const { db, caps, clock } = deps;
  return [
    defineRoute({
      method: "GET",
      path: "/agents/{agent_id}/export",
      operationId: "export_agent",
      tag: "agents",
      summary: "An agent as a file",
      description:
        "Markdown: the fields as YAML between two lines of `---`, then the prompt, letter by letter. `format=yaml` and " +
        "`format=json` carry the prompt as a field. Empty fields are left out, and so is the id: an import of the file " +
        "finds the agent by its name.",
      query: Type.Object({ format: Type.Optional(OneOf(AGENT_FILE_FORMATS)) }),
      responses: { 200: Raw(CONTENT_TYPES.markdown) },
      otherContentTypes: { 200: [CONTENT_TYPES.yaml, CONTENT_TYPES.json] },
      problems: ["invalid_id", "not_found"],
      async run({ params, query, caller }) {
        const { organizationId } = caller;
        const agent = await findAgent(db, organizationId, agentRef(params.agent_id));
        if (!agent) throw noAgent();
        const format = query.format ?? "markdown";
        const harness = await harnessName(db, organizationId, agent.harness_id);
        const fields = veiledFor(caller, fieldsOf(agent, harness)) as AgentFileFields;
        const text = formatAgentFile(fields, format);
        return reply(200, new RawBody(text, CONTENT_TYPES[format]), {
          "content-disposition": `attachment; filename="${agent.name}.${EXTENSIONS[format]}"`,
        });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents/import",
      operationId: "import_agent",
      tag: "agents",
      summary: "Create an agent from a file, or replace it",
      description:
        "The body is Markdown with fields between `---` lines, YAML, JSON, or a bare prompt (the agent is then named " +
        "`agent-YYYYMMDD-HHMMSS`). With `id` the agent of that id is replaced, without it the one of the name: 200, else " +
        `201. A file that changes nothing leaves \`updated_at\` as it is. \`from-example\` ignores the body: ${AGENT_EXAMPLES.map(({ name }) => name).join(", ")}.`,
      query: Type.Object({ "from-example": Type.Optional(Type.String()) }),
      body: TextBody({ bytesMax: limits.importBytesMax, contentTypes: IMPORT_TYPES }),
      isBodyOptional: true,
      responses: { 200: AgentWithUrls, 201: AgentWithUrls },
      problems: [...IMPORT_PROBLEMS],
      async run({ query, body, caller, request: { headers } }) {
        const example = query["from-example"];
        const madeUp = nameFromTime(clock.now());
        const file =
          example === undefined ? fileOf(body, madeUp, headers.get("content-type")) : exampleOf(example);
        const request = checkAgent(applyAliases(CreateAgentRequest, cleanJson(file))) as CreateAgentRequest;
        const { organizationId } = caller;
        const id = request.id == null ? null : pathId("agent", request.id);
        const fields = await readFields(deps, caller, request);
        await caps.admitAgent(organizationId, { id, name: fields.name });
        const apply = fields.name === madeUp ? applyUnnamed : applyAgent;
        return agentReply(db, await apply(db, { organizationId, id, fields }), organizationId, fields.name);
      },
    }),
  ];
}

function fileOf(body: string | undefined, nameWithout: string, contentType: string | null): AgentFileFields {
  if (body === undefined || body.trim() === "") throw new UserError("invalid_request", "The file is empty.");
  return parseAgentFile(body, nameWithout, !/json|yaml/.test(contentTypeOf(contentType ?? "")));
}

function exampleOf(name: string): AgentFileFields {
  const example = AGENT_EXAMPLES.find((each) => each.name === name);
  if (example) return { ...example };
  throw new UserError(
    "not_found",
    `there is no example ${JSON.stringify(name.slice(0, 80))}; there are ${AGENT_EXAMPLES.map((each) => each.name).join(", ")}`,
  );
}

const UNNAMED_ATTEMPTS = 100;

/** Under the name that was made up, or a numbered one when that is taken: it must not replace anybody's agent. */
async function applyUnnamed(
  db: ApiDeps["db"],
  { id, fields, ...input }: Parameters<typeof applyAgent>[1],
): Promise<AgentWritten> {
  let result: AgentWritten = { outcome: "name_taken" };
  for (let number = 1; number <= UNNAMED_ATTEMPTS && result.outcome === "name_taken"; number += 1) {
    const name = number === 1 ? fields.name : `${fields.name}-${number}`;
    result = await applyAgent(db, { ...input, id: id ?? newId("agent"), fields: { ...fields, name } });
  }
  return result;
}

/** Its name, which other installations know, too; null when that means another one, or none, here. */
async function harnessName(db: ApiDeps["db"], organizationId: string, id: string): Promise<string | null> {
  const name = (await readHarness(db, organizationId, id))?.name;
  const named = name === undefined ? null : await readHarness(db, organizationId, name);
  return named?.id === id ? named.name : null;
}

/** In the order in which a person reads them; the harness by its name, which other installations know, too. */
function fieldsOf(agent: AgentRow, harnessName: string | null): AgentFileFields {
  return {
    name: agent.name,
    display_name: agent.display_name,
    description: agent.description,
    ...(harnessName === null ? { harness_id: agent.harness_id } : { harness_name: harnessName }),
    default_model_id: agent.default_model_id,
    tags: agent.tags,
    capabilities: agent.capabilities,
    tools: agent.tools,
    initial_files: agent.initial_files,
    mcpServers: agent.mcp_servers,
    network_access: agent.network_access,
    parallel_tool_calls: agent.parallel_tool_calls,
    default_delivery: agent.default_delivery,
    max_iterations: agent.max_iterations,
    system_prompt: agent.system_prompt,
  };
}
