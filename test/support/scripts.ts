/** Scripted conversations: each is one turn, with its transcript in test/golden. */
import type { ToolDefinition } from "../../src/contract/common.ts";

export interface GoldenScript {
  /** Also the name of the golden file. */
  name: string;
  message: string;
}

export const script = (steps: object[], more: object = {}) =>
  `\`\`\`llmsim\n${JSON.stringify({ rate: 0, ...more, steps })}\n\`\`\``;

export const GOLDEN_SCRIPTS: readonly GoldenScript[] = [
  { name: "answer", message: `Say it.\n${script([{ text: "Here it is." }])}` },
  {
    name: "thinking",
    message: `Think first.\n${script([{ thinking: "Hm, let me see.", text: "Thought and done." }])}`,
  },
  {
    name: "one-tool",
    message: `Write a note.\n${script([
      {
        text: "One moment.",
        tool_calls: [{ name: "write_file", arguments: { path: "/note.md", content: "hi" } }],
      },
      { text: "Written." },
    ])}`,
  },
  {
    name: "parallel-tools",
    message: `Write two notes and read one.\n${script([
      {
        tool_calls: [
          { name: "write_file", arguments: { path: "/a.md", content: "a" } },
          { name: "write_file", arguments: { path: "/b.md", content: "bb" } },
        ],
      },
      { tool_calls: [{ name: "read_file", arguments: { path: "/b.md" } }] },
      { text: "All done." },
    ])}`,
  },
  {
    name: "bad-calls",
    message: `Get it wrong.\n${script([
      {
        tool_calls: [
          { name: "no_such_tool", arguments: {} },
          { name: "read_file", arguments: '{"path": "/a' },
          { name: "read_file", arguments: { wrong: true } },
        ],
      },
      { text: "I see what I did wrong." },
    ])}`,
  },
  {
    name: "provider-refuses",
    message: `Fail.\n${script([{ error: { code: "provider_misconfigured", message: "401: no" } }])}`,
  },
];

/** Two calls for the client beside one of the server: the run is parked until the client has answered both. */
export const CLIENT_SCRIPT: GoldenScript = {
  name: "client-tool",
  message: `Write a note and open two pages.\n${script([
    {
      tool_calls: [
        { name: "open_page", arguments: { url: "/a" } },
        { name: "write_file", arguments: { path: "/a.md", content: "a" } },
        { name: "open_page", arguments: { url: "/b" } },
      ],
    },
    { text: "Opened." },
  ])}`,
};

/** The tools that a script wants its client to have. */
export const clientToolsOf = ({ name }: GoldenScript): ToolDefinition[] =>
  name === CLIENT_SCRIPT.name
    ? [
        {
          type: "client_side",
          name: "open_page",
          description: "Opens a page.",
          parameters: { type: "object" },
        },
      ]
    : [];
