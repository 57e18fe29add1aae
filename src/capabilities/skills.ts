/**
 * `skills`: instructions that the model reads when a task asks for them. Each `skill:<uuid>` puts one line into the
 * prompt; the document itself costs nothing until `activate_skill` is called. Who resolves references looks the skills
 * up first and puts what the line needs into each (`withSkills`).
 */
import { z } from "zod";
import type { CapabilityConfig } from "../contract/common.ts";
import { skillBody } from "../contract/skill-file.ts";
import type { SkillHead } from "../contract/skill-library.ts";
import { readStoredReference } from "../contract/stored-reference.ts";
import { type Capability, defineCapability } from "./capability.ts";
import { defineTool, ToolError } from "./tool.ts";

const listSkills = defineTool({
  name: "list_skills",
  displayName: "List skills",
  description: "Shows the skills that you have, with what each is for.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({}),
  run: async (_input, { skills }) => ({ skills: await skills.list() }),
});

const activateSkill = defineTool({
  name: "activate_skill",
  displayName: "Activate skill",
  description:
    "Shows the instructions of a skill; follow them. With file: one of the files beside them, by its path.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({
    name: z.string().min(1).describe("Name of the skill"),
    file: z.string().min(1).optional().describe("Path of a file that the instructions name"),
  }),
  async run({ name, file }, { skills }) {
    const skill = await skills.read(name);
    if (!skill) {
      const known = (await skills.list()).map((one) => one.name).join(", ");
      throw new ToolError(
        `There is no skill ${name}. ${known === "" ? "You have none." : `You have: ${known}.`}`,
      );
    }
    const paths = skill.files.map(({ path }) => path);
    if (file === undefined) {
      const list = paths.length === 0 ? "" : `\n\nFiles of this skill: ${paths.join(", ")}`;
      return `# Skill: ${name}\n\n${skillBody(skill.skillMd)}${list}`;
    }
    const found = skill.files.find(({ path }) => path === file.replace(/^(?:\.?\/)+/, ""));
    if (found) return found.content;
    throw new ToolError(`The skill ${name} has no file ${file}. It has: ${paths.join(", ") || "none"}.`);
  },
});

export const skills = defineCapability({
  id: "skills",
  name: "Skills",
  description: "Lets the agent read the skills that it refers to (skill:<uuid>) when a task asks for one.",
  category: "Instructions",
  icon: "book-open",
  prompt: () =>
    "Skills are instructions for certain tasks. When a task fits one of the skills below, call activate_skill with its " +
    "name before you begin, and follow what it says.",
  tools: () => [listSkills, activateSkill],
});

/** The ids of the skills among these references. */
export function skillIds(refs: readonly { ref: string }[]): string[] {
  return [...new Set(refs.flatMap(({ ref }) => skillIdOf(ref) ?? []))];
}

/** The references with what the prompt says of each skill; one that agents may not use stays bare, and is unknown. */
export function withSkills(
  refs: readonly CapabilityConfig[],
  heads: Readonly<Record<string, SkillHead>>,
): CapabilityConfig[] {
  return refs.map((one) => {
    const id = skillIdOf(one.ref);
    if (id === null) return one;
    // Never a stored configuration: only the organization's row says what the skill is.
    const head = Object.hasOwn(heads, id) ? heads[id] : undefined;
    return head
      ? { ref: one.ref, config: { name: head.name, description: head.description } }
      : { ref: one.ref };
  });
}

/** The capability that a reference with its skill stands for; null: not a skill, or not one that agents may use. */
export function skillCapability(ref: string, head: unknown): Capability | null {
  if (skillIdOf(ref) === null || typeof head !== "object" || head === null) return null;
  const { name, description } = head as SkillHead;
  return defineCapability({
    id: ref,
    name,
    description,
    category: "Instructions",
    icon: "book-open",
    dependencies: [skills.id],
    prompt: () => skillLine({ name, description }),
    tools: () => [],
  });
}

/** What the prompt says of a skill. */
export function skillLine({ name, description }: SkillHead): string {
  return `Skill ${name}: ${description.replace(/\s+/g, " ")}`;
}

function skillIdOf(ref: string): string | null {
  const reference = readStoredReference(ref);
  return reference === null || reference === "malformed" || reference.kind !== "skill" ? null : reference.id;
}
