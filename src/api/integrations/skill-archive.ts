/** A skill that came as an archive: its document and the files beside it. */
import { UserError } from "../../base/errors.ts";
import { normalizePath } from "../../base/path.ts";
import { readZip, type ZipEntry } from "../../base/zip.ts";
import { limits } from "../../contract/limits.ts";
import type { SkillFileEntry } from "../../contract/skill.ts";

const DOCUMENT = "SKILL.md";
/** What archivers put in beside what people meant. */
const CLUTTER = /(?:^|\/)(?:__MACOSX\/|\.DS_Store$|\._|Thumbs\.db$)/;

/**
 * `SKILL.md` stands at the top of the archive or in its only folder; paths of the other files are relative to it.
 *
 * @throws UserError payload_too_large, invalid_skill
 */
export function readSkillArchive(bytes: Uint8Array): { skillMd: string; files: SkillFileEntry[] } {
  const entries = unpacked(bytes).filter(({ name }) => !CLUTTER.test(name));
  const document = entries
    .filter(({ name }) => name === DOCUMENT || name.endsWith(`/${DOCUMENT}`))
    .toSorted((a, b) => a.name.split("/").length - b.name.split("/").length)[0];
  if (!document) throw new UserError("invalid_skill", `the archive has no ${DOCUMENT}`);
  const folder = document.name.slice(0, -DOCUMENT.length);
  const files: SkillFileEntry[] = [];
  const seen = new Set<string>();
  for (const entry of entries) {
    if (entry === document) continue;
    if (!entry.name.startsWith(folder)) {
      throw new UserError("invalid_skill", `${shown(entry.name)} is outside the folder of ${DOCUMENT}`);
    }
    const path = relativePath(entry.name.slice(folder.length));
    if (seen.has(path)) throw new UserError("invalid_skill", `the archive has ${shown(path)} twice`);
    seen.add(path);
    files.push({ path, content: textOf(entry) });
  }
  relativePath(document.name);
  return { skillMd: textOf(document), files: files.toSorted((a, b) => (a.path < b.path ? -1 : 1)) };
}

function unpacked(bytes: Uint8Array): ZipEntry[] {
  try {
    return readZip(bytes, { entriesMax: limits.skillFilesMax * 2, bytesMax: limits.skillFilesBytesMax });
  } catch (error) {
    if (error instanceof UserError && error.code === "invalid_archive") {
      throw new UserError("invalid_skill", error.message, { cause: error });
    }
    throw error;
  }
}

/** @throws UserError invalid_skill: the name would lead out of the folder, or means something else elsewhere */
function relativePath(name: string): string {
  if (name.startsWith("/") || name.includes("\\") || /^[A-Za-z]:/.test(name)) {
    throw new UserError("invalid_skill", `${shown(name)} is no relative path with / between its parts`);
  }
  try {
    return normalizePath(name, limits.pathCharsMax).slice(1);
  } catch (error) {
    if (error instanceof UserError) throw new UserError("invalid_skill", error.message, { cause: error });
    throw error;
  }
}

function textOf({ name, bytes }: ZipEntry): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {
    // Said below.
  }
  throw new UserError("invalid_skill", `${shown(name)} is not UTF-8 text; a skill consists of texts`);
}

const shown = (name: string) => JSON.stringify(name.slice(0, 100));
