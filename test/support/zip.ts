/** ZIP archives for tests: whole ones, and ones that lie. */
import { deflateRawSync } from "node:zlib";

interface Options {
  /** Mode of each file on Unix; 0o120777 is a link. */
  mode?: number;
  /** 8 is deflate, the one that is used in fact. */
  method?: number;
  /** 1 says that it is encrypted. */
  flags?: number;
  /** Added to each checksum. */
  crcShift?: number;
}

export function zip(
  files: Readonly<Record<string, string | Uint8Array>>,
  options: Options = {},
): Uint8Array<ArrayBuffer> {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const bytes = Buffer.from(content as Uint8Array);
    const packed = deflateRawSync(bytes);
    const crc = (Bun.hash.crc32(bytes) + (options.crcShift ?? 0)) >>> 0;
    const nameBytes = Buffer.from(name);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(options.flags ?? 0, 2);
    fields.writeUInt16LE(options.method ?? 8, 4);
    fields.writeUInt32LE(crc, 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(bytes.length, 18);
    fields.writeUInt16LE(nameBytes.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), fields, nameBytes, packed]);
    const more = Buffer.alloc(14);
    more.writeUInt32LE(((options.mode ?? 0o100644) << 16) >>> 0, 6);
    more.writeUInt32LE(offset, 10);
    central.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x03", "latin1"), fields, more, nameBytes]));
    parts.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", 0, "latin1");
  end.writeUInt16LE(central.length, 8);
  end.writeUInt16LE(central.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return new Uint8Array(Buffer.concat([...parts, directory, end]));
}
