import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { limits } from "../../src/contract/limits.ts";
import { readSkill, skillBody } from "../../src/contract/skill-file.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { zip } from "../support/zip.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const skillMd = (name: string, more = "") =>
  `---\nname: ${name}\ndescription: Does ${name}.\n${more}---\n# Do it\n`;
const upload = (content: string | Uint8Array<ArrayBuffer>, field = "file") => {
  const form = new FormData();
  form.set(field, new File([content], "skill"));
  return app.call("POST", "/skills/upload", form);
};

describe("SKILL.md", () => {
  test("all fields of a whole document", () => {
    const text = `---\r\nname: pdf-forms\r\ndescription: >\r\n  Fills\r\n  forms.\r\nlicense: MIT\r\nallowed-tools: [a, b]\r\nmetadata:\r\n  version: "2.1"\r\nuser-invocable: false\r\ndisable-model-invocation: true\r\n---\r\nGo.\r\n---\r\nOn.`;
    expect(readSkill(text)).toEqual({
      fields: {
        name: "pdf-forms",
        description: "Fills forms.",
        version: "2.1",
        license: "MIT",
        compatibility: null,
        allowed_tools: "a b",
        metadata: { version: "2.1" },
        user_invocable: false,
        disable_model_invocation: true,
      },
      name: "pdf-forms",
      description: "Fills forms.",
      errors: [],
      warnings: [],
    });
    expect(skillBody(text)).toBe("Go.\r\n---\r\nOn.");
  });

  const bad: [string, string, string][] = [
    ["no front matter", "# Hello", "must begin with a line ---"],
    ["no end", "---\nname: a\n", "must begin with a line ---"],
    ["no name", "---\ndescription: d\n---\nx", "name: missing"],
    ["no description", "---\nname: a\n---\nx", "description: missing"],
    ["a bad name", "---\nname: A B\ndescription: d\n---\nx", "name: lowercase"],
    ["a long name", `---\nname: ${"a".repeat(65)}\ndescription: d\n---\nx`, "name: at most 64"],
    ["a long description", `---\nname: a\ndescription: ${"d".repeat(1_025)}\n---\nx`, "description: at most"],
    ["no mapping", "---\n- a\n---\nx", "must be a mapping"],
    ["broken YAML", "---\nname: [\n---\nx", "front matter:"],
    ["aliases", "---\nname: a\ndescription: d\nmetadata: {a: &a [1], b: *a}\n---\nx", "front matter:"],
    ["a key twice", "---\nname: a\nname: b\ndescription: d\n---\nx", "front matter:"],
    ["no flag", "---\nname: a\ndescription: d\nuser-invocable: often\n---\nx", "user-invocable: must be"],
    ["a huge one", `---\nname: a\ndescription: d\n---\n${"x".repeat(limits.skillMdBytesMax)}`, "more than"],
  ];
  for (const [what, text, complaint] of bad) {
    test(`${what}: no skill`, async () => {
      expect(readSkill(text)).toMatchObject({ fields: null });
      expect(readSkill(text).errors.join()).toContain(complaint);
      const validated = await app.post("/skills/validate", { skill_md: text });
      expect([validated.status, validated.body.valid]).toEqual([200, false]);
      const created = await app.post("/skills", { skill_md: text });
      expect([created.status, created.body.code]).toEqual([422, "invalid_skill"]);
    });
  }

  test("warnings do not keep it from being one", () => {
    expect(readSkill("---\nname: a\ndescription: d\nmodel: x\n---\n").warnings).toHaveLength(2);
  });
});

describe("skills", () => {
  test("are created, changed, archived and taken back", async () => {
    const { body: skill, status } = await app.post("/skills", { skill_md: skillMd("walk") });
    expect([status, skill.name, skill.version, skill.source_type]).toEqual([
      201,
      "walk",
      "1.0.0",
      "markdown",
    ]);
    const taken = await app.post("/skills", { skill_md: skillMd("walk") });
    expect([taken.status, taken.body.code]).toEqual([409, "name_taken"]);
    const { body: other } = await app.post("/skills", { skill_md: skillMd("run") });
    const patch = (body: object) => app.call("PATCH", `/skills/${other.id}`, body);
    expect((await patch({ skill_md: skillMd("walk") })).status).toBe(409);
    expect((await patch({ skill_md: "no" })).status).toBe(422);
    expect((await patch({ skill_md: skillMd("sprint") })).body).toMatchObject({ name: "sprint" });
    expect((await app.call("DELETE", `/skills/${other.id}`)).status).toBe(204);
    expect((await app.get("/skills?search=sprint")).body.total).toBe(0);
    expect((await app.get("/skills?search=sprint&include_archived=1")).body.total).toBe(1);
    expect((await patch({ status: "active" })).body.archived_at).toBeUndefined();
    expect((await patch({ status: "deleted" })).status).toBe(200);
    expect((await app.get(`/skills/${other.id}`)).status).toBe(404);
    expect((await app.get(`/skills/${other.id}/content`)).status).toBe(404);
    expect((await app.get("/skills/nothing")).body.code).toBe("invalid_id");
    // The name of a deleted one is free.
    expect((await app.post("/skills", { skill_md: skillMd("sprint") })).status).toBe(201);
  });
});

describe("upload", () => {
  test("a document, and an archive with files beside it", async () => {
    expect((await upload(skillMd("single"))).body).toMatchObject({ source_type: "markdown" });
    const archive = zip({
      "many/SKILL.md": skillMd("many"),
      "many/b/run.py": "print()",
      "many/a.md": "ä",
      "many/x/SKILL.md": "another",
      "__MACOSX/many/._a.md": "\0",
      "many/.DS_Store": "\0",
    });
    const { body: skill } = await upload(archive);
    expect(skill).toMatchObject({ name: "many", source_type: "archive" });
    expect((await app.get(`/skills/${skill.id}/content`)).body).toEqual({
      skill_md: skillMd("many"),
      files: [
        { path: "a.md", content: "ä" },
        { path: "b/run.py", content: "print()" },
        { path: "x/SKILL.md", content: "another" },
      ],
    });
  });

  const document = { "SKILL.md": skillMd("bad") };
  const many = Object.fromEntries(Array.from({ length: limits.skillFilesMax + 1 }, (_, n) => [`f${n}`, "x"]));
  const refused: [string, () => string | Uint8Array<ArrayBuffer>, number, string][] = [
    ["a path that leads out", () => zip({ ...document, "../evil.sh": "x" }), 422, "invalid_skill"],
    ["one from within", () => zip({ ...document, "a/../../evil.sh": "x" }), 422, "invalid_skill"],
    ["an absolute path", () => zip({ ...document, "/etc/passwd": "x" }), 422, "invalid_skill"],
    ["a path of Windows", () => zip({ ...document, "a\\..\\b": "x" }), 422, "invalid_skill"],
    ["a drive", () => zip({ ...document, "C:/b": "x" }), 422, "invalid_skill"],
    ["two of one path", () => zip({ ...document, "a//b": "x", "a/b": "y" }), 422, "invalid_skill"],
    ["a link", () => zip(document, { mode: 0o120777 }), 422, "invalid_skill"],
    [
      "a file outside the folder",
      () => zip({ "s/SKILL.md": skillMd("bad"), "t/x": "x" }),
      422,
      "invalid_skill",
    ],
    ["no document", () => zip({ "README.md": "x" }), 422, "invalid_skill"],
    ["a document that is none", () => zip({ "SKILL.md": "x" }), 422, "invalid_skill"],
    [
      "a binary file",
      () => zip({ ...document, "a.png": new Uint8Array([0x89, 0x50, 0]) }),
      422,
      "invalid_skill",
    ],
    ["a damaged archive", () => zip(document).subarray(0, 60), 422, "invalid_skill"],
    ["neither", () => new Uint8Array([0xff, 0xfe]), 422, "invalid_skill"],
    ["a bomb", () => zip({ ...document, a: new Uint8Array(100_000_000) }), 413, "payload_too_large"],
    ["many files", () => zip({ ...document, ...many }), 413, "payload_too_large"],
    ["a large body", () => new Uint8Array(limits.skillUploadBytesMax + 1), 413, "payload_too_large"],
  ];
  for (const [what, content, status, code] of refused) {
    test(`${what}: ${status}`, async () => {
      const answer = await upload(content());
      expect([answer.status, answer.body.code]).toEqual([status, code]);
    });
  }

  test("a form without the file", async () => {
    expect((await upload("x", "other")).status).toBe(400);
    expect((await app.post("/skills/upload")).status).toBe(400);
    expect((await app.post("/skills/upload", { file: "x" })).status).toBe(415);
  });
});
