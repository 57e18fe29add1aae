/**
 * SKILL.md as the Agent Skills specification has it: YAML between two lines `---`, then instructions in Markdown.
 * Errors are what makes a document no skill; warnings are what its author may want to know.
 */
import { parseDocument } from "yaml";
import { SLUG } from "./common.ts";
import { limits } from "./limits.ts";

export interface SkillFields {
  name: string;
  description: string;
  version: string;
  license: string | null;
  compatibility: string | null;
  allowed_tools: string | null;
  metadata: Record<string, unknown>;
  user_invocable: boolean;
  disable_model_invocation: boolean;
}

export interface ReadSkill {
  /** null when there are errors. */
  fields: SkillFields | null;
  /** Name and description as far as they could be read, for whoever mends the document. */
  name: string | null;
  description: string | null;
  errors: string[];
  warnings: string[];
}

const DESCRIPTION_CHARS_MAX = 1_024;
const COMPATIBILITY_CHARS_MAX = 500;
const TEXT_CHARS_MAX = 1_000;
/** Longer ones fill the model's window each time that the skill is read. */
const LINES_ADVISED_MAX = 500;
const KNOWN = new Set([
  "name",
  "description",
  "version",
  "license",
  "compatibility",
  "allowed-tools",
  "metadata",
  "user-invocable",
  "disable-model-invocation",
]);

export function readSkill(text: string): ReadSkill {
  const errors: string[] = [];
  const warnings: string[] = [];
  const parts = split(text);
  if (typeof parts === "string")
    return { fields: null, name: null, description: null, errors: [parts], warnings };
  const front = readFront(parts.front, errors);
  const texts = (key: string, charsMax: number): string | null => {
    const value = front[key];
    if (value === undefined || value === null) return null;
    const shown =
      Array.isArray(value) && value.every((item) => typeof item === "string") ? value.join(" ") : value;
    if (typeof shown === "string" || typeof shown === "number") {
      const trimmed = String(shown).trim();
      if (trimmed.length > charsMax) errors.push(`${key}: at most ${charsMax} characters`);
      return trimmed === "" ? null : trimmed;
    }
    errors.push(`${key}: must be text`);
    return null;
  };
  const flag = (key: string, otherwise: boolean): boolean => {
    const value = front[key] ?? otherwise;
    if (typeof value !== "boolean") errors.push(`${key}: must be true or false`);
    return value === true;
  };

  const name = texts("name", limits.nameCharsMax);
  const description = texts("description", DESCRIPTION_CHARS_MAX);
  if (name === null) errors.push("name: missing");
  else if (!SLUG.test(name))
    errors.push("name: lowercase letters, digits and single hyphens, such as pdf-forms");
  if (description === null) errors.push("description: missing; say what the skill does and when to use it");
  const metadata = front.metadata ?? {};
  if (typeof metadata !== "object" || Array.isArray(metadata)) errors.push("metadata: must be a mapping");
  const ownVersion = (metadata as Record<string, unknown>).version;
  const fields = {
    version: texts("version", limits.nameCharsMax) ?? (typeof ownVersion === "string" ? ownVersion : "1.0.0"),
    license: texts("license", TEXT_CHARS_MAX),
    compatibility: texts("compatibility", COMPATIBILITY_CHARS_MAX),
    allowed_tools: texts("allowed-tools", TEXT_CHARS_MAX),
    metadata: metadata as Record<string, unknown>,
    user_invocable: flag("user-invocable", true),
    disable_model_invocation: flag("disable-model-invocation", false),
  };
  for (const key of Object.keys(front))
    if (!KNOWN.has(key)) warnings.push(`${key}: not a known field; it is kept and ignored`);
  if (parts.body.trim() === "") warnings.push("there are no instructions below the front matter");
  const lines = parts.body.split("\n").length;
  if (lines > LINES_ADVISED_MAX) {
    warnings.push(`${lines} lines; more than ${LINES_ADVISED_MAX} are better moved into files beside it`);
  }
  const isWhole = errors.length === 0 && name !== null && description !== null;
  return { fields: isWhole ? { name, description, ...fields } : null, name, description, errors, warnings };
}

/** The instructions alone. */
export function skillBody(text: string): string {
  const parts = split(text);
  return typeof parts === "string" ? text : parts.body.trim();
}

function split(text: string): { front: string; body: string } | string {
  if (new TextEncoder().encode(text).length > limits.skillMdBytesMax) {
    return `the document has more than ${limits.skillMdBytesMax} bytes`;
  }
  const match = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n([\s\S]*))?$/.exec(text);
  if (!match) return "the document must begin with a line --- and YAML, ended by another line ---";
  return { front: match[1] ?? "", body: match[2] ?? "" };
}

function readFront(text: string, errors: string[]): Record<string, unknown> {
  try {
    const document = parseDocument(text, { schema: "core", uniqueKeys: true });
    const [problem] = document.errors;
    if (problem) errors.push(`front matter: ${problem.message.split("\n")[0]}`);
    // Aliases would let a short document stand for a huge one.
    const value: unknown = problem ? {} : document.toJS({ maxAliasCount: 0 });
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
    errors.push("front matter: must be a mapping of names to values");
  } catch (error) {
    errors.push(`front matter: ${error instanceof Error ? error.message : "cannot be read"}`);
  }
  return {};
}
