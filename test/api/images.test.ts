import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { purgeDeletedSessions } from "../../src/db/retention.ts";
import { type Answer, OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { GIF, png, pngOf } from "../support/pictures.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const upload = (bytes: Uint8Array | string, name = "photo.png", query = ""): Promise<Answer> => {
  const form = new FormData();
  form.set("file", new File([typeof bytes === "string" ? bytes : Buffer.from(bytes)], name));
  return app.call("POST", `/images${query}`, form);
};
const raw = async (path: string, headers: Record<string, string> = {}) => {
  const answer = await app.app.handle(new Request(`http://localhost/v1${path}`, { headers }));
  return { status: answer.status, headers: answer.headers, bytes: await answer.bytes() };
};
const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

describe("images", () => {
  test("are told by their content, whatever the name says, and come back as they were", async () => {
    const source = png(300, 100);
    const kinds: [string, Uint8Array][] = [
      ["image/png", source],
      ["image/jpeg", await new Bun.Image(source).jpeg().bytes()],
      ["image/webp", await new Bun.Image(source).webp().bytes()],
      ["image/gif", GIF],
    ];
    for (const [type, bytes] of kinds) {
      const { status, body } = await upload(bytes, "C:\\photos\\mine.html");
      expect([type, status, body]).toEqual([
        type,
        201,
        {
          id: expect.stringMatching(/^img_[0-9a-f]{32}$/),
          filename: "mine.html",
          content_type: type,
          size_bytes: bytes.length,
          created_at: expect.any(String),
        },
      ]);
      const got = await raw(`/images/${body.id}`);
      expect(sha256(got.bytes)).toBe(sha256(bytes));
      expect(got.headers.get("content-type")).toBe(type);
      expect(got.headers.get("x-content-type-options")).toBe("nosniff");
      expect(got.headers.get("cache-control")).toContain("immutable");
      expect(got.headers.get("content-security-policy")).toStartWith("sandbox");
      const again = await raw(`/images/${body.id}`, { "if-none-match": got.headers.get("etag") ?? "" });
      expect([again.status, again.bytes.length]).toEqual([304, 0]);
    }
  });

  test("are listed newest first, with what is known of them", async () => {
    const [first, second] = [(await upload(png(30, 20), "a.png")).body, (await upload(GIF, "b.gif")).body];
    const list = (await app.get("/images?limit=2")).body;
    expect(list).toEqual([
      { ...second, metadata: { width: 1, height: 1 } },
      { ...first, metadata: { width: 30, height: 20 } },
    ]);
    expect((await app.get("/images?limit=1&offset=1")).body[0].id).toBe(first.id);
  });

  const thumbnails: [string, number, number, number, number][] = [
    ["a wide one", 400, 100, 200, 50],
    ["a high one", 100, 800, 25, 200],
    ["a small one", 20, 10, 20, 10],
  ];
  for (const [name, width, height, thumbWidth, thumbHeight] of thumbnails) {
    test(`a thumbnail is a JPEG in the same proportions: ${name}`, async () => {
      const { id } = (await upload(png(width, height))).body;
      const { headers, bytes } = await raw(`/images/${id}/thumbnail`);
      expect(headers.get("content-type")).toBe("image/jpeg");
      expect(await new Bun.Image(bytes).metadata()).toEqual({
        width: thumbWidth,
        height: thumbHeight,
        format: "jpeg",
      });
    });
  }

  test("what is no image that can be shown is refused", async () => {
    const damaged = png(50, 50, (x, y) => [x * 5, y * 5, x * y, 255]).subarray(0, 120);
    const refused: [string, Uint8Array | string, string][] = [
      ["text", "hello", "invalid_request"],
      ["a page", "<html><script>alert(1)</script>", "invalid_request"],
      ["a drawing that can run scripts", '<svg xmlns="http://www.w3.org/2000/svg"/>', "invalid_request"],
      ["the beginning of an image alone", damaged, "invalid_request"],
      [
        "a small file that would unpack to a huge picture",
        pngOf(30_000, 30_000, Buffer.alloc(100)),
        "limit_exceeded",
      ],
      ["one that says that it has no pixels", pngOf(0, 0, Buffer.alloc(10)), "invalid_request"],
    ];
    for (const [name, bytes, code] of refused) {
      const answer = await upload(bytes);
      expect([name, answer.status, answer.body.code]).toEqual([name, 400, code]);
    }
    const empty = new FormData();
    empty.set("other", "x");
    expect((await app.call("POST", "/images", empty)).body.code).toBe("invalid_request");
    const text = new FormData();
    text.set("file", "not a file");
    expect((await app.call("POST", "/images", text)).body.code).toBe("invalid_request");
    expect((await app.post("/images", {})).status).toBe(415);
    const large = await upload(new Uint8Array(limits.imageUploadBytesMax + 100_000));
    expect([large.status, large.body.code]).toEqual([413, "payload_too_large"]);
    expect((await upload(new Uint8Array(limits.imageUploadBytesMax + 1))).body.code).toBe("limit_exceeded");
  });

  test("a deleted one is gone; one of another organization never was there", async () => {
    const { id } = (await upload(GIF)).body;
    expect((await app.call("DELETE", `/images/${id}`)).status).toBe(204);
    const foreign = (await upload(GIF)).body.id;
    await app.db.sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
    await app.db.sql`update images set organization_id = ${OTHER_ORGANIZATION} where id = ${foreign}`;
    const session = (await app.post("/sessions", {})).body.id;
    for (const one of [id, foreign]) {
      expect((await app.get(`/images/${one}`)).status).toBe(404);
      expect((await app.get(`/images/${one}/thumbnail`)).status).toBe(404);
      expect((await app.call("DELETE", `/images/${one}`)).status).toBe(404);
      const content = [{ type: "image_file", image_id: one }];
      const sent = await app.post(`/sessions/${session}/messages`, { message: { content } });
      expect([sent.status, sent.body.code]).toEqual([400, "invalid_request"]);
    }
    expect(JSON.stringify((await app.get("/images")).body)).not.toContain(foreign);
    expect((await app.get("/images/img_1")).body.code).toBe("invalid_id");
  });

  test("one that was uploaded for a session goes with it", async () => {
    const session = (await app.post("/sessions", {})).body.id;
    const { id } = (await upload(GIF, "a.gif", `?session_id=${session}`)).body;
    const kept = (await upload(GIF)).body.id;
    const info = (await app.get("/images")).body.find((one: { id: string }) => one.id === id);
    expect(info.metadata.session_id).toBe(session);
    expect((await upload(GIF, "a.gif", `?session_id=${newId("session")}`)).status).toBe(404);
    expect((await upload(GIF, "a.gif", "?session_id=x")).status).toBe(400);
    await app.call("DELETE", `/sessions/${session}`);
    await app.db.sql`update sessions set deleted_at = now() - interval '8 days' where id = ${session}`;
    await purgeDeletedSessions(app.db, { keepDays: 7 });
    expect((await app.get(`/images/${id}`)).status).toBe(404);
    expect((await app.get(`/images/${kept}`)).status).toBe(200);
  });

  test("a message refers to one by its id; the log gets no bytes", async () => {
    const session = (await app.post("/sessions", {})).body.id;
    const { id } = (await upload(png(64, 64), "sketch.png")).body;
    const sent = await app.post(`/sessions/${session}/messages`, {
      message: { content: [{ type: "image_file", image_id: id }] },
    });
    expect([sent.status, sent.body.content]).toEqual([
      201,
      [{ type: "image_file", image_id: id, filename: "sketch.png" }],
    ]);
    const listed = (await app.get(`/sessions/${session}/messages`)).body.data;
    expect(listed[0].content).toEqual(sent.body.content);
  });
});
