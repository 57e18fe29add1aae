/** What the chat needs of this machine: files to attach and to export to, and what was typed before. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { describeError, UserError } from "../src/base/errors.ts";
import type { ImageType } from "../src/contract/image.ts";
import { limits } from "../src/contract/limits.ts";
import type { LocalFile, LocalFiles, TypedHistory } from "../src/tui/local.ts";
import type { CommandContext } from "./action.ts";
import { contextsPath } from "./contexts.ts";

type Env = CommandContext["env"];

/** Files below the directory that the chat was started in; `~` is the person's own. */
export function localFiles(env: Env): LocalFiles {
  const placeOf = (path: string) => resolve(path.replace(/^~(?=\/|$)/, () => env.HOME || homedir()));
  return {
    async read(path) {
      const place = placeOf(path);
      const found = statSync(place, { throwIfNoEntry: false });
      return found ? readLocal(path, place, found) : null;
    },
    exists: (path) => existsSync(placeOf(path)),
    async write(path, text) {
      const place = placeOf(path);
      try {
        writeFileSync(place, text);
      } catch (error) {
        throw new UserError("file_not_written", `${path} cannot be written: ${describeError(error)}`);
      }
      return place;
    },
    complete: (path) => completePath(path, placeOf),
  };
}

function readLocal(path: string, place: string, found: { isFile(): boolean; size: number }): LocalFile {
  if (!found.isFile()) throw new UserError("attachment_invalid", `${path} is no file`);
  const bytesMax = Math.max(limits.wholeFileBytesMax, limits.imageUploadBytesMax);
  if (found.size > bytesMax) throw tooLarge(path, found.size, bytesMax);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(readFileSync(place));
  } catch (error) {
    throw new UserError("attachment_invalid", `${path} cannot be read: ${describeError(error)}`);
  }
  const name = basename(place);
  const type = imageType(bytes);
  if (type !== null) {
    if (bytes.length > limits.imageUploadBytesMax)
      throw tooLarge(path, bytes.length, limits.imageUploadBytesMax);
    return { kind: "image", name, type, bytes };
  }
  // The workspace would take more; the agent could not read it.
  if (bytes.length > limits.wholeFileBytesMax) throw tooLarge(path, bytes.length, limits.wholeFileBytesMax);
  const text = textOf(bytes);
  if (text === null) {
    throw new UserError("attachment_invalid", `${path} is neither text nor an image (PNG, JPEG, GIF, WebP)`);
  }
  return { kind: "text", name, text };
}

function tooLarge(path: string, bytes: number, most: number): UserError {
  const mebibytes = (value: number) => `${(value / 1024 / 1024).toFixed(1)} MiB`;
  return new UserError(
    "attachment_invalid",
    `${path} has ${mebibytes(bytes)}; at most ${mebibytes(most)} can be attached`,
  );
}

/** By content, as the server tells them apart. */
function imageType(bytes: Uint8Array): ImageType | null {
  const head = Buffer.from(bytes.subarray(0, 12)).toString("latin1");
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (head.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (/^GIF8[79]a/.test(head)) return "image/gif";
  if (/^RIFF[\s\S]{4}WEBP/.test(head)) return "image/webp";
  return null;
}

function textOf(bytes: Uint8Array): string | null {
  if (bytes.includes(0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

function completePath(path: string, placeOf: (path: string) => string): string[] {
  const at = path.lastIndexOf("/") + 1;
  const [before, begin] = [path.slice(0, at), path.slice(at)];
  try {
    return readdirSync(placeOf(before || "."), { withFileTypes: true })
      .filter(({ name }) => name.startsWith(begin) && (begin.startsWith(".") || !name.startsWith(".")))
      .map((entry) => `${before}${entry.name}${entry.isDirectory() ? "/" : ""}`)
      .sort()
      .slice(0, PATHS_SHOWN);
  } catch {
    return []; // no such directory: there is nothing to complete
  }
}
const PATHS_SHOWN = 200;

const HISTORY_ENTRIES_MAX = 500;
const HISTORY_ENTRY_CHARS_MAX = 4_000;

/**
 * What was typed in chats, in a file beside the contexts that only its owner can read: one JSON string a line. A file
 * that cannot be read or written costs the history and nothing else.
 */
export function typedHistory(env: Env): TypedHistory {
  const path = join(dirname(contextsPath(env)), "chat-history");
  const read = (): string[] => {
    try {
      return readFileSync(path, "utf8").split("\n").flatMap(lineOf).slice(-HISTORY_ENTRIES_MAX);
    } catch {
      return [];
    }
  };
  return {
    entries: read(),
    add(text) {
      if (text.length > HISTORY_ENTRY_CHARS_MAX) return;
      // Read anew: another chat may have written meanwhile.
      const entries = [...read().filter((each) => each !== text), text].slice(-HISTORY_ENTRIES_MAX);
      const draft = `${path}.${process.pid}`;
      try {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
        writeFileSync(draft, `${entries.map((each) => JSON.stringify(each)).join("\n")}\n`, { mode: 0o600 });
        chmodSync(draft, 0o600);
        renameSync(draft, path);
      } catch {
        return; // a directory that is read-only
      }
    },
  };
}

function lineOf(line: string): string[] {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "string" ? [value] : [];
  } catch {
    return [];
  }
}
