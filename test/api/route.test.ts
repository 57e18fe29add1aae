/** What a route can declare: bodies and answers that are not JSON, the rest of a path, who may call. */
import { describe, expect, test } from "bun:test";
import { Elysia } from "elysia";
import { BytesBody, FormBody, Raw, RawBody, TextBody } from "../../src/api/http/media.ts";
import { openApiDocument } from "../../src/api/http/openapi.ts";
import { problemResponse } from "../../src/api/http/problem.ts";
import { reply } from "../../src/api/http/respond.ts";
import { defineRoute, mountRoutes } from "../../src/api/http/route.ts";
import { createLog } from "../../src/base/log.ts";
import { Type } from "../../src/contract/schema.ts";

const TEXT = { bytesMax: 10, contentTypes: ["text/plain", "text/markdown"] };
const common = { tag: "test", summary: "Test." } as const;

const routes = [
  defineRoute({
    ...common,
    method: "POST",
    path: "/text",
    operationId: "text",
    body: TextBody(TEXT),
    responses: { 200: Raw("text/markdown; charset=utf-8") },
    run: async ({ body }) => reply(200, `# ${body}`),
  }),
  defineRoute({
    ...common,
    method: "POST",
    path: "/bytes",
    operationId: "bytes",
    body: BytesBody({ bytesMax: 4, contentTypes: ["application/octet-stream"] }),
    responses: { 200: Type.Object({ sum: Type.Integer() }) },
    run: async ({ body }) => reply(200, { sum: body.reduce((sum, byte) => sum + byte, 0) }),
  }),
  defineRoute({
    ...common,
    method: "POST",
    path: "/form",
    operationId: "form",
    body: FormBody({ bytesMax: 10_000, fields: { file: { type: "string", format: "binary" } } }),
    responses: { 200: Type.Object({ name: Type.String(), text: Type.String() }) },
    async run({ body }) {
      const file = body.get("file") as File;
      return reply(200, { name: file.name, text: await file.text() });
    },
  }),
  defineRoute({
    ...common,
    method: "GET",
    path: "/tree/{tree_id}/fs/{path+}",
    operationId: "rest",
    responses: { 200: Type.Object({ tree_id: Type.String(), path: Type.String() }) },
    otherContentTypes: { 200: ["application/octet-stream"] },
    run: async ({ params, request }) =>
      reply(
        200,
        request.headers.get("accept") === "application/octet-stream"
          ? new RawBody(new Uint8Array([1, 2]), "application/octet-stream")
          : params,
      ),
  }),
  defineRoute({
    ...common,
    method: "GET",
    path: "/secret",
    operationId: "secret",
    access: "admin",
    responses: { 200: Type.Object({}) },
    run: async () => reply(200, {}),
  }),
];

let isAdmin = true;
const log = createLog({ format: "json", level: "error", write: () => {} });
const app = new Elysia()
  .onError(({ error, request }) => problemResponse(error, { request, requestId: "r", log }))
  .use(
    mountRoutes(routes, {
      identify: () => ({
        organizationId: "org",
        principalId: "principal",
        userId: "user",
        role: "member",
        isAdmin,
        canWrite: true,
        credential: { kind: "none" },
      }),
    }),
  );
const call = (method: string, path: string, init: RequestInit = {}) =>
  app.handle(new Request(`http://localhost${path}`, { ...init, method }));
const post = (path: string, body: string | Uint8Array, type: string) =>
  call("POST", path, { body, headers: { "content-type": type } });

describe("a body that is not JSON", () => {
  test("text arrives under each accepted content type, and the answer has its own", async () => {
    const answer = await post("/text", "hi\u0000", "text/markdown; charset=utf-8");
    expect(await answer.text()).toBe("# hi\uFFFD");
    expect(answer.headers.get("content-type")).toBe("text/markdown; charset=utf-8");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test.each([
    ["/text", "hi", "application/json", 415, "unsupported_media_type"],
    ["/text", "more than ten", "text/plain", 413, "payload_too_large"],
    ["/text", new Uint8Array([0xff]), "text/plain", 400, "invalid_request"],
    ["/bytes", "", "application/octet-stream", 400, "invalid_request"],
    ["/form", "no parts", "multipart/form-data; boundary=x", 400, "invalid_request"],
    ["/form", "no boundary", "multipart/form-data", 400, "invalid_request"],
  ])("%s %p as %s is %d %s", async (path, body, type, status, code) => {
    const answer = await post(path, body, type);
    const { code: got } = (await answer.json()) as { code: string };
    expect([answer.status, got]).toEqual([status, code]);
  });

  test("bytes arrive as they are", async () => {
    const answer = await post("/bytes", new Uint8Array([0, 200, 55]), "application/octet-stream");
    expect(await answer.json()).toEqual({ sum: 255 });
  });

  test("a file of a form arrives with its name", async () => {
    const form = new FormData();
    form.set("file", new File(["inside"], "a.txt"));
    const answer = await call("POST", "/form", { body: form });
    expect(await answer.json()).toEqual({ name: "a.txt", text: "inside" });
  });
});

describe("the rest of a path", () => {
  test.each([
    ["/tree/t/fs/a", "a"],
    ["/tree/t/fs/a/b%20c/d", "a/b c/d"],
    ["/tree/t/fs/_/x/", "_/x/"],
    ["/tree/t/fs/a%252Fb", "a%2Fb"],
  ])("%s", async (path, rest) => {
    expect(await (await call("GET", path)).json()).toEqual({ tree_id: "t", path: rest });
  });

  test("an answer in another content type comes as it is", async () => {
    const answer = await call("GET", "/tree/t/fs/a", { headers: { accept: "application/octet-stream" } });
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(new Uint8Array([1, 2]));
  });
});

test("a rest that is not percent-encoded UTF-8 is refused", async () => {
  const answer = await call("GET", "/tree/t/fs/%ff");
  expect([answer.status, await answer.json()]).toMatchObject([400, { code: "invalid_request" }]);
});

test("a segment of a path has nothing that a database cannot store", async () => {
  const answer = await call("GET", "/tree/a%00b/fs/x");
  expect(await answer.json()).toEqual({ tree_id: "a\uFFFDb", path: "x" });
});

test("a route for admins refuses everybody else", async () => {
  isAdmin = false;
  const refused = await call("GET", "/secret");
  isAdmin = true;
  expect([refused.status, (await call("GET", "/secret")).status]).toEqual([403, 200]);
});

test("OpenAPI shows the content types, the rest of a path under its name, and 403", () => {
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  const { paths } = openApiDocument(app.routes, "0") as any;
  expect(Object.keys(paths["/text"].post.requestBody.content)).toEqual(TEXT.contentTypes);
  expect(Object.keys(paths["/text"].post.responses[200].content)).toEqual(["text/markdown"]);
  expect(paths["/form"].post.requestBody.content["multipart/form-data"].schema.type).toBe("object");
  expect(Object.keys(paths["/tree/{tree_id}/fs/{path}"].get.responses[200].content)).toEqual([
    "application/json",
    "application/octet-stream",
  ]);
  expect(paths["/secret"].get.responses[403]).toBeDefined();
});
