/**
 * Reads ZIP archives that come from strangers. Everything has a bound that holds whatever the archive says of itself:
 * the number of entries, and the bytes that come out, which are counted while they come. Names are given as they
 * stand; who uses them as paths judges them. Encrypted, split and ZIP64 archives are refused.
 */
import { inflateRawSync } from "node:zlib";
import { UserError } from "./errors.ts";

export interface ZipEntry {
  name: string;
  bytes: Uint8Array;
}

export interface ZipLimits {
  entriesMax: number;
  /** Of all entries together, uncompressed. */
  bytesMax: number;
}

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const COMMENT_BYTES_MAX = 65_535;
const SYMLINK = 0xa000;

/** True for what begins like an archive. */
export function isZip(bytes: Uint8Array): boolean {
  return bytes.length >= END_BYTES && bytes[0] === 0x50 && bytes[1] === 0x4b && (bytes[2] ?? 0) <= 0x08;
}

/**
 * The files of an archive; directories are left out.
 *
 * @throws UserError invalid_archive, payload_too_large
 */
export function readZip(bytes: Uint8Array, limits: ZipLimits): ZipEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = endOf(view);
  const count = view.getUint16(end + 10, true);
  if (count > limits.entriesMax) throw tooLarge(`more than ${limits.entriesMax} entries`);
  let at = view.getUint32(end + 16, true);
  let bytesLeft = limits.bytesMax;
  const entries: ZipEntry[] = [];
  try {
    for (let n = 0; n < count; n += 1) {
      if (view.getUint32(at, true) !== CENTRAL) throw damaged();
      const header = centralHeader(view, bytes, at);
      at = header.next;
      if (header.name.endsWith("/")) continue;
      const entry = { name: header.name, bytes: contentOf(view, bytes, header, bytesLeft) };
      bytesLeft -= entry.bytes.length;
      entries.push(entry);
    }
  } catch (error) {
    // A view throws RangeError when an offset of the archive leads out of it.
    if (error instanceof RangeError) throw damaged();
    throw error;
  }
  return entries;
}

function endOf(view: DataView): number {
  const first = Math.max(0, view.byteLength - END_BYTES - COMMENT_BYTES_MAX);
  for (let at = view.byteLength - END_BYTES; at >= first; at -= 1) {
    if (view.getUint32(at, true) !== END) continue;
    if (view.getUint16(at + 4, true) !== 0) throw new UserError("invalid_archive", "the archive is split");
    return at;
  }
  throw damaged();
}

interface Header {
  name: string;
  method: number;
  crc: number;
  packedBytes: number;
  offset: number;
  next: number;
}

function centralHeader(view: DataView, bytes: Uint8Array, at: number): Header {
  const flags = view.getUint16(at + 8, true);
  const packedBytes = view.getUint32(at + 20, true);
  const offset = view.getUint32(at + 42, true);
  const nameEnd = at + 46 + view.getUint16(at + 28, true);
  if (nameEnd > bytes.length) throw damaged();
  const name = nameOf(bytes.subarray(at + 46, nameEnd));
  if ((flags & 1) !== 0) throw new UserError("invalid_archive", `${shown(name)} is encrypted`);
  if (packedBytes === 0xffffffff || offset === 0xffffffff) {
    throw new UserError("invalid_archive", "the archive is of the ZIP64 kind, which is not read");
  }
  // The upper half of the attributes is the mode of a file on Unix.
  if ((view.getUint16(at + 40, true) & 0xf000) === SYMLINK) {
    throw new UserError("invalid_archive", `${shown(name)} is a link`);
  }
  return {
    name,
    method: view.getUint16(at + 10, true),
    crc: view.getUint32(at + 16, true),
    packedBytes,
    offset,
    next: nameEnd + view.getUint16(at + 30, true) + view.getUint16(at + 32, true),
  };
}

function contentOf(view: DataView, bytes: Uint8Array, header: Header, bytesMax: number): Uint8Array {
  const { name, offset, packedBytes, method } = header;
  if (view.getUint32(offset, true) !== LOCAL) throw damaged();
  const start = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  if (start + packedBytes > bytes.length) throw damaged();
  const content = unpack(bytes.subarray(start, start + packedBytes), method, name, bytesMax);
  if (Bun.hash.crc32(content) !== header.crc) throw damaged();
  return content;
}

function unpack(packed: Uint8Array, method: number, name: string, bytesMax: number): Uint8Array {
  const overflow = () => tooLarge("more bytes than allowed once unpacked");
  if (method === 0) {
    if (packed.length > bytesMax) throw overflow();
    return packed.slice();
  }
  if (method !== 8) throw new UserError("invalid_archive", `${shown(name)} is packed in an unknown way`);
  try {
    // One more than allowed: zlib takes no bound of zero, and more than the bound is an error in any case.
    const content = inflateRawSync(packed, { maxOutputLength: bytesMax + 1 });
    if (content.length > bytesMax) throw overflow();
    return content;
  } catch (error) {
    if (error instanceof UserError) throw error;
    if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") throw overflow();
    throw damaged();
  }
}

function nameOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UserError("invalid_archive", "the name of an entry is not UTF-8");
  }
}

const shown = (name: string) => JSON.stringify(name.slice(0, 100));
const damaged = () => new UserError("invalid_archive", "the archive is damaged, or no ZIP archive");
const tooLarge = (what: string) => new UserError("payload_too_large", `the archive has ${what}`);
