/**
 * Agents as files: what an export gives, what an import and `everruns agents apply` take.
 *
 * The usual form is Markdown, with the fields as YAML between two lines of `---` and the prompt as the text below,
 * letter by letter: nothing is trimmed, no line is added. JSON and YAML carry the prompt as a field. Any other text
 * is a prompt alone.
 */
import { isAlias, isMap, parseDocument, stringify, visit } from "yaml";
import { UserError } from "../base/errors.ts";

export const AGENT_FILE_FORMATS = ["markdown", "yaml", "json"] as const;
export type AgentFileFormat = (typeof AGENT_FILE_FORMATS)[number];

/** Fields of an agent, in the spelling of `CreateAgentRequest`; nothing is checked yet. */
export type AgentFileFields = Record<string, unknown>;

const FENCE = /^---[ \t]*\r?\n/;
/** The line that ends the fields; what follows its newline is the prompt. */
const END = /^---[ \t]*(?:\r?\n|$)/m;

/**
 * PURE: reads a file of any form.
 *
 * @param nameWithout  the name of an agent whose file has none
 * @param isPromptAlone  whether text without fields is a prompt; not when its sender said that it is JSON or YAML
 * @throws UserError invalid_request: fields that are announced by `---`, or by the sender, which cannot be read
 */
export function parseAgentFile(text: string, nameWithout: string, isPromptAlone = true): AgentFileFields {
  const source = text.replace(/^\uFEFF/, "");
  const fields = FENCE.test(source) ? readMarkdown(source) : readObject(source);
  if (fields === null && !isPromptAlone)
    throw new UserError("invalid_request", "this is no JSON or YAML with the fields of an agent");
  if (fields === null) return { name: nameWithout, system_prompt: source };
  return { ...fields, name: fields.name ?? nameWithout, system_prompt: fields.system_prompt ?? "" };
}

/** `agent-20260131-235959`: what an agent is called that came without a name. */
export function nameFromTime(now: Date): string {
  const [day = "", time = ""] = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, "").split("T");
  return `agent-${day}-${time}`;
}

/**
 * PURE: writes a file. Fields that are empty are left out.
 *
 * @param fields  in the order in which they should stand; `system_prompt` becomes the text of a Markdown file
 */
export function formatAgentFile(fields: AgentFileFields, format: AgentFileFormat): string {
  const kept = Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
  const { system_prompt: prompt = "", ...others } = kept;
  if (format === "json") return `${JSON.stringify({ ...others, system_prompt: prompt }, null, 2)}\n`;
  if (format === "yaml") return stringify({ ...others, system_prompt: prompt }, { lineWidth: 0 });
  const lines = Object.entries(others).flatMap(([name, value]) => linesOf(name, value));
  return `---\n${lines.map((line) => `${line}\n`).join("")}---\n${prompt}`;
}

function readMarkdown(source: string): AgentFileFields {
  const rest = source.replace(FENCE, "");
  const end = END.exec(rest);
  if (!end)
    throw new UserError(
      "invalid_request",
      "the fields that begin with --- end nowhere: a line --- is missing",
    );
  const fields = readYaml(rest.slice(0, end.index));
  if ("problem" in fields)
    throw new UserError("invalid_request", `the fields between the --- lines: ${fields.problem}`);
  if (fields.value !== null && !isObject(fields.value)) {
    throw new UserError("invalid_request", "between the --- lines stand fields, like name: my-agent");
  }
  const prompt = rest.slice(end.index + end[0].length);
  return {
    ...fields.value,
    ...(prompt === "" && fields.value?.system_prompt !== undefined ? {} : { system_prompt: prompt }),
  };
}

/** null when the text is no object with fields of an agent: then it is a prompt. */
function readObject(source: string): AgentFileFields | null {
  if (/^\s*\{/.test(source)) {
    try {
      const value: unknown = JSON.parse(source);
      if (isObject(value)) return value;
    } catch {
      // YAML in braces, or a prompt that begins with one.
    }
  }
  const read = readYaml(source);
  if ("problem" in read || !isObject(read.value)) return null;
  return "name" in read.value || "system_prompt" in read.value ? read.value : null;
}

/** More than any agent needs; the time to read YAML grows with them, and with nothing else so fast. */
const YAML_VALUES_MAX = 100_000;

/**
 * Aliases are refused: a few lines of them can stand for gigabytes. The package's own check for keys that occur twice
 * compares each with each, which for a large file takes minutes; here the agent's own fields are checked.
 */
function readYaml(text: string): { value: AgentFileFields | null } | { problem: string } {
  if ((text.match(/[,{[]|:\s|^\s*-\s/gm)?.length ?? 0) > YAML_VALUES_MAX)
    return { problem: `more than ${YAML_VALUES_MAX} values` };
  try {
    const options = { prettyErrors: true, schema: "core", stringKeys: true, uniqueKeys: false } as const;
    const document = parseDocument(text, options);
    const [error] = document.errors;
    if (error) return { problem: error.message.split("\n")[0]?.replace(/:$/, "") ?? "it is not YAML" };
    let hasAlias = false;
    visit(document, (_key, node) => {
      hasAlias ||= isAlias(node);
      return hasAlias ? visit.BREAK : undefined;
    });
    if (hasAlias) return { problem: "YAML aliases (*name) are not taken" };
    const names = isMap(document.contents) ? document.contents.items.map(({ key }) => String(key)) : [];
    const twice = names.find((name, place) => names.indexOf(name) !== place);
    if (twice !== undefined) return { problem: `the field ${twice} is there twice` };
    return { value: document.toJS({ maxAliasCount: 0 }) as AgentFileFields | null };
  } catch (error) {
    // Values within values, thousands deep.
    if (error instanceof RangeError) return { problem: "values are nested too deep" };
    throw error;
  }
}

/** One field as the lines of its YAML: strings in double quotes, lists of names one below the other. */
function linesOf(name: string, value: unknown): string[] {
  if (typeof value === "string") return [`${name}: ${quoted(value)}`];
  if (name === "capabilities" && Array.isArray(value)) return [`${name}:`, ...value.flatMap(capabilityLines)];
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    return [`${name}:`, ...value.map((item) => `  - ${quoted(item)}`)];
  }
  return stringify({ [name]: value }, { lineWidth: 0 })
    .replace(/\n$/, "")
    .split("\n");
}

/** A bare name when there is nothing to configure. */
function capabilityLines(value: unknown): string[] {
  const { ref, config } = (typeof value === "string" ? { ref: value } : value) as {
    ref: string;
    config?: unknown;
  };
  if (config === undefined || config === null)
    return [`  - ${/^[a-z][a-z0-9_]*$/.test(ref) ? ref : quoted(ref)}`];
  return stringify([{ ref, config }], { lineWidth: 0 })
    .replace(/\n$/, "")
    .split("\n")
    .map((line) => `  ${line}`);
}

/** As JSON, which YAML reads the same; the line separators that YAML 1.1 readers fold are written out. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function isObject(value: unknown): value is AgentFileFields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
