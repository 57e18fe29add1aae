/** The kinds of objects that agents use, and what is taken away as files, against the real API. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newSession, send } from "../support/sessions.ts";
import { cliFixture } from "./fixture.ts";
import { runCli } from "./support.ts";

const at = cliFixture();
const made = async (...args: string[]) => {
  const { code, stdout, stderr } = await at.cli(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.trim();
};
const read = async (kind: string, id: string) =>
  JSON.parse((await at.cli(kind, "get", id, "-o", "json")).stdout);

const SKILL =
  "---\nname: release-notes\ndescription: How release notes are written here.\n---\n# Notes\nShort.\n";

test("a skill is made from its file, letter by letter, archived and taken back", async () => {
  const path = join(at.directory, "SKILL.md");
  writeFileSync(path, SKILL);
  const id = await made("skills", "create", "-f", path);
  expect((await at.cli("skills")).stdout).toMatch(
    new RegExp(`${id}  release-notes  active .* How release notes are written here\\.`),
  );
  writeFileSync(path, SKILL.replace("Short.", "Shorter."));
  expect(await made("skills", "update", id, "-f", path)).toBe(id);
  expect((await at.cli("api", "GET", `/skills/${id}/content`)).stdout).toContain("Shorter.");
  await at.cli("skills", "delete", id);
  expect((await at.cli("skills", "-o", "id")).stdout).toBe("");
  await at.cli("skills", "restore", id);
  expect((await read("skills", id)).status).toBe("active");
});

test("an MCP server's key goes in and never comes out", async () => {
  const id = await made(
    "mcp-servers",
    "create",
    "--set",
    "name=search",
    "--set",
    "url=https://mcp.example.com/",
    "--set",
    "auth_mode=api_key",
    "--set",
    "api_key=very-secret",
  );
  const table = (await at.cli("mcp-servers")).stdout;
  expect(table).toMatch(/search +active +api_key +set +https:\/\/mcp\.example\.com\//);
  for (const format of ["table", "json", "yaml"]) {
    expect((await at.cli("mcp-servers", "get", id, "-o", format)).stdout).not.toContain("very-secret");
  }
  expect(await made("mcp-servers", "update", id, "--set", "description=finds")).toBe(id);
});

test("what has a name is named by it, also where the server wants ids; two of a name are told", async () => {
  const id = await made("memories", "create", "--set", "name=field notes");
  expect((await read("memories", "field notes")).id).toBe(id);
  expect(await made("memories", "update", "field notes", "--set", "description=x")).toBe(id);
  await at.cli("memories", "delete", "field notes");
  expect((await at.cli("memories", "get", "field notes")).stderr).toBe(
    "everruns: there is no memory field notes\n",
  );
  expect((await at.cli("memories", "restore", "field notes")).code).toBe(0);
  expect((await read("memories", "field notes")).status).toBe("active");
  const provider = ["providers", "create", "--set", "name=twin", "--set", "provider_type=llmsim"];
  await made(...provider);
  expect((await at.cli(...provider)).code).toBe(0);
  expect(await at.cli("providers", "get", "twin")).toEqual({
    code: 1,
    stdout: "",
    stderr: "everruns: 2 providers are called twin; say the id of one\n",
  });
});

test("a memory has files, by the same words as a session's", async () => {
  const id = await made("memories", "create", "--set", "name=house rules");
  expect(id).toStartWith("mem_");
  await runCli(["files", "put", id, "/style.md"], { env: at.env, stdin: "short\n" });
  expect((await at.cli("files", "list", id, "-o", "id")).stdout).toBe("/style.md\n");
  expect((await at.cli("files", "get", id, "/style.md")).stdout).toBe("short\n");
  await at.cli("files", "delete", id, "/style.md", "--yes");
  expect((await at.cli("files", "list", id)).stderr).toBe("there are no files\n");
});

test("a budget is made, listed by its subject, topped up and deleted", async () => {
  const session = await newSession(at.database.db);
  const id = await made(
    "budgets",
    "create",
    "--set",
    "subject_type=session",
    "--set",
    `subject_id=${session}`,
    "--set",
    "currency=usd",
    "--set",
    "limit=2",
  );
  expect(
    (await at.cli("budgets", "--subject-type", "session", "--subject", session, "-o", "id")).stdout,
  ).toBe(`${id}\n`);
  expect((await at.cli("budgets", "top-up", id, "--set", "amount=1.5")).stdout).toBe("3.5\n");
  expect(await at.cli("budgets", "top-up", id)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("nothing to send"),
  });
  expect((await at.cli("budgets", "delete", id)).code).toBe(2);
  expect((await at.cli("budgets", "delete", id, "--yes")).stderr).toBe(`deleted ${id}\n`);
});

test("a webhook is switched off; tasks are listed, none at first", async () => {
  const id = await made("webhooks", "create", "--set", "url=https://example.com/hook");
  await made("webhooks", "update", id, "--set", "enabled=false");
  expect((await at.cli("webhooks")).stdout).toMatch(/off +set .*https:\/\/example\.com\/hook/);
  expect(await at.cli("tasks")).toEqual({ code: 0, stdout: "", stderr: "there are no tasks yet\n" });
  expect(await at.cli("tasks", "--state", "nonsense")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--state must be one of"),
  });
  expect((await at.cli("tasks", "get", "task_1")).stderr).toContain("there is no task task_1");
});

test("an image goes in and comes out byte by byte", async () => {
  const pixel = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  );
  const path = join(at.directory, "pixel.png");
  writeFileSync(path, pixel);
  const id = await made("images", "upload", path);
  expect((await at.cli("images")).stdout).toMatch(new RegExp(`${id}  image/png  1x1 .* pixel\\.png`));
  expect((await read("images", id)).filename).toBe("pixel.png");
  const copy = join(at.directory, "copy.png");
  await at.cli("images", "download", id, "-f", copy);
  expect(readFileSync(copy).equals(pixel)).toBe(true);
  writeFileSync(path, "no picture");
  expect((await at.cli("images", "upload", path)).code).toBe(1);
});

test("a session is exported as lines or as a trajectory, several into a folder", async () => {
  const ids = [await newSession(at.database.db), await newSession(at.database.db)];
  for (const id of ids) await send(at.database.db, id, "What time is it?");
  const [first = ""] = ids;
  const { stdout } = await at.cli("sessions", "export", first);
  expect(JSON.parse(stdout.split("\n")[0] ?? "")).toMatchObject({ role: "user" });
  const atif = JSON.parse((await at.cli("sessions", "export", first, "--format", "atif")).stdout);
  expect(atif.schema_version).toStartWith("ATIF-");
  const out = join(at.directory, "out");
  const written = await at.cli("sessions", "export", ...ids, "--format", "atif", "-d", out);
  expect(written.stdout.trim().split("\n")).toEqual(ids.map((id) => join(out, `${id}.atif.json`)));
  expect(readdirSync(out).sort()).toEqual(ids.map((id) => `${id}.atif.json`).sort());
  const refused = await at.cli("sessions", "export", ...ids);
  expect({ code: refused.code, stderr: refused.stderr }).toEqual({
    code: 2,
    stderr: expect.stringContaining("several sessions need a folder"),
  });
});
