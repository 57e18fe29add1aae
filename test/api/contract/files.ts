/** Workspaces and their files on the wire. */
import type { TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";

const ALIAS = "the contract's text has it as an alias of the workspace's route, its OpenAPI does not";

export const ours: Record<string, string> = {
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
  await step("PATCH", "/v1/workspaces/{}", [workspace.id], 200, { status: "deleted" });
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
