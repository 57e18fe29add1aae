import { afterAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../src/base/errors.ts";
import { encryptionKeyPath, loadEncryptionKey } from "../../src/config/encryption-key.ts";

const root = mkdtempSync(join(tmpdir(), "everruns-key-test-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let count = 0;
const newDir = () => join(root, String(++count));

function messageOf(action: () => unknown): string {
  try {
    action();
    return "";
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
}

function withFile(content: string, mode = 0o600): string {
  const dir = newDir();
  mkdirSync(dir);
  writeFileSync(encryptionKeyPath(dir), content, { mode });
  return dir;
}

test("the first start makes a key file that only its owner reads, later starts read it", () => {
  const dir = join(newDir(), "deep", "er");
  const first = loadEncryptionKey(null, dir);
  expect(first.isNew).toBe(true);
  expect(first.key).toHaveLength(32);
  expect(statSync(encryptionKeyPath(dir)).mode & 0o777).toBe(0o600);
  const second = loadEncryptionKey(null, dir);
  expect(second.isNew).toBe(false);
  expect(second.source).toBe(`file ${encryptionKeyPath(dir)}`);
  expect([...second.key]).toEqual([...first.key]);
  expect(readdirSync(dir)).toEqual(["encryption.key"]);
});

test("eight first starts at once agree on one key", async () => {
  const dir = newDir();
  const program = `
    import { loadEncryptionKey } from ${JSON.stringify(join(import.meta.dir, "../../src/config/encryption-key.ts"))};
    console.log(Buffer.from(loadEncryptionKey(null, ${JSON.stringify(dir)}).key).toString("hex"));`;
  const children = Array.from({ length: 8 }, () =>
    Bun.spawn([process.execPath, "-e", program], { stderr: "inherit" }),
  );
  const keys = await Promise.all(children.map((child) => new Response(child.stdout).text()));
  expect(new Set(keys).size).toBe(1);
  expect(keys[0]).toMatch(/^[0-9a-f]{64}\n$/);
  expect(readdirSync(dir)).toEqual(["encryption.key"]);
});

const key = Buffer.alloc(32, 7);
for (const [name, text] of [
  ["base64", key.toString("base64")],
  ["base64url", key.toString("base64url")],
  ["hex", key.toString("hex")],
  ["upper-case hex", key.toString("hex").toUpperCase()],
] as const) {
  test(`the environment gives the key as ${name}, and no file is made`, () => {
    const dir = newDir();
    const loaded = loadEncryptionKey(text, dir);
    expect(loaded.source).toBe("environment EVERRUNS_ENCRYPTION_KEY");
    expect(Buffer.from(loaded.key).equals(key)).toBe(true);
    expect(readdirSync(root)).not.toContain(String(count));
  });
}

for (const text of [
  "canary",
  "00",
  key.toString("hex").slice(1),
  `${key.toString("base64")}AAAA`,
  "ü".repeat(32),
]) {
  test(`refused, and not repeated: a key of ${text.length} characters`, () => {
    const fromEnvironment = messageOf(() => loadEncryptionKey(text, newDir()));
    expect(fromEnvironment).toContain("EVERRUNS_ENCRYPTION_KEY does not hold 32 bytes");
    expect(fromEnvironment).not.toContain(text);
    const dir = withFile(`${text}\n`);
    const fromFile = messageOf(() => loadEncryptionKey(null, dir));
    expect(fromFile).toContain(encryptionKeyPath(dir));
    expect(fromFile).not.toContain(text);
  });
}

for (const mode of [0o640, 0o604, 0o644, 0o660]) {
  test(`a key file with mode ${mode.toString(8)} is refused, with what to type`, () => {
    const dir = withFile(key.toString("base64"));
    chmodSync(encryptionKeyPath(dir), mode);
    expect(messageOf(() => loadEncryptionKey(null, dir))).toContain(`chmod 600 ${encryptionKeyPath(dir)}`);
    expect(readFileSync(encryptionKeyPath(dir), "utf8")).toBe(key.toString("base64"));
  });
}

test("a data directory that is a file is told as such", () => {
  const path = newDir();
  writeFileSync(path, "");
  expect(messageOf(() => loadEncryptionKey(null, path))).toContain("cannot be read or made");
});
