/** Workspaces, memories, their files, and images on the wire. */
import type { TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";
import { GIF } from "../../support/pictures.ts";

const ALIAS = "the contract's text has it as an alias of the workspace's route, its OpenAPI does not";

const UNSAID = "the contract's OpenAPI does not say what comes";

const FOR_GOOD = "named in the contract's text as what ends a resource for good";

export const ours: Record<string, string> = {
  "POST /v1/workspaces/{}/delete": FOR_GOOD,
  "POST /v1/memories/{}/delete": FOR_GOOD,
  "GET /v1/memories/{}/fs/{} 200": UNSAID,
  "GET /v1/memories/{}/fs/_/download/{} 200": UNSAID,
  "GET /v1/sessions/{}/fs": ALIAS,
  "GET /v1/sessions/{}/fs/{}": ALIAS,
  "POST /v1/sessions/{}/fs/{}": ALIAS,
  "PUT /v1/sessions/{}/fs/{}": ALIAS,
  "DELETE /v1/sessions/{}/fs/{}": ALIAS,
  "POST /v1/sessions/{}/fs/_/copy": ALIAS,
  "POST /v1/sessions/{}/fs/_/move": ALIAS,
  "POST /v1/sessions/{}/fs/_/stat": ALIAS,
  "POST /v1/sessions/{}/fs/_/grep": ALIAS,
  "GET /v1/sessions/{}/fs/_/download/{}": ALIAS,
  "GET /v1/sessions/{}/fs/_/preview/{}": ALIAS,
};

export async function steps(step: Step, app: TestApp): Promise<void> {
  const workspace = await step("POST", "/v1/workspaces", [], 201, {
    name: "Shared",
    description: "For all.",
  });
  await step("POST", "/v1/workspaces", [], 201, { name: "Bare" });
  await step("GET", "/v1/workspaces", [], 200, undefined, "?search=shared&include_archived=true");
  await step("GET", "/v1/workspaces/{}", [workspace.id], 200);
  await step("PATCH", "/v1/workspaces/{}", [workspace.id], 200, { description: null });
  await step("PATCH", "/v1/workspaces/{}", [workspace.id], 200, { status: "archived" });
  await step("PATCH", "/v1/workspaces/{}", [workspace.id], 200, { status: "active" });
  const session = (await app.post("/sessions", {})).body;
  await filesOf(step, "/v1/workspaces/{}", workspace.id);
  await filesOf(step, "/v1/sessions/{}", session.id);
  await step("DELETE", "/v1/workspaces/{}", [workspace.id], 204);
  await step("GET", "/v1/workspaces/{}", [workspace.id], 200);
  await step("POST", "/v1/workspaces/{}/delete", [workspace.id], 200);
  await memories(step);
  await images(step, session.id);
}

async function images(step: Step, sessionId: string): Promise<void> {
  const form = () => {
    const data = new FormData();
    data.set("file", new File([GIF], "dot.gif"));
    return data;
  };
  const image = await step("POST", "/v1/images", [], 201, form(), `?session_id=${sessionId}`);
  await step("POST", "/v1/images", [], 201, form());
  await step("GET", "/v1/images", [], 200, undefined, "?limit=10&offset=0");
  await step("GET", "/v1/images/{}", [image.id], 200);
  await step("GET", "/v1/images/{}/thumbnail", [image.id], 200);
  const content = [{ type: "image_file", image_id: image.id }];
  await step("POST", "/v1/sessions/{}/messages", [sessionId], 201, { message: { content } });
  await step("DELETE", "/v1/images/{}", [image.id], 204);
}

async function memories(step: Step): Promise<void> {
  const memory = await step("POST", "/v1/memories", [], 201, {
    name: "Runbooks",
    description: "What to do.",
  });
  const synced = await step("POST", "/v1/memories", [], 201, {
    name: "Docs",
    source: { type: "github", repository: "https://github.com/owner/repo.git", root_folder: "/docs/" },
  });
  await step("POST", "/v1/memories", [], 201, {
    name: "Mirror",
    source: { type: "git", url: "https://example.com/repo.git", branch: "next", sync_interval_secs: 60 },
  });
  await step("GET", "/v1/memories", [], 200, undefined, "?search=run&include_archived=true");
  await step("GET", "/v1/memories/{}", [synced.id], 200);
  await step("POST", "/v1/memories/{}/sync", [synced.id], 200);
  await step("PATCH", "/v1/memories/{}", [memory.id], 200, { description: null });
  const fs = "/v1/memories/{}/fs";
  await step("POST", `${fs}/{}`, [memory.id, "a/b.md"], 201, { content: "one\ntwo\n" });
  await step("POST", `${fs}/{}`, [memory.id, "dir"], 201, { is_directory: true });
  await step("GET", fs, [memory.id], 200);
  await step("GET", `${fs}/{}`, [memory.id, "a/b.md"], 200);
  await step("GET", `${fs}/{}`, [memory.id, "a"], 200);
  await step("PUT", `${fs}/{}`, [memory.id, "a/b.md"], 200, { content: "AAEC", encoding: "base64" });
  await step("PUT", `${fs}/{}`, [memory.id, "a/b.md"], 200, { content: "three" });
  await step("POST", `${fs}/_/stat`, [memory.id], 200, { path: "/a" });
  await step("POST", `${fs}/_/grep`, [memory.id], 200, { pattern: "thr" });
  await step("GET", `${fs}/_/download/{}`, [memory.id, "a/b.md"], 200);
  await step("DELETE", `${fs}/{}`, [memory.id, "a/b.md"], 204);
  await step("DELETE", "/v1/memories/{}", [memory.id], 204);
  await step("GET", "/v1/memories/{}", [memory.id], 200);
  await step("POST", "/v1/memories/{}/delete", [memory.id], 200);
}

async function filesOf(step: Step, owner: string, id: string): Promise<void> {
  const fs = `${owner}/fs`;
  await step("POST", `${fs}/{}`, [id, "a/b.txt"], 201, { content: "one\ntwo\n", is_readonly: false });
  await step("POST", `${fs}/{}`, [id, "page.html"], 201, { content: "<p>hello</p>" });
  await step("POST", `${fs}/{}`, [id, "bytes.bin"], 201, { content: "AAEC", encoding: "base64" });
  await step("POST", `${fs}/{}`, [id, "dir"], 201, { is_directory: true });
  await step("GET", fs, [id], 200);
  await step("GET", fs, [id], 200, undefined, "?recursive=true");
  await step("GET", `${fs}/{}`, [id, "a/b.txt"], 200);
  await step("GET", `${fs}/{}`, [id, "bytes.bin"], 200);
  await step("GET", `${fs}/{}`, [id, "a"], 200, undefined, "?recursive=true");
  await step("PUT", `${fs}/{}`, [id, "a/b.txt"], 200, { content: "three\n" });
  await step("PUT", `${fs}/{}`, [id, "a/b.txt"], 200, { is_readonly: false });
  await step("POST", `${fs}/_/copy`, [id], 201, { src_path: "/a", dst_path: "/c" });
  await step("POST", `${fs}/_/move`, [id], 200, { src_path: "/c/b.txt", dst_path: "/d/e.txt" });
  await step("POST", `${fs}/_/stat`, [id], 200, { path: "/d" });
  await step("POST", `${fs}/_/grep`, [id], 200, { pattern: "thr.e", path_pattern: "*.txt" });
  await step("GET", `${fs}/_/download/{}`, [id, "a/b.txt"], 200);
  await step("GET", `${fs}/_/preview/{}`, [id, "page.html"], 200);
  await step("DELETE", `${fs}/{}`, [id, "a"], 200, undefined, "?recursive=true");
}
