/**
 * The skills of a turn, as tools see them. The db room implements it, the capabilities room uses it; neither may import
 * the other, so the promise between them stands here.
 */
import type { SkillFileEntry } from "./skill.ts";

/** What the model is told of a skill before it asks for it. */
export interface SkillHead {
  name: string;
  description: string;
}

export interface SkillContentEntry {
  skillMd: string;
  files: SkillFileEntry[];
}

/** Only what agents may use by themselves: active, and not kept for people. */
export interface SkillLibrary {
  /** Sorted by name. */
  list(): Promise<SkillHead[]>;
  /** null: the turn has no skill of this name. @throws RetryableError the database cannot be reached */
  read(name: string): Promise<SkillContentEntry | null>;
}
