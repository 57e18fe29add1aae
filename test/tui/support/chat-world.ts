/** A platform with agents whose every word is known, for chats in a real terminal. */
import { trimmed } from "./terminals.ts";
import { startWorld, type World } from "./world.ts";

const NEVER_MS = 600_000;
const FILES = ["session_file_system"];
const WRITE = { name: "write_file", arguments: { path: "/kyiv.md", content: "# Kyiv" } };

const AGENTS: readonly {
  name: string;
  script: object;
  capabilities?: readonly unknown[];
  tools?: unknown[];
}[] = [
  {
    name: "scribe",
    script: {
      rate: 0,
      steps: [
        {
          thinking: "A note is wanted.\nFirst the file.",
          text: "I will write it down.",
          tool_calls: [WRITE],
        },
        {
          text: "Kept, in **one** file:\n\n1. `/kyiv.md`\n2. nothing else\n\n| file | bytes |\n|---|--:|\n| kyiv.md | 6 |",
        },
      ],
    },
    capabilities: FILES,
  },
  {
    name: "dreamer",
    script: {
      rate: 0,
      steps: [
        { text: "One moment.", tool_calls: [WRITE] },
        { text: "Never said.", latency_ms: NEVER_MS },
      ],
    },
    capabilities: FILES,
  },
  {
    name: "careful",
    script: { rate: 0, steps: [{ text: "May I?", tool_calls: [WRITE] }, { text: "Done." }] },
    capabilities: [...FILES, { ref: "tool_approval", config: { mode: "protective" } }],
  },
  {
    name: "asker",
    script: {
      rate: 0,
      steps: [
        {
          text: "I have to know.",
          tool_calls: [
            { name: "ask_user", arguments: { question: "Which colour?", options: ["red", "green"] } },
          ],
        },
        { text: "Thank you." },
      ],
    },
    tools: [
      {
        type: "client_side",
        name: "ask_user",
        description: "Asks the person.",
        parameters: { type: "object", properties: {} },
      },
    ],
  },
  {
    name: "narrator",
    script: { rate: 15, steps: [{ text: `${"Once upon a time there was a clock. ".repeat(5)}The end.` }] },
  },
];

export async function startChatWorld(): Promise<World> {
  const world = await startWorld();
  for (const { name, script, ...layer } of AGENTS) {
    const system_prompt = `You play.\n\`\`\`llmsim\n${JSON.stringify(script)}\n\`\`\``;
    const made = await world.app.post("/agents", { name, system_prompt, ...layer });
    if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  }
  return world;
}

/** A screen in which what differs from run to run is masked. */
export function masked(screen: string): string {
  return trimmed(
    screen
      .replace(/_[0-9a-f]{32}\b/g, "_xxx")
      .replace(/✓ \d+(\.\d+)? m?s\b/g, "✓ N ms")
      .replace(/\bseq \d+/g, "seq N")
      .replace(/\b\d+ events? caught up/g, "N events caught up")
      .replace(/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] (.+?)( \d+ s)? · Esc/g, "⠋ $1 · Esc"),
  );
}
