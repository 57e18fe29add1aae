/**
 * A large file as the JSON that a small one comes in: read, spelled and sent piece by piece, so that no more of it than
 * a piece lies in memory.
 */
import { isUtf8 } from "node:buffer";
import { RetryableError } from "../../base/errors.ts";
import { type FileEncoding, type FileEntry, isBinaryStart } from "../../contract/file-store.ts";
import type { FileTree } from "../../db/files/file-tree.ts";
import { RawBody } from "../http/media.ts";

/** How often a file may change between its two readings before the caller is asked to come again. */
const READINGS_MAX = 5;

/**
 * @param shapeOf  the answer around the content, which has exactly one field `content`
 * @throws UserError not_found, invalid_request   as `download`
 */
export async function streamedFile(
  files: Pick<FileTree, "download">,
  path: string,
  shapeOf: (entry: FileEntry, content: { content: string; encoding: FileEncoding }) => object,
): Promise<RawBody> {
  for (let reading = 1; reading <= READINGS_MAX; reading += 1) {
    const first = await files.download(path);
    const encoding = await encodingOf(first.bytes);
    const { entry, bytes } = await files.download(path);
    if (entry.hash === first.entry.hash) {
      const [head, tail] = around(shapeOf(entry, { content: MARK, encoding }));
      return new RawBody(spelled(bytes, { encoding, head, tail }), "application/json");
    }
    await bytes.cancel();
  }
  throw new RetryableError("unavailable", `${path} is being changed again and again; try again`);
}

/** Where the content goes: no path and no other field of an entry can have it. */
const MARK = `\u0000${crypto.randomUUID()}`;

function around(shape: object): [head: string, tail: string] {
  const [head, tail] = JSON.stringify(shape).split(JSON.stringify(MARK).slice(1, -1));
  if (head === undefined || tail === undefined) throw new Error("the shape has no content");
  return [head, tail];
}

/** As the bytes of a small file are told apart. A file that changes while it is read breaks the reading off. */
async function encodingOf(bytes: ReadableStream<Uint8Array>): Promise<FileEncoding> {
  let kept: Uint8Array | null = null;
  try {
    for await (const piece of bytes) {
      if (kept === null && isBinaryStart(piece)) return "base64";
      const [whole, rest] = splitAtCharacter(joined(kept, piece));
      if (!isUtf8(whole)) return "base64";
      kept = rest;
    }
  } catch (error) {
    throw new RetryableError("unavailable", "the file was changed while it was read; try again", {
      cause: error,
    });
  }
  return kept === null || isUtf8(kept) ? "text" : "base64";
}

/** The pieces in their spelling, one at a time as they are asked for. */
function spelled(
  bytes: ReadableStream<Uint8Array>,
  { encoding, head, tail }: { encoding: FileEncoding; head: string; tail: string },
): ReadableStream<Uint8Array> {
  const reader = bytes.getReader();
  const encoder = new TextEncoder();
  const [split, spell] =
    encoding === "text" ? ([splitAtCharacter, asText] as const) : ([splitAtThree, asBase64] as const);
  let kept: Uint8Array | null = null;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) {
          controller.enqueue(encoder.encode(spell(kept ?? new Uint8Array()) + tail));
          controller.close();
          return;
        }
        const [whole, rest] = split(joined(kept, value));
        controller.enqueue(encoder.encode((kept === null ? head : "") + spell(whole)));
        kept = rest;
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 1 },
  );
}

const joined = (kept: Uint8Array | null, piece: Uint8Array) =>
  kept === null || kept.length === 0 ? piece : Buffer.concat([kept, piece]);

/** PURE: before the last character when it is not all there. */
function splitAtCharacter(bytes: Uint8Array): [whole: Uint8Array, rest: Uint8Array] {
  let start = bytes.length - 1;
  // 10xxxxxx continues a character; three of them are the most that there are.
  while (start > bytes.length - 4 && start > 0 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start -= 1;
  const first = bytes[start] ?? 0;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  const end = start + length > bytes.length ? start : bytes.length;
  return [bytes.subarray(0, end), bytes.slice(end)];
}

/** PURE: three bytes are four letters. */
function splitAtThree(bytes: Uint8Array): [whole: Uint8Array, rest: Uint8Array] {
  const end = bytes.length - (bytes.length % 3);
  return [bytes.subarray(0, end), bytes.slice(end)];
}

const asText = (bytes: Uint8Array) =>
  JSON.stringify(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")).slice(1, -1);
const asBase64 = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
