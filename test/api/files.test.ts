import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId, uuidOf } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { createFileStore } from "../../src/db/files/files.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const newWorkspace = async (): Promise<string> =>
  (await app.post("/workspaces", { name: newId("name") })).body.id;
/** `METHOD path` below a new workspace's /fs. */
const filesOf = async () => {
  const id = await newWorkspace();
  const fs = (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
    app.call(method, `/workspaces/${id}/fs${path}`, body, headers);
  return { id, fs };
};
const sha256 = (bytes: string | Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
const rawBytes = async (path: string, headers: Record<string, string> = {}) => {
  const answer = await app.app.handle(new Request(`http://localhost/v1${path}`, { headers }));
  return { answer, bytes: new Uint8Array(await answer.arrayBuffer()) };
};

describe("files of a workspace", () => {
  test("a file is created with its directories, read, changed and deleted", async () => {
    const { id, fs } = await filesOf();
    const created = await fs("POST", "/src/a/main.rs", { content: "fn main() {}\n" });
    expect(created.status).toBe(201);
    expect(created.body).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      session_id: uuidOf(id),
      path: "/src/a/main.rs",
      name: "main.rs",
      content: "fn main() {}\n",
      encoding: "text",
      content_hash: `sha256:${sha256("fn main() {}\n")}`,
      is_directory: false,
      is_readonly: false,
      size_bytes: 13,
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    expect((await fs("GET", "/src/a/main.rs")).body).toEqual(created.body);
    expect((await fs("POST", "/src/a/main.rs", { content: "" })).body.code).toBe("conflict");

    const changed = (await fs("PUT", "/src/a/main.rs", { content: "x" })).body;
    expect(changed).toMatchObject({
      id: created.body.id,
      created_at: created.body.created_at,
      size_bytes: 1,
    });
    expect((await fs("GET", "/src/a/main.rs")).body.content).toBe("x");
    expect(await fs("DELETE", "/src/a/main.rs")).toMatchObject({ status: 200, body: { deleted: true } });
    expect((await fs("DELETE", "/src/a/main.rs")).body).toEqual({ deleted: false });
    expect((await fs("GET", "/src/a/main.rs")).status).toBe(404);
  });

  test("directories are listed by path, with everything below when asked", async () => {
    const { fs } = await filesOf();
    for (const path of ["/b.txt", "/a/x.txt", "/a/y/z.txt"]) await fs("POST", path, { content: path });
    expect((await fs("POST", "/empty", { is_directory: true })).body).toMatchObject({
      path: "/empty",
      is_directory: true,
      size_bytes: 0,
    });
    const paths = async (path: string) =>
      (await fs("GET", path)).body.data.map((entry: { path: string }) => entry.path);
    expect(await paths("")).toEqual(["/a", "/b.txt", "/empty"]);
    expect(await paths("/")).toEqual(["/a", "/b.txt", "/empty"]);
    expect(await paths("/a")).toEqual(["/a/x.txt", "/a/y"]);
    expect(await paths("/a?recursive=true")).toEqual(["/a/x.txt", "/a/y", "/a/y/z.txt"]);
    expect(await paths("/empty")).toEqual([]);
    expect((await fs("GET", "?recursive=true")).body.total).toBe(6);
    expect((await fs("GET", "/nothing")).status).toBe(404);
    expect((await fs("POST", "/_/stat", { path: "/" })).body).toMatchObject({
      path: "/",
      is_directory: true,
    });
    expect((await fs("POST", "/_/stat", { path: "/nothing" })).status).toBe(404);
  });

  test("a NUL in a text is kept, and makes the file binary", async () => {
    const { fs } = await filesOf();
    const made = (await fs("POST", "/nul", { content: "a\u0000b" })).body;
    const whole = { content: Buffer.from("a\0b").toString("base64"), encoding: "base64", size_bytes: 3 };
    expect(made).toMatchObject(whole);
    expect((await fs("GET", "/nul")).body).toMatchObject(whole);
    await fs("PUT", "/nul", { content: "\u0000" });
    expect((await fs("GET", "/nul")).body).toMatchObject({ encoding: "base64", size_bytes: 1 });
    expect((await fs("PUT", "/nul", { content: "x", expected_hash: "\u0000" })).status).toBe(400);
  });

  test("binary content goes in and out as base64, and as bytes when that is what is asked for", async () => {
    const { id, fs } = await filesOf();
    const bytes = Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 256);
    const content = Buffer.from(bytes).toString("base64");
    await fs("POST", "/data.bin", { content, encoding: "base64" });
    const read = (await fs("GET", "/data.bin")).body;
    expect([read.encoding, read.content === content, read.size_bytes]).toEqual(["base64", true, 3_000_000]);
    const raw = await rawBytes(`/workspaces/${id}/fs/data.bin`, { accept: "application/octet-stream" });
    expect(sha256(raw.bytes)).toBe(sha256(bytes));
    expect(raw.answer.headers.get("content-type")).toBe("application/octet-stream");
    const download = await rawBytes(`/workspaces/${id}/fs/_/download/data.bin`);
    expect(sha256(download.bytes)).toBe(sha256(bytes));
    expect(download.answer.headers.get("etag")).toBe(`"${sha256(bytes)}"`);
  });

  test("large contents that arrive together are all stored, and not sent back", async () => {
    const { fs } = await filesOf();
    const texts = Array.from({ length: 10 }, (_, n) => String(n).repeat(2 * 1024 * 1024));
    const answers = await Promise.all(texts.map((content, n) => fs("POST", `/${n}.txt`, { content })));
    expect(answers.map(({ status, body }) => [status, "content" in body, body.content_hash])).toEqual(
      texts.map((text) => [201, false, `sha256:${sha256(text)}`]),
    );
    const changed = await fs("PUT", "/0.txt", { content: texts[1] });
    expect(["content" in changed.body, changed.body.content_hash]).toEqual([
      false,
      answers[1]?.body.content_hash,
    ]);
  });

  test("an empty file is downloaded as nothing", async () => {
    const { id, fs } = await filesOf();
    await fs("POST", "/empty.txt");
    expect((await fs("GET", "/empty.txt")).body).toMatchObject({ content: "", encoding: "text" });
    expect((await rawBytes(`/workspaces/${id}/fs/_/download/empty.txt`)).bytes.length).toBe(0);
  });

  test("what goes to a browser is confined, and keeps its name", async () => {
    const { fs } = await filesOf();
    const html = "<script>alert(1)</script><p>hi</p>";
    await fs("POST", `/${encodeURIComponent('bé"st.html')}`, { content: html });
    const download = await fs("GET", `/_/download/${encodeURIComponent('bé"st.html')}`);
    expect(download.headers.get("content-disposition")).toBe(
      "attachment; filename=\"b__st.html\"; filename*=UTF-8''b%C3%A9%22st.html",
    );
    expect(download.headers.get("content-type")).toBe("application/octet-stream");
    const preview = await fs("GET", `/_/preview/${encodeURIComponent('bé"st.html')}`);
    expect(preview.body).toBe(html);
    expect(preview.headers.get("content-type")).toBe("text/html; charset=utf-8");
    for (const { headers } of [download, preview]) {
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      const policy = headers.get("content-security-policy") ?? "";
      expect(policy).toMatch(/^sandbox; default-src 'none'/);
      expect(policy).not.toMatch(/allow-|script-src/);
    }
    await fs("POST", "/a.txt", { content: html });
    expect((await fs("GET", "/_/preview/a.txt")).body.code).toBe("unsupported_media_type");
  });

  test("moving and copying take everything along, and replace nothing", async () => {
    const { fs } = await filesOf();
    await fs("POST", "/a/one.txt", { content: "1" });
    await fs("POST", "/a/b/two.txt", { content: "22", is_readonly: true });
    const copied = await fs("POST", "/_/copy", { src_path: "/a", dst_path: "/copies/a" });
    expect([copied.status, copied.body.path, copied.body.is_directory]).toEqual([201, "/copies/a", true]);
    expect((await fs("GET", "/copies/a/b/two.txt")).body).toMatchObject({
      content: "22",
      is_readonly: false,
    });
    const original = (await fs("GET", "/copies/a/one.txt")).body;
    const moved = await fs("POST", "/_/move", { src_path: "/copies/a", dst_path: "/z" });
    expect([moved.status, moved.body.path]).toEqual([200, "/z"]);
    expect((await fs("GET", "/z/one.txt")).body).toEqual({ ...original, path: "/z/one.txt" });
    expect((await fs("GET", "/copies/a")).status).toBe(404);
    expect(
      (await fs("POST", "/_/move", { src_path: "/z/one.txt", dst_path: "/z/uno.txt" })).body,
    ).toMatchObject({
      id: original.id,
      name: "uno.txt",
      content_hash: `sha256:${sha256("1")}`,
    });
    const [totals] = await app.db.sql`
      select t.size_bytes = sum(f.size_bytes) as size, t.entry_count = count(*) as entries
        from file_trees t join files f on f.tree_id = t.id
       group by t.id order by t.created_at desc limit 1`;
    expect(totals).toEqual({ size: true, entries: true });
  });

  const transfers: [string, string, string, string, number, string][] = [
    ["what is not there", "move", "/none", "/x", 404, "not_found"],
    ["what is not there", "copy", "/none", "/x", 404, "not_found"],
    ["onto a file", "move", "/f", "/d/g", 409, "conflict"],
    ["onto a file", "copy", "/f", "/d/g", 409, "conflict"],
    ["onto itself", "move", "/f", "/f", 409, "conflict"],
    ["onto the root", "copy", "/f", "/", 409, "conflict"],
    ["below a file", "move", "/d", "/f/x", 409, "conflict"],
    ["into itself", "move", "/d", "/d/x/y", 400, "invalid_request"],
    ["into itself", "copy", "/d", "/d/x", 400, "invalid_request"],
    ["the root", "move", "/", "/x", 400, "invalid_request"],
    ["a protected file", "move", "/p/file", "/x", 409, "file_readonly"],
    ["what is above a protected file", "move", "/p", "/x", 409, "file_readonly"],
    ["a path that climbs", "copy", "/f", "/../x", 400, "invalid_request"],
    ["into the reserved names", "move", "/f", "/_/x", 400, "invalid_request"],
    ["too deep", "move", "/d", `/${"x".repeat(200)}/${"y/".repeat(410)}z`, 400, "invalid_request"],
  ];
  test("a move or copy is refused, and nothing is changed", async () => {
    const { fs } = await filesOf();
    await fs("POST", "/f", { content: "f" });
    await fs("POST", "/d/g", { content: "g" });
    await fs("POST", "/p/file", { content: "p", is_readonly: true });
    const before = (await fs("GET", "?recursive=true")).body;
    for (const [name, kind, src_path, dst_path, status, code] of transfers) {
      const answer = await fs("POST", `/_/${kind}`, { src_path, dst_path });
      expect([kind, name, answer.status, answer.body.code]).toEqual([kind, name, status, code]);
    }
    expect((await fs("GET", "?recursive=true")).body).toEqual(before);
  });

  test("what is read-only is refused until the mark is taken away", async () => {
    const { fs } = await filesOf();
    await fs("POST", "/p/file", { content: "p", is_readonly: true });
    const codes = async (method: string, path: string, body?: unknown) => {
      const answer = await fs(method, path, body);
      return [answer.status, answer.body.code];
    };
    expect(await codes("PUT", "/p/file", { content: "q" })).toEqual([409, "file_readonly"]);
    expect(await codes("DELETE", "/p/file")).toEqual([403, "forbidden"]);
    expect(await codes("DELETE", "/p?recursive=true")).toEqual([403, "forbidden"]);
    expect(await codes("DELETE", "/p")).toEqual([400, "directory_not_empty"]);
    expect((await fs("PUT", "/p/file", { content: "q", is_readonly: false })).body.is_readonly).toBe(false);
    expect((await fs("PUT", "/p/file", { is_readonly: true })).body).toMatchObject({ is_readonly: true });
    expect((await fs("GET", "/p/file")).body.content).toBe("q");
    expect((await fs("PUT", "/p/file", { is_readonly: false })).status).toBe(200);
    expect((await fs("DELETE", "/p?recursive=true")).body).toEqual({ deleted: true });
  });

  test("a write names the hash that it was made on, as the tools do", async () => {
    const { id, fs } = await filesOf();
    const { content_hash } = (await fs("POST", "/f", { content: "one" })).body;
    const store = createFileStore(app.db, { organizationId: ORGANIZATION, treeId: id });
    const hash = (await store.read("/f"))?.hash ?? "";
    expect(content_hash).toBe(`sha256:${hash}`);
    expect((await fs("PUT", "/f", { content: "two", expected_hash: content_hash })).status).toBe(200);
    expect((await fs("PUT", "/f", { content: "three", expected_hash: content_hash })).status).toBe(409);
    expect((await fs("PUT", "/f", { content: "four", expected_hash: sha256("two") })).status).toBe(200);
    expect((await fs("PUT", "/f", { content: "x", expected_hash: "abc" })).status).toBe(400);
  });

  test("many writers at once: every change stands, one of many creations wins", async () => {
    const { fs } = await filesOf();
    const statuses = await Promise.all(
      Array.from({ length: 30 }, async (_, n) => [
        (await fs("POST", `/many/${n}`, { content: String(n) })).status,
        (await fs("POST", "/one", { content: String(n) })).status,
      ]),
    );
    expect(statuses.map(([many]) => many)).toEqual(Array(30).fill(201));
    expect(statuses.filter(([, one]) => one === 201).length).toBe(1);
    expect(statuses.filter(([, one]) => one === 409).length).toBe(29);
    expect((await fs("GET", "/many")).body.total).toBe(30);
  });

  const refused: [string, string, string, unknown, number, string][] = [
    ["a path that climbs", "POST", "/a%2f..%2fb", {}, 400, "invalid_request"],
    ["a NUL in the path", "POST", "/a%00b", {}, 400, "invalid_request"],
    ["the reserved names", "POST", "/_/new", {}, 400, "invalid_request"],
    ["the reserved names, read", "GET", "/_/new", undefined, 400, "invalid_request"],
    ["bytes that are no text", "GET", "/a%ff", undefined, 400, "invalid_request"],
    ["a file of bytes that are no text", "POST", "/%fe", { content: "x" }, 400, "invalid_request"],
    ["a path that is too long", "POST", `/${"a/".repeat(520)}b`, {}, 400, "invalid_request"],
    ["what is not base64", "POST", "/x", { content: "?", encoding: "base64" }, 400, "invalid_request"],
    ["an unknown encoding", "POST", "/x", { content: "", encoding: "utf16" }, 400, "invalid_request"],
    ["a directory with content", "POST", "/x", { content: "", is_directory: true }, 400, "invalid_request"],
    ["a file below a file", "POST", "/f/x", {}, 409, "conflict"],
    ["a directory that exists", "POST", "/d", { is_directory: true }, 409, "conflict"],
    ["the root anew", "POST", "/.", { is_directory: true }, 409, "conflict"],
    ["the root as a file", "POST", "/.", {}, 400, "invalid_request"],
    ["content of a directory", "PUT", "/d", { content: "" }, 400, "invalid_request"],
    ["what is missing", "PUT", "/none", { content: "" }, 404, "not_found"],
    ["the root", "DELETE", "/.?recursive=true", undefined, 400, "invalid_request"],
    ["a directory as a file", "GET", "/_/download/d", undefined, 400, "invalid_request"],
    ["nothing as a file", "GET", "/_/download/none", undefined, 404, "not_found"],
    ["nothing as a page", "GET", "/_/preview/none.html", undefined, 404, "not_found"],
    ["a search for nothing", "POST", "/_/grep", { pattern: "" }, 400, "invalid_request"],
    ["a search that makes no sense", "POST", "/_/grep", { pattern: "(" }, 400, "invalid_request"],
    ["a search that looks back", "POST", "/_/grep", { pattern: "(a)\\1" }, 400, "invalid_request"],
    [
      "a file that is too large",
      "POST",
      "/x",
      { content: "x".repeat(limits.fileBytesMax + 1) },
      400,
      "limit_exceeded",
    ],
  ];
  test("what cannot be done is refused with what to do about it", async () => {
    const { fs } = await filesOf();
    await fs("POST", "/f", { content: "" });
    await fs("POST", "/d/x", { content: "" });
    for (const [name, method, path, body, status, code] of refused) {
      const answer = await fs(method, path, body);
      expect([name, answer.status, answer.body.code]).toEqual([name, status, code]);
    }
    expect((await fs("GET", "?recursive=true")).body.total).toBe(3);
  });

  test("a search finds lines, by name or part of the path, and a hostile pattern ends", async () => {
    const { fs } = await filesOf();
    await fs("POST", "/src/a.ts", { content: "const a = 1;\nlet b = 2;\n" });
    await fs("POST", "/src/b.md", { content: "a constant\n" });
    await fs("POST", "/c.ts", { content: "const c = 3;\r\n" });
    await fs("POST", "/slow.txt", { content: `${"a".repeat(30_000)}!` });
    const grep = async (pattern: string, path_pattern?: string) =>
      (await fs("POST", "/_/grep", { pattern, path_pattern })).body;
    expect((await grep("^const \\w", "*.ts")).data).toEqual([
      { path: "/c.ts", matches: [{ path: "/c.ts", line_number: 1, line: "const c = 3;" }] },
      { path: "/src/a.ts", matches: [{ path: "/src/a.ts", line_number: 1, line: "const a = 1;" }] },
    ]);
    const paths = async (path_pattern: string) =>
      (await grep("const", path_pattern)).data.map((result: { path: string }) => result.path);
    expect(await paths("/src")).toEqual(["/src/a.ts", "/src/b.md"]);
    expect(await paths("src/**")).toEqual(["/src/a.ts", "/src/b.md"]);
    expect(await paths("*.none")).toEqual([]);
    expect((await grep("(a+)+$", "/slow")).data).toEqual([]);
  });

  test("a session's address shows the same files under its own id", async () => {
    const session = (await app.post("/sessions", { initial_files: [{ path: "/first.md", content: "1" }] }))
      .body;
    const { id } = session;
    const info = (await app.get(`/sessions/${id}/fs`)).body.data;
    expect(info.map((entry: { path: string; session_id: string }) => [entry.path, entry.session_id])).toEqual(
      [["/first.md", uuidOf(id)]],
    );
    await app.post(`/sessions/${id}/fs/second.md`, { content: "2" });
    expect((await app.get(`/workspaces/${session.workspace_id}/fs/second.md`)).body.content).toBe("2");
    const store = createFileStore(app.db, { organizationId: ORGANIZATION, treeId: session.workspace_id });
    await store.write({ path: "/third.md", content: "3", expectedHash: null, idempotencyKey: null });
    expect((await app.get(`/sessions/${id}/fs/third.md`)).body.content).toBe("3");
    const events = (await app.get(`/sessions/${id}/events`)).body.data;
    expect(events.map((event: { type: string }) => event.type)).toEqual(["session.started"]);
    await app.call("DELETE", `/sessions/${id}`);
    expect((await app.get(`/sessions/${id}/fs`)).status).toBe(404);
    expect((await app.get(`/workspaces/${session.workspace_id}/fs`)).status).toBe(404);
  });
});
