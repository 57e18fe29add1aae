/** The files of a session on the command line. */
import { beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cliFixture } from "./fixture.ts";
import { runCli } from "./support.ts";

const at = cliFixture();
let session: string;
beforeAll(async () => {
  const made = await fetch(`${at.server.url}/v1/sessions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  session = ((await made.json()) as { id: string }).id;
});
const files = (args: string[], stdin?: string) =>
  runCli(["files", ...args], {
    env: { EVERRUNS_API_URL: at.server.url },
    ...(stdin === undefined ? {} : { stdin }),
  });

test("what is put comes back byte by byte, text or not", async () => {
  const local = join(at.directory, "in.bin");
  const bytes = new Uint8Array([0, 255, 10, 128]);
  writeFileSync(local, bytes);
  expect(await files(["put", session, "/data/a b.bin", "-f", local])).toEqual({
    code: 0,
    stdout: "",
    stderr: "/data/a b.bin: 4 bytes\n",
  });
  const out = join(at.directory, "out.bin");
  await files(["get", session, "/data/a b.bin", "-f", out]);
  expect(new Uint8Array(readFileSync(out))).toEqual(bytes);
  await files(["put", session, "notes.md"], "first\n");
  await files(["put", session, "notes.md"], "second é\n");
  expect((await files(["get", session, "/notes.md"])).stdout).toBe("second é\n");
});

test("list shows a directory, or all of it", async () => {
  expect(
    (await files(["list", session])).stdout.split("\n").map((line) => line.split(/ {2,}/).at(-1)),
  ).toEqual(["PATH", "/data/", "/notes.md", ""]);
  expect((await files(["list", session, "-r", "-o", "id"])).stdout).toBe("/data\n/data/a b.bin\n/notes.md\n");
});

test("delete asks, and a directory wants --recursive", async () => {
  expect((await files(["delete", session, "/data"])).code).toBe(2);
  expect((await files(["delete", session, "/data", "--yes"])).stderr).toContain(
    "-r deletes it with all of them",
  );
  expect((await files(["delete", session, "/data", "-r", "--yes"])).stderr).toBe("deleted /data\n");
  expect((await files(["delete", session, "/data", "--yes"])).stderr).toBe("everruns: there is no /data\n");
  expect((await files(["get", session, "/data/../x"])).stderr).toContain("without ..");
});
