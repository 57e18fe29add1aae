/** What stands in a file: bytes in the database, text or base64 for everybody else. */
import { UserError } from "../../base/errors.ts";
import { type FileEncoding, isBinaryStart } from "../../contract/file-store.ts";
import type { NewFile } from "./_file-plan.ts";
import { normalize } from "./_file-rows.ts";

/** @throws UserError invalid_request   the path or the base64 */
export function newFile(input: {
  path: string;
  content: string;
  encoding?: FileEncoding;
  isReadonly: boolean;
  expectedHash: string | null;
}): NewFile {
  const path = normalize(input.path);
  const bytes = encodeContent(path, input.content, input.encoding ?? "text");
  const hash = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  return { path, bytes, hash, isReadonly: input.isReadonly, expectedHash: input.expectedHash };
}

function encodeContent(path: string, content: string, encoding: FileEncoding): Uint8Array {
  if (encoding === "text") return Buffer.from(content, "utf8");
  const compact = content.replace(/\s+/g, "");
  // Buffer.from passes over what is not base64, and the file would be silently another one.
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact) || compact.length % 4 !== 0) {
    throw new UserError("invalid_request", `the content of ${path} is not base64`);
  }
  return Buffer.from(compact, "base64");
}

export function decodeContent(bytes: Uint8Array): { content: string; encoding: FileEncoding } {
  if (!isBinaryStart(bytes)) {
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
      return { content: text, encoding: "text" };
    } catch {
      // Not UTF-8: text would not come back as it was.
    }
  }
  return { content: Buffer.from(bytes).toString("base64"), encoding: "base64" };
}
