import { assertNever } from "../base/assert.ts";
import type { Entry, ToolEntry } from "./entries.ts";
import { costOf, type Transcript, tokensOf } from "./transcript.ts";

/** PURE: a transcript as a Markdown document, for people; what was folded on the screen is in it in full. */
export function transcriptMarkdown(
  transcript: Transcript,
  about: { sessionId: string; agent: string | null },
): string {
  const { model, usage } = transcript;
  const cost = costOf(usage);
  const facts = [
    `- Session: \`${about.sessionId}\``,
    ...(about.agent === null ? [] : [`- Agent: ${about.agent}`]),
    ...(model === null ? [] : [`- Model: ${model}`]),
    `- Tokens: ${tokensOf(usage)}${cost === null || cost === 0 ? "" : `, $${cost.toFixed(4)}`}`,
  ];
  const parts = transcript.entries.map(entryMarkdown).filter((part) => part !== "");
  return `${["# Session", facts.join("\n"), ...parts].join("\n\n")}\n`;
}

function entryMarkdown(entry: Entry): string {
  switch (entry.kind) {
    case "user":
      return ["## User", entry.text, ...entry.images.map((name) => `[image ${name}]`)].join("\n\n");
    case "assistant": {
      const thinking = entry.thinking.trim();
      const thought = thinking === "" ? [] : [quote(thinking)];
      return ["## Agent", ...thought, entry.text].filter((part) => part !== "").join("\n\n");
    }
    case "tool":
      return toolMarkdown(entry);
    case "error":
      return `**Error:** ${entry.text}${entry.detail === null ? "" : `\n\n${entry.detail}`}`;
    case "notice":
      return `*${entry.text}*`;
    default:
      return assertNever(entry);
  }
}

function toolMarkdown(entry: ToolEntry): string {
  const took = entry.durationMs === null ? "" : `, ${entry.durationMs} ms`;
  const said = entry.error ?? entry.output;
  return [
    `### ${entry.name} (${entry.status}${took})`,
    fenced(JSON.stringify(entry.arguments ?? null, null, 2), "json"),
    ...(said === "" ? [] : [fenced(said, "")]),
  ].join("\n\n");
}

function quote(text: string): string {
  return text
    .split("\n")
    .map((line) => `> ${line}`.trimEnd())
    .join("\n");
}

/** The fence is longer than every run of backticks in the text. */
function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((run) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}
