import { expect, test } from "bun:test";
import { transcriptMarkdown } from "../../src/client/markdown.ts";
import { emptyTranscript, foldTranscript } from "../../src/client/transcript.ts";
import { sessionIdOf, stamp, turnEvents, turnIdOf } from "./support/events.ts";

test("a transcript as Markdown has everything, in order, and no fence breaks out", () => {
  const output = "a\n```\nb";
  const tools = [{ id: "c", name: "read_file", arguments: { path: "/a.md" }, output }];
  const events = turnEvents({
    turnId: turnIdOf(1),
    input: "What is in it?",
    reasons: [{ chunks: ["Let me look."], thinking: ["One.\nTwo."], tools }, { chunks: ["**This.**"] }],
  });
  const transcript = foldTranscript(emptyTranscript, stamp(events, sessionIdOf(1)));
  expect(
    transcriptMarkdown(transcript, { sessionId: "session_1", agent: "reader" }).replace(/\d+ ms/, "N ms"),
  ).toBe(`# Session

- Session: \`session_1\`
- Agent: reader
- Model: llmsim-echo
- Tokens: 30, $0.0020

## User

What is in it?

## Agent

> One.
> Two.

Let me look.

### read_file (success, N ms)

\`\`\`json
{
  "path": "/a.md"
}
\`\`\`

\`\`\`\`
${output}
\`\`\`\`

## Agent

**This.**
`);
});
