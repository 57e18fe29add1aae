/**
 * `@path` in a message: text goes to the files of the session, where the agent's tools find it, an image to the
 * stored images, and the message says where.
 */
import { UserError } from "../base/errors.ts";
import type { Client } from "../client/client.ts";
import { ClientError } from "../client/errors.ts";
import type { SessionFile } from "../contract/file.ts";
import type { InputContentPart } from "../contract/message.ts";
import type { LocalFile, LocalFiles } from "./local.ts";

/** PURE: the paths behind `@`, each once; one with spaces stands in quotes. An address of e-mail is none. */
export function attachedPaths(text: string): string[] {
  const found = [...text.matchAll(/(?<=^|\s)@(?:"([^"\n]+)"|(\S+))/g)];
  return [...new Set(found.map(([, quoted, bare]) => quoted ?? bare ?? ""))].filter((path) => path !== "");
}

/** PURE: the path that is being typed after `@` at the end of the text, and where it begins; null when there is none. */
export function pathUnderway(text: string): { path: string; from: number } | null {
  const found = /(?<=^|\s)@("?)([^\s"]*|(?<=")[^"\n]*)$/.exec(text);
  if (!found) return null;
  return { path: found[2] ?? "", from: found.index };
}

/**
 * Reads what the message names. `@word` that is no file stays a word, unless it looks like a path.
 *
 * @throws UserError attachment_not_found, and what LocalFiles.read throws
 */
export async function readAttachments(text: string, files: LocalFiles): Promise<LocalFile[]> {
  const read: LocalFile[] = [];
  for (const path of attachedPaths(text)) {
    const bare = path.replace(/[.,;:!?)]+$/, "");
    const file = (await files.read(path)) ?? (bare === path ? null : await files.read(bare));
    if (file) read.push(file);
    else if (/[/\\.~]/.test(bare)) throw new UserError("attachment_not_found", `there is no file ${bare}`);
  }
  return read;
}

/** Uploads what was read. @returns the message's parts, its text first. @throws ClientError */
export async function contentOf(
  client: Client,
  sessionId: string,
  text: string,
  attached: readonly LocalFile[],
): Promise<InputContentPart[]> {
  const images: InputContentPart[] = [];
  const places: string[] = [];
  for (const file of attached) {
    if (file.kind === "text") {
      places.push(`${file.name} is at ${await putText(client, sessionId, file)}`);
      continue;
    }
    const image = new File([file.bytes], file.name, { type: file.type });
    const { id, filename } = await client.uploadImage(image, { session_id: sessionId });
    images.push({ type: "image_file", image_id: id, filename });
  }
  const whole = places.length === 0 ? text : `${text}\n\nAttached: ${places.join(", ")}`;
  return [{ type: "text", text: whole }, ...images];
}

/** Another file of this name keeps its place: the new one is numbered. */
async function putText(
  client: Client,
  sessionId: string,
  file: LocalFile & { kind: "text" },
): Promise<string> {
  const [, stem = file.name, extension = ""] = /^(.+?)(\.[^.]+)?$/.exec(file.name) ?? [];
  for (let at = 1; ; at += 1) {
    const path = `/attachments/${at === 1 ? file.name : `${stem}-${at}${extension}`}`;
    const address = `/sessions/${sessionId}/fs${path.split("/").map(encodeURIComponent).join("/")}`;
    try {
      await client.request("POST", address, { body: { content: file.text, encoding: "text" } });
      return path;
    } catch (error) {
      if (!(error instanceof ClientError) || error.status !== 409 || at >= NAMES_TRIED) throw error;
      const there = await client.request<SessionFile>("GET", address);
      if (there.encoding === "text" && there.content === file.text) return path;
    }
  }
}
const NAMES_TRIED = 50;
