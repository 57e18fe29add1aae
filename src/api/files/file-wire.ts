/** Files on the wire, and the headers under which their bytes go out. */
import { uuidOf } from "../../base/id.ts";
import { baseName } from "../../base/path.ts";
import type { FileInfo, FileStat, SessionFile } from "../../contract/file.ts";
import type { FileContent, FileEntry } from "../../contract/file-store.ts";

export function toStat(entry: FileEntry): FileStat {
  return {
    path: entry.path,
    name: baseName(entry.path),
    is_directory: entry.isDirectory,
    is_readonly: entry.isReadonly,
    size_bytes: entry.sizeBytes,
    created_at: entry.createdAt,
    updated_at: entry.updatedAt,
  };
}

/** @param ownerId  the session or workspace that was asked; its hex is shown as the file's `session_id` */
export function toInfo(ownerId: string, entry: FileEntry): FileInfo {
  return { id: entry.id, session_id: uuidOf(ownerId), ...toStat(entry) };
}

/** What was sent is not sent back when it is larger than this: the caller has it, and it costs memory twice. */
const ECHO_CHARS_MAX = 1024 * 1024;

/** What a create or change answers with: the content as it was sent, unless it is large. */
export function toWritten(
  ownerId: string,
  entry: FileEntry,
  sent: Pick<FileContent, "content" | "encoding"> | null,
): SessionFile {
  return toFile(ownerId, entry, sent !== null && sent.content.length <= ECHO_CHARS_MAX ? sent : null);
}

/** @param content  null: without it, as for a directory */
export function toFile(
  ownerId: string,
  entry: FileEntry,
  content: Pick<FileContent, "content" | "encoding"> | null,
): SessionFile {
  return {
    ...toInfo(ownerId, entry),
    ...(content === null ? {} : { content: content.content, encoding: content.encoding }),
    ...(entry.hash === null ? {} : { content_hash: `sha256:${entry.hash}` }),
  };
}

/** A hash as a client sends it, with or without its `sha256:`. */
export const plainHash = (hash: string | null | undefined): string | null =>
  hash?.replace(/^sha256:/, "") ?? null;

/** Somebody else's bytes: a browser must neither guess what they are nor run anything in them as ours. */
const CONFINED = {
  "content-security-policy": "sandbox; default-src 'none'",
  "cross-origin-resource-policy": "same-origin",
};

/** For bytes that a program reads. */
export function rawHeaders(entry: FileEntry): Record<string, string> {
  return { ...CONFINED, etag: `"${entry.hash}"`, "cache-control": "private, no-cache" };
}

/** For bytes that a browser puts into a file. */
export function downloadHeaders(entry: FileEntry): Record<string, string> {
  return { ...rawHeaders(entry), "content-disposition": disposition("attachment", baseName(entry.path)) };
}

/**
 * For a page that a browser shows: as if from nowhere, without scripts, forms and requests. Its own styles and
 * pictures are part of it.
 */
export function previewHeaders(): Record<string, string> {
  return {
    ...CONFINED,
    "content-security-policy":
      "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:; " +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "cache-control": "private, no-store",
    "referrer-policy": "no-referrer",
  };
}

/** For a picture that a browser may show, and keep: its bytes never change. */
export function inline(name: string, hash: string): Record<"etag", string> & Record<string, string> {
  return {
    ...CONFINED,
    etag: `"${hash}"`,
    "cache-control": "private, max-age=31536000, immutable",
    "content-disposition": disposition("inline", name),
  };
}

/** The name twice: plain for old clients, and exactly (RFC 6266). */
function disposition(kind: "attachment" | "inline", name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, "_");
  const exact = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${kind}; filename="${plain}"; filename*=UTF-8''${exact}`;
}
