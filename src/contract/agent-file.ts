/**
 * Agents as files: what an export gives, what an import and `everruns agents apply` take.
 *
 * The usual form is Markdown, with the fields as YAML between two lines of `---` and the prompt as the text below,
 * letter by letter: nothing is trimmed, no line is added. JSON and YAML carry the prompt as a field. Any other text
 * is a prompt alone.
 */
import { parseDocument, stringify } from "yaml";
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
  if (format === "yaml") {
    return Object.entries({ ...others, system_prompt: prompt })
      .map(([name, value]) => inYaml({ [name]: value }))
      .join("");
  }
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

/** More than any agent needs. */
const YAML_VALUES_MAX = 100_000;
const YAML_DEPTH_MAX = 64;
const FIELD_NAME = /^([A-Za-z_]+)[ \t]*:(?=\s|$)/gm;
/** Fields that hold more than a text, a number or a yes; `inYaml` may have made JSON texts of them. */
const STRUCTURED = ["capabilities", "tools", "initial_files", "mcpServers", "network_access"];

/**
 * With Bun's reader, and not the package `yaml` that writes: for three megabytes of keys, anchors or comments the
 * package needs minutes, Bun's never a second. Aliases are refused: a few lines of them can stand for gigabytes.
 */
function readYaml(text: string): { value: AgentFileFields | null } | { problem: string } {
  const names = [...text.matchAll(FIELD_NAME)].map(([, name]) => name);
  let value: unknown;
  try {
    value = Bun.YAML.parse(text);
  } catch (error) {
    if (error instanceof RangeError) return { problem: "values are nested too deep" };
    const place = text.length <= LOCATED_CHARS_MAX ? placeOfFault(text) : null;
    return { problem: place ?? (error instanceof Error ? error.message : "it is not YAML") };
  }
  const problem = problemOf(value);
  if (problem !== null) return { problem };
  if (!isObject(value)) return { value: value as null };
  if (new Set(names).size < names.length) {
    const twice = names.find((name, place) => names.indexOf(name) !== place);
    return { problem: `the field ${twice} is there twice` };
  }
  return { value: { ...value, ...jsonFields(value) } };
}

/** The package says where a fault is, which Bun's reader does not; it takes long for long texts. */
const LOCATED_CHARS_MAX = 8 * 1024;

function placeOfFault(text: string): string | null {
  const [error] = parseDocument(text, { prettyErrors: true, uniqueKeys: false }).errors;
  return error?.message.split("\n")[0]?.replace(/:$/, "") ?? null;
}

/** What must be known before anybody walks through it. */
function problemOf(root: unknown): string | null {
  const seen = new Set<object>();
  let problem: string | null = null;
  let left = YAML_VALUES_MAX;
  const visit = (value: unknown, depth: number): void => {
    left -= 1;
    if (left < 0) problem = `more than ${YAML_VALUES_MAX} values`;
    if (problem !== null || typeof value !== "object" || value === null) return;
    if (seen.has(value)) problem = "YAML aliases (*name) are not taken";
    else if (depth > YAML_DEPTH_MAX) problem = "values are nested too deep";
    seen.add(value);
    for (const item of Object.values(value)) {
      if (problem !== null) return;
      visit(item, depth + 1);
    }
  };
  visit(root, 0);
  return problem;
}

function jsonFields(fields: AgentFileFields): AgentFileFields {
  const read = STRUCTURED.flatMap((name) => {
    const text = fields[name];
    if (typeof text !== "string") return [];
    try {
      return [[name, JSON.parse(text)] as const];
    } catch {
      // The check of the fields says what is wrong with it.
      return [];
    }
  });
  return Object.fromEntries(read);
}

/**
 * Fields as YAML that is read as the same: texts in lines of their own where that works, else in quotes; and, since
 * readers take a key `<<` for "merge the other map in", as JSON in a text when that occurs.
 */
function inYaml(fields: AgentFileFields): string {
  const lines = stringify(fields, { lineWidth: 0 });
  if (isReadAs(lines, fields)) return lines;
  const quotes = stringify(fields, {
    lineWidth: 0,
    blockQuote: false,
    defaultStringType: "QUOTE_DOUBLE",
    defaultKeyType: "QUOTE_DOUBLE",
    doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER,
  });
  if (isReadAs(quotes, fields)) return quotes;
  return Object.entries(fields)
    .map(
      ([name, value]) =>
        `${name}: ${quoted(typeof value === "object" ? JSON.stringify(value) : String(value))}\n`,
    )
    .join("");
}

function isReadAs(text: string, fields: AgentFileFields): boolean {
  try {
    return JSON.stringify(Bun.YAML.parse(text)) === JSON.stringify(fields);
  } catch {
    return false;
  }
}

/** One field as the lines of its YAML: strings in double quotes, lists of names one below the other. */
function linesOf(name: string, value: unknown): string[] {
  if (typeof value === "string") return [`${name}: ${quoted(value)}`];
  if (name === "capabilities" && Array.isArray(value)) {
    const lines = [`${name}:`, ...value.flatMap(capabilityLines)];
    const bare = value.map((item) => (item.config == null ? item.ref : item));
    if (isReadAs(lines.join("\n"), { [name]: bare })) return lines;
  }
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    return [`${name}:`, ...value.map((item) => `  - ${quoted(item)}`)];
  }
  return inYaml({ [name]: value })
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
