import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Entry, ToolEntry } from "../../src/client/entries.ts";
import { emptyTranscript } from "../../src/client/transcript.ts";
import type { ChatSnapshot } from "../../src/tui/chat-session.ts";
import { composerLines } from "../../src/tui/composer.tsx";
import { callArguments, duration, entryLines, tailOf } from "../../src/tui/entry-lines.ts";
import { renderMarkdown } from "../../src/tui/markdown.ts";
import { shortNumber, statusLine } from "../../src/tui/status-line.ts";
import { paintWith } from "../../src/tui/theme.ts";

const plain = paintWith(false);
const coloured = paintWith(true);
const base = { key: "e", turnId: "t", isSettled: true };
const style = { columns: 60, paint: plain, isExpanded: false };

const markdownText = fc
  .array(
    fc.constantFrom(
      "# title",
      "plain words in a row",
      "**bold** and `code`",
      "- item",
      "  - nested item with more words",
      "1. first",
      "> quote",
      "```ts\nconst x = 1;\n```",
      "```",
      "| a | b |\n|---|---|\n| one | two |",
      "[link](https://example.org/a/long/path)",
      "日本語のテキスト",
      "---",
      "a&amp;b <i>",
      "",
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join("\n"));

describe("markdown on a terminal", () => {
  const cases: [string, string, string[]][] = [
    ["headings stand alone", "# One\ntext", ["One", "", "text"]],
    ["nested lists are indented", "- a\n  - b\n- c", ["• a", "  • b", "• c"]],
    ["numbers go on where they begin", "3. a\n4. b", ["3. a", "4. b"]],
    ["tasks show their box", "- [x] a\n- [ ] b", ["[x] a", "[ ] b"]],
    ["code keeps its spaces", "```py\nif x:\n    y\n```", ["  py", "▏ if x:", "▏     y"]],
    ["a table is a grid", "| a | bb |\n|--|--:|\n| 1 | 2 |", ["a │ bb", "──┼───", "1 │  2"]],
    ["a link shows where it leads", "[here](http://x.y)", ["here (http://x.y)"]],
    ["a bare link shows once", "<http://x.y>", ["http://x.y"]],
    ["entities are what they stand for", "a &lt; b &amp; c", ["a < b & c"]],
    ["half-written marks stay as they are", "so **bold", ["so **bold"]],
    ["line breaks are kept", "one\ntwo", ["one", "two"]],
  ];
  for (const [name, text, expected] of cases) {
    test(name, () => expect(renderMarkdown(text, { width: 40, paint: plain })).toEqual(expected));
  }

  test("a table that does not fit becomes lines", () => {
    const text = "| name | what |\n|---|---|\n| first | a long cell indeed |";
    expect(renderMarkdown(text, { width: 20, paint: plain })).toEqual([
      "name: first",
      "what: a long cell",
      "indeed",
    ]);
  });

  test("no line is wider than the terminal, and colours change no letter", () => {
    fc.assert(
      fc.property(markdownText, fc.integer({ min: 12, max: 100 }), (text, width) => {
        const lines = renderMarkdown(text, { width, paint: coloured });
        for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(width);
        const bare = renderMarkdown(text, { width, paint: plain });
        expect(lines.map((line) => Bun.stripANSI(line))).toEqual(bare);
      }),
    );
  });
});

describe("an entry of the transcript", () => {
  const tool: ToolEntry = {
    ...base,
    kind: "tool",
    callId: "c",
    name: "read_file",
    arguments: { path: "/a.md" },
    status: "success",
    waitsFor: null,
    progress: "",
    output: "hello",
    error: null,
    durationMs: 12,
    startedAt: null,
  };
  const assistant = {
    ...base,
    kind: "assistant",
    text: "Ten.",
    thinking: "",
    isStreaming: false,
    iteration: 1,
  } as const;
  const cases: [string, Entry, string[]][] = [
    [
      "a question",
      { ...base, kind: "user", messageId: "m", text: "What\nnow?", images: ["a.png"] },
      ["❯ What", "  now?", "  [image a.png]"],
    ],
    ["an answer", assistant, ["● Ten."]],
    [
      "an answer with a folded thought",
      { ...assistant, thinking: "hm\nwell" },
      ["✻ hm (2 lines)", "", "● Ten."],
    ],
    [
      "a thought that is being thought: its last lines",
      { ...assistant, text: "", thinking: "1\n2\n3\n4", isStreaming: true },
      ["✻ 2", "  3", "  4"],
    ],
    ["a tool call", tool, ['→ read_file(path: "/a.md") ✓ 12 ms', "  └ hello"]],
    [
      "a tool call that failed",
      { ...tool, status: "error", error: "no such file", output: "" },
      ['→ read_file(path: "/a.md") ✗ error 12 ms', "  └ no such file"],
    ],
    [
      "a running tool with what it said last",
      { ...tool, isSettled: false, status: "running", output: "", progress: "half way", durationMs: null },
      ['→ read_file(path: "/a.md") running', "  └ half way"],
    ],
    [
      "a call that waits for somebody",
      {
        ...tool,
        isSettled: false,
        status: "waiting",
        output: "",
        progress: "waits for approval",
        durationMs: null,
      },
      ['→ read_file(path: "/a.md") waiting', "  └ waits for approval"],
    ],
    [
      "a tool with much to say: the first lines and how many there are",
      { ...tool, output: "1\n2\n3\n4\n5" },
      ['→ read_file(path: "/a.md") ✓ 12 ms', "  └ 1", "    2", "    3", "    … 2 more lines"],
    ],
    [
      "an error with its code and reason",
      { ...base, kind: "error", text: "It failed.", code: "provider_unavailable", detail: "status 503" },
      ["✗ It failed. (provider_unavailable)", "  status 503"],
    ],
    ["a notice", { ...base, kind: "notice", text: "interrupted" }, ["· interrupted"]],
  ];
  for (const [name, entry, expected] of cases) {
    test(`reads well: ${name}`, () => expect(entryLines(entry, style)).toEqual(expected));
  }

  test("shows everything when expanded", () => {
    const lines = entryLines({ ...tool, output: "1\n2\n3\n4\n5" }, { ...style, isExpanded: true });
    expect(lines.at(-1)).toBe("    5");
  });

  test("cannot smuggle control sequences onto the screen", () => {
    const evil = "\u001b]0;pwned\u0007\u001b[2J";
    const entries: Entry[] = [
      { ...base, kind: "user", text: evil, messageId: "m", images: [] },
      { ...assistant, text: `a${evil}`, thinking: evil },
      { ...tool, name: `t${evil}`, arguments: { a: evil, [evil]: 1 }, output: evil },
      { ...base, kind: "error", text: evil, code: null, detail: evil },
      { ...base, kind: "notice", text: evil },
    ];
    for (const entry of entries) expect(entryLines(entry, style).join("\n")).not.toContain("\u001b");
  });

  test("never is wider than the terminal", () => {
    const words = fc.string({ unit: fc.constantFrom("a", "word ", "\n", "日本", "`", "- "), maxLength: 40 });
    fc.assert(
      fc.property(words, fc.integer({ min: 20, max: 120 }), (text, columns) => {
        const entries: Entry[] = [
          { ...base, kind: "user", text, messageId: "m", images: [] },
          { ...assistant, text, thinking: text },
          { ...tool, output: text, arguments: { text } },
          { ...base, kind: "error", text, code: "code", detail: text },
        ];
        for (const line of entries.flatMap((entry) =>
          entryLines(entry, { columns, paint: plain, isExpanded: false }),
        )) {
          expect(Bun.stringWidth(line), line).toBeLessThanOrEqual(columns);
        }
      }),
      // A wide letter where the line is cut.
      { examples: [["word word a日本word word ", 25]] },
    );
  });
});

describe("small things on the screen", () => {
  test("the tail keeps the last lines and says how many are above", () => {
    expect(tailOf(["1", "2", "3"], 3, plain)).toEqual(["1", "2", "3"]);
    expect(tailOf(["1", "2", "3", "4"], 3, plain)).toEqual(["  … 2 lines above", "3", "4"]);
  });

  for (const [value, columns, expected] of [
    [{ timezone: "UTC", at: 3 }, 40, 'timezone: "UTC", at: 3'],
    [{ path: "/a/very/long/path" }, 10, 'path: "/a…'],
    ['{"broken', 40, '"{\\"broken"'],
    [null, 40, ""],
  ] as const) {
    test(`arguments ${JSON.stringify(value)} in ${columns} columns`, () => {
      expect(callArguments(value, columns)).toBe(expected);
    });
  }

  for (const [ms, expected] of [
    [12, "12 ms"],
    [3400, "3.4 s"],
    [125_000, "2 min 5 s"],
  ] as const) {
    test(`${ms} milliseconds are ${expected}`, () => expect(duration(ms)).toBe(expected));
  }

  for (const [value, expected] of [
    [0, "0"],
    [999, "999"],
    [1234, "1.2k"],
    [34_500, "35k"],
    [999_400, "999k"],
    [1_500_000, "1.5M"],
  ] as const) {
    test(`${value} tokens are ${expected}`, () => expect(shortNumber(value)).toBe(expected));
  }

  test("the composer shows the lines around its cursor", () => {
    const edit = { text: "1\n2\n3\n4\n5", cursor: 2 };
    expect(composerLines(edit, 20, 2, plain)).toEqual(["1", "\u001b[7m2\u001b[27m"]);
    expect(composerLines({ ...edit, cursor: 9 }, 20, 2, plain)).toEqual(["4", "5\u001b[7m \u001b[27m"]);
  });
});

describe("the status line", () => {
  const snapshot: ChatSnapshot = {
    sessionId: "session_1",
    agent: "reviewer",
    transcript: {
      ...emptyTranscript,
      status: "idle",
      model: "gpt-5.2",
      usage: { input_tokens: 1200, output_tokens: 34, estimated_cost_usd: 0.0031 },
      sequence: 42,
    },
    printed: [],
    open: [],
    connection: { state: "live" },
    sending: null,
    isInterrupting: false,
    history: [],
    delivery: "steer",
    prompt: null,
    task: null,
    limits: { contextWindow: null, budgetLeft: null },
    printing: 0,
  };
  const active = { ...snapshot.transcript, status: "active" as const };
  const cases: [string, Partial<ChatSnapshot>, number, string][] = [
    [
      "says how full the context is, and what is left of the budget",
      {
        transcript: { ...snapshot.transcript, contextTokens: 43_000 },
        limits: { contextWindow: 100_000, budgetLeft: "$1.99" },
      },
      80,
      "idle · reviewer · gpt-5.2 · context 43% · $0.0031, $1.99 left · seq 42",
    ],
    [
      "says that there is a little in the context",
      {
        transcript: { ...snapshot.transcript, contextTokens: 4 },
        limits: { contextWindow: 100_000, budgetLeft: null },
      },
      44,
      "idle · reviewer · gpt-5.2 · context <1%",
    ],
    ["says what Enter does while a turn runs", { transcript: active }, 33, "active · Enter steers · gpt-5.2"],
    ["says that Enter queues", { transcript: active, delivery: "queue" }, 24, "active · Enter queues"],
    ["says it all where there is room", {}, 80, "idle · reviewer · gpt-5.2 · 1.2k tokens · $0.0031 · seq 42"],
    ["leaves out the least important first", {}, 50, "idle · reviewer · gpt-5.2 · 1.2k tokens · $0.0031"],
    ["keeps the status to the last", {}, 6, "idle"],
    [
      "tells of a lost connection",
      { connection: { state: "lost", reason: "x", retryInMs: 1 } },
      24,
      "offline, reconnecting",
    ],
    ["tells of a message on its way", { sending: "hi" }, 12, "sending"],
    ["tells of a turn that is being interrupted", { isInterrupting: true }, 14, "interrupting"],
    ["tells of a session that is none yet", { sessionId: null }, 14, "new session"],
  ];
  for (const [name, change, columns, expected] of cases) {
    test(name, () => expect(statusLine({ ...snapshot, ...change }, columns, plain)).toBe(expected));
  }
});
