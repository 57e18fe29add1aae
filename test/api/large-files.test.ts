/** Files that are too large to be handled as a whole: they go in and come out exactly, in pieces. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hasMoreValues } from "../../src/api/http/body.ts";
import { limits } from "../../src/contract/limits.ts";
import { createFileStore } from "../../src/db/files/files.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
let workspace: string;
beforeAll(async () => {
  app = await testApp();
  workspace = (await app.post("/workspaces", { name: "large" })).body.id;
});
afterAll(() => app.close());

const sha256 = (bytes: string | Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
const fs = (method: string, path: string, body?: unknown) =>
  app.call(method, `/workspaces/${workspace}/fs${path}`, body);
/** A character of each length in UTF-8, and what JSON must escape: no piece of it ends where a character does. */
const LINE = 'a "b"\\ é € 😀\t\n';
const SIZE = limits.wholeFileBytesMax + 3 * 1024 * 1024;
const TEXT = LINE.repeat(Math.ceil(SIZE / Buffer.byteLength(LINE)));
const noise = (size: number) => {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
};

describe("a file of more than 10 MiB", () => {
  test("comes back as the text that it is", async () => {
    const made = await fs("POST", "/text", { content: TEXT });
    expect([made.status, made.body.content]).toEqual([201, undefined]);
    const { status, body } = await fs("GET", "/text");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      path: "/text",
      encoding: "text",
      size_bytes: Buffer.byteLength(TEXT),
      content_hash: `sha256:${sha256(TEXT)}`,
    });
    expect(body.content === TEXT).toBe(true);
  });

  test("comes back as base64 when it is no text, wherever that shows", async () => {
    const random = noise(SIZE + 1);
    // Text but for its last byte, and text with a NUL at its beginning.
    const late = Buffer.concat([Buffer.from(TEXT), new Uint8Array([0xe2])]);
    const early = Buffer.concat([Buffer.from("a\0b"), Buffer.from(TEXT)]);
    for (const [path, bytes] of [
      ["/random", random],
      ["/late", late],
      ["/early", early],
    ] as const) {
      const content = Buffer.from(bytes).toString("base64");
      expect((await fs("POST", path, { content, encoding: "base64" })).status).toBe(201);
      const { body } = await fs("GET", path);
      expect([path, body.encoding, body.content === content]).toEqual([path, "base64", true]);
      await fs("DELETE", path);
    }
  });

  test("is replaced, also in a memory, and nothing of its way stays behind", async () => {
    const { body: changed } = await fs("PUT", "/text", { content: `${TEXT}!` });
    expect(changed.content_hash).toBe(`sha256:${sha256(`${TEXT}!`)}`);
    const memory = (await app.post("/memories", { name: "large" })).body.id;
    const file = `/memories/${memory}/fs/text`;
    expect((await app.post(file, { content: TEXT })).status).toBe(201);
    const put = await app.call("PUT", file, { content: `${TEXT}?` });
    expect([put.status, put.body.content === `${TEXT}?`]).toEqual([200, true]);
    expect((await app.get(file)).body.content === `${TEXT}?`).toBe(true);
    const [left] = await app.db.sql`select count(*) as pieces from staged_bytes`;
    expect(left?.pieces).toBe(0);
  });

  test("is not read as a whole by a tool, and a search says that it was passed over", async () => {
    const store = createFileStore(app.db, { organizationId: ORGANIZATION, treeId: workspace });
    await store.write({ path: "/small", content: "needle", expectedHash: null, idempotencyKey: null });
    await expect(store.read("/text")).rejects.toMatchObject({ code: "limit_exceeded" });
    expect((await store.readMany(["/text", "/small"])).map(({ path }) => path)).toEqual(["/small"]);
    const { body } = await fs("POST", "/_/grep", { pattern: "needle" });
    expect(body.data).toHaveLength(1);
    expect(body.incomplete).toBe("1 file was passed over: larger than 10 MiB");
  });
});

describe("a body of more than 16 MiB", () => {
  test("is large because of a file in it, or refused before it is parsed", async () => {
    const { status, body } = await fs("POST", "/many", {
      content: "",
      other: Array.from({ length: limits.requestBytesMax / 2 }, () => 0),
    });
    expect([status, body.code]).toEqual([413, "payload_too_large"]);
  });

  test("is not taken by a route without files", async () => {
    const { status } = await app.post("/agents", { name: "large", system_prompt: "x".repeat(17_000_000) });
    expect(status).toBe(413);
  });

  test("has its values counted outside of texts", () => {
    const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
    expect(hasMoreValues(json({ content: '[[[[{{{{,,,,"\\' }), 1)).toBe(false);
    expect(hasMoreValues(json([1, [2], { a: "b" }]), 4)).toBe(true);
    expect(hasMoreValues(json([1, [2], { a: "b" }]), 5)).toBe(false);
    expect(hasMoreValues(new TextEncoder().encode('{"a":"\\'), 1)).toBe(false);
  });
});
