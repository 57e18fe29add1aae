/** What the chat is handed of the machine: files to attach, and the history of what was typed. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localFiles, typedHistory } from "../../cli/chat-files.ts";

let directory: string;
const at = (name: string) => join(directory, name);
const env = () => ({ HOME: directory, EVERRUNS_CONFIG: at("config/config.json") });
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "everruns-files-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("a local file", () => {
  test("is told apart by its content, not by its name", async () => {
    const png = Buffer.from("89504e470d0a1a0a00000000", "hex");
    writeFileSync(at("picture.txt"), png);
    writeFileSync(at("words.png"), "only words\n");
    const files = localFiles(env());
    expect(await files.read(at("picture.txt"))).toMatchObject({ kind: "image", type: "image/png" });
    expect(await files.read("~/words.png")).toEqual({
      kind: "text",
      name: "words.png",
      text: "only words\n",
    });
  });

  test("that is not there is null; what cannot be attached says why", async () => {
    mkdirSync(at("folder"));
    writeFileSync(at("nul.bin"), new Uint8Array([104, 0, 105]));
    writeFileSync(at("latin1.txt"), new Uint8Array([104, 0xe4, 105]));
    writeFileSync(at("large.txt"), "");
    truncateSync(at("large.txt"), 11 * 1024 * 1024);
    writeFileSync(at("huge.txt"), "");
    truncateSync(at("huge.txt"), 101 * 1024 * 1024);
    const files = localFiles(env());
    expect(await files.read(at("gone"))).toBeNull();
    expect(await files.read(at("gone/deeper"))).toBeNull();
    await expect(files.read(at("folder"))).rejects.toThrow("is no file");
    for (const name of ["nul.bin", "latin1.txt"]) {
      await expect(files.read(at(name))).rejects.toThrow(
        "is neither text nor an image (PNG, JPEG, GIF, WebP)",
      );
    }
    await expect(files.read(at("large.txt"))).rejects.toThrow(
      "has 11.0 MiB; at most 10.0 MiB can be attached",
    );
    await expect(files.read(at("huge.txt"))).rejects.toThrow("has 101.0 MiB; at most 100.0 MiB");
  });

  test("is completed: directories with a slash, hidden ones only when asked for", () => {
    mkdirSync(at("notes"));
    for (const name of ["notes.md", ".notes", "other"]) writeFileSync(at(name), "");
    const files = localFiles(env());
    expect(files.complete("~/no")).toEqual(["~/notes.md", "~/notes/"]);
    expect(files.complete("~/.n")).toEqual(["~/.notes"]);
    expect(files.complete("~/nowhere/")).toEqual([]);
  });

  test("that cannot be written says why", async () => {
    await expect(localFiles(env()).write(at("no/such/folder.md"), "x")).rejects.toThrow("cannot be written");
  });
});

describe("the history", () => {
  const path = () => at("config/chat-history");

  test("outlives the process, for its owner alone, the newest last and each once", () => {
    const history = typedHistory(env());
    expect(history.entries).toEqual([]);
    for (const text of ["one", "two\nlines", "one"]) history.add(text);
    expect(typedHistory(env()).entries).toEqual(["two\nlines", "one"]);
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(statSync(at("config")).mode & 0o777).toBe(0o700);
  });

  test("is bounded, in its entries and in their length", () => {
    const lines = Array.from({ length: 600 }, (_, number) => JSON.stringify(`line ${number}`));
    mkdirSync(at("config"));
    writeFileSync(path(), `${lines.join("\n")}\nnot JSON\n`);
    const history = typedHistory(env());
    history.add("x".repeat(5_000));
    history.add("last");
    const kept = readFileSync(path(), "utf8").trim().split("\n");
    expect(kept).toHaveLength(500);
    expect(kept.at(-1)).toBe('"last"');
    expect(kept[0]).toBe('"line 101"');
  });

  test("that cannot be kept is no failure", () => {
    writeFileSync(at("config"), "a file where the directory would be");
    const history = typedHistory(env());
    history.add("one");
    expect(history.entries).toEqual([]);
  });
});
