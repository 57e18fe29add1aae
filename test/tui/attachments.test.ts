import { describe, expect, test } from "bun:test";
import { createClient } from "../../src/client/client.ts";
import { attachedPaths, pathUnderway } from "../../src/tui/attachments.ts";
import { complete } from "../../src/tui/commands/registry.ts";
import { memoryFiles } from "./support/local.ts";

describe("paths behind @", () => {
  for (const [text, expected] of [
    ["see @a.md and @b/c.png", ["a.md", "b/c.png"]],
    ['@"two words.md" first', ["two words.md"]],
    ["@a.md @a.md", ["a.md"]],
    ["mail me@x.y", []],
    ["line\n@a.md", ["a.md"]],
    ["a lone @ sign", []],
  ] as const) {
    test(JSON.stringify(text), () => expect(attachedPaths(text)).toEqual([...expected]));
  }

  for (const [text, expected] of [
    ["see @no", { path: "no", from: 4 }],
    ["@", { path: "", from: 0 }],
    ['see @"two w', { path: "two w", from: 4 }],
    ["see @no then", null],
    ["me@x", null],
  ] as const) {
    test(`under way in ${JSON.stringify(text)}`, () => expect(pathUnderway(text)).toEqual(expected));
  }
});

describe("completion", () => {
  const files = memoryFiles();
  for (const path of ["notes.md", "two words.md"])
    files.readable.set(path, { kind: "text", name: path, text: "" });
  const client = createClient({ baseUrl: "http://127.0.0.1:1", apiKey: null });
  const completed = (text: string) => complete(text, { client, files, sessionId: null });

  for (const [text, expected] of [
    ["/he", { text: "/help", choices: [] }],
    ["/mo", { text: "/model ", choices: [] }],
    ["/f", { text: "/f", choices: ["fork", "files"] }],
    ["/nope", null],
    ["/files a", null],
    ["words only", null],
    ["read @no", { text: "read @notes.md", choices: [] }],
    ["read @two", { text: 'read @"two words.md"', choices: [] }],
    ["/export no", { text: "/export notes.md", choices: [] }],
  ] as const) {
    test(JSON.stringify(text), async () => expect(await completed(text)).toEqual(expected as never));
  }
});
