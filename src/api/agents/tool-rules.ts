/** PURE: rules that look at an agent's tools. */
import type { Finding } from "../../contract/agent-analysis.ts";
import type { ToolDefinition } from "../../contract/common.ts";
import { type AnalyzedAgent, finding } from "./finding.ts";

const DESCRIPTION_CHARS_FEW = 15;
const TOOLS_MANY = 40;

export function toolFindings(agent: AnalyzedAgent): Finding[] {
  return [...agent.clientTools.flatMap((tool) => clientToolFindings(tool, agent)), ...listFindings(agent)];
}

function clientToolFindings(tool: ToolDefinition, { serverTools }: AnalyzedAgent): Finding[] {
  const { name, description } = tool;
  const at = (field: string) => ({ field: `tools.${name}.${field}` });
  const findings: Finding[] = [];
  if (description.trim().length < DESCRIPTION_CHARS_FEW) {
    findings.push(
      finding(
        ["tool_description_weak", "warning", "effectiveness"],
        `The tool ${name} hardly says what it does: the model chooses by its description.`,
        "Say what it does, when to call it, and what comes back.",
        at("description"),
      ),
    );
  }
  if (serverTools.some((other) => other.name === name)) {
    findings.push(
      finding(
        ["tool_stands_in", "info", "structure"],
        `The tool ${name} takes the place of the server's tool of that name.`,
        "Give it another name, if both should be there.",
        at("name"),
      ),
    );
  }
  return [...findings, ...schemaFindings(tool)];
}

function schemaFindings({ name, parameters }: ToolDefinition): Finding[] {
  const at = { field: `tools.${name}.parameters` };
  const schema = objectOf(parameters);
  if (schema === null || (schema.type !== undefined && schema.type !== "object")) {
    return [
      finding(
        ["tool_schema_invalid", "warning", "structure"],
        `The parameters of ${name} are not the JSON Schema of an object.`,
        'Use {"type": "object", "properties": {…}, "required": […]}.',
        at,
      ),
    ];
  }
  const properties = objectOf(schema.properties) ?? {};
  const required = Array.isArray(schema.required) ? schema.required.map(String) : [];
  const findings: Finding[] = [];
  const absent = required.filter((one) => !Object.hasOwn(properties, one));
  if (absent.length > 0) {
    findings.push(
      finding(
        ["tool_required_unknown", "warning", "structure"],
        `${name} requires ${absent.join(", ")}, and does not say what that is.`,
        "Describe each required parameter under properties.",
        at,
      ),
    );
  }
  const names = Object.keys(properties);
  const untyped = names.filter((one) => !saysWhatItTakes(properties[one]));
  if (untyped.length > 0) {
    findings.push(
      finding(
        ["tool_parameter_untyped", "warning", "effectiveness"],
        `${name}: anything may be given for ${untyped.join(", ")}.`,
        "Give each parameter a type, or the values that it may take.",
        at,
      ),
    );
  }
  const silent = names.filter((one) => !objectOf(properties[one])?.description);
  if (silent.length > 0) {
    findings.push(
      finding(
        ["tool_parameter_undescribed", "suggestion", "effectiveness"],
        `${name}: ${silent.join(", ")} ${silent.length === 1 ? "is" : "are"} not described.`,
        "Say what the parameter means and give an example of a value.",
        at,
      ),
    );
  }
  return findings;
}

function saysWhatItTakes(property: unknown): boolean {
  const schema = objectOf(property);
  return (
    schema !== null &&
    ["type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"].some((word) => Object.hasOwn(schema, word))
  );
}

function objectOf(value: unknown): Record<string, unknown> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

function listFindings({ clientTools, serverTools, unknownCapabilities }: AnalyzedAgent): Finding[] {
  const findings: Finding[] = [];
  const count = new Set([...clientTools, ...serverTools].map(({ name }) => name)).size;
  if (count > TOOLS_MANY) {
    findings.push(
      finding(
        ["tools_many", "warning", "effectiveness"],
        `The model has to choose among ${count} tools: it errs more often, and each call costs more.`,
        "Split the agent, or take a harness with fewer capabilities.",
        { field: "tools" },
      ),
    );
  }
  if (unknownCapabilities.length > 0) {
    findings.push(
      finding(
        ["capability_unknown", "warning", "structure"],
        `This program does not have ${unknownCapabilities.join(", ")}; turns go on without.`,
        "Take it out of the agent, or of its harness.",
        { field: "capabilities" },
      ),
    );
  }
  return findings;
}
