/**
 * Makes docs/chat.svg and docs/monitor.svg: a real chat and a real monitor in a real terminal (tmux), with the agents and
 * the words below, against a running server, drawn as they stood on the screen.
 *
 *   ./everruns serve                                    in one terminal
 *   .tools/node_modules/.bin/bun scripts/capture.ts     in another, needs tmux; EVERRUNS_API_URL as for the client;
 *                                                       with `monitor` or `chat` that one alone
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { normalizeBaseUrl } from "../src/client/client.ts";
import { openTerminal } from "../test/tui/support/tmux.ts";

const ROOT = join(import.meta.dir, "..");
const DOCS = join(ROOT, "docs");
const COLUMNS = 84;
const ROWS = 32;

/** The simulated model plays this script; the tools, the files and the events are the real ones. */
const AGENT = {
  name: "field-notes",
  description: "Keeps notes of what it finds out",
  system_prompt: `You keep notes.
\`\`\`llmsim
rate: 40
steps:
  - thinking: They want the time in Kyiv and a note of it. First the clock, then the file.
    text: I will look at the clock first.
    tool_calls:
      - { name: get_current_time, arguments: { timezone: Europe/Kyiv } }
  - tool_calls:
      - { name: write_file, arguments: { path: /notes/kyiv.md, content: "# Kyiv\\n\\nAsked for the time.\\n" } }
  - tool_calls:
      - { name: list_directory, arguments: { path: /notes } }
  - text: |
      The clock is above, and the note is kept:

      1. **Looked** at the clock with \`get_current_time\`
      2. **Wrote** \`/notes/kyiv.md\` into this session's workspace

      > Every step is a checkpoint. Kill the server now, start it again, and this turn goes on where it stood.

      Each of these steps was stored before the next one began, so a finished call never runs twice.
\`\`\``,
  capabilities: ["current_time", "session_file_system"],
};

/** Sessions that the monitor has something to show of: one works, one waits for a person, one failed. */
const WORK: readonly { title: string; script: string; capabilities?: unknown[] }[] = [
  { title: "Summary of the week", script: "steps:\n  - text: Seven meetings, two of them needed.\n" },
  {
    title: "Nightly report",
    script:
      "rate: 3\nsteps:\n  - text: This one is being written while somebody looks at it, word by word and without haste.\n",
  },
  {
    title: "Clean up /tmp",
    script:
      "steps:\n  - text: Two files can go.\n    tool_calls:\n      - { name: write_file, arguments: { path: /old.log, content: '' } }\n  - text: Done.\n",
    capabilities: ["session_file_system", { ref: "tool_approval", config: { mode: "protective" } }],
  },
  {
    title: "Translate the docs",
    script: "steps:\n  - error: { code: provider_quota_exhausted, times: 1 }\n",
  },
];

async function capture(): Promise<void> {
  const server = normalizeBaseUrl(process.env.EVERRUNS_API_URL || "http://127.0.0.1:9000");
  mkdirSync(DOCS, { recursive: true });
  const [only] = process.argv.slice(2);
  if (only !== "chat") await captureMonitor(server);
  if (only !== "monitor") await captureChat(server);
}

async function post(url: string, body: unknown): Promise<{ id: string }> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`the server did not take it: ${await answer.text()}`);
  return (await answer.json()) as { id: string };
}

async function captureMonitor(server: string): Promise<void> {
  for (const { title, script, capabilities = [] } of WORK) {
    const { id } = await post(`${server}/api/v1/sessions`, { title, capabilities });
    const text = `${title}, please.\n\`\`\`llmsim\n${script}\`\`\``;
    await post(`${server}/api/v1/sessions/${id}/messages`, {
      message: { content: [{ type: "text", text }] },
    });
  }
  const command = [process.execPath, join(ROOT, "cli/everruns.ts"), "monitor"];
  const terminal = openTerminal(command, { columns: 104, rows: 24, env: { EVERRUNS_API_URL: server } });
  try {
    await terminal.until(/1 to decide[\s\S]*1 running[\s\S]*ENDED BADLY/);
    await Bun.write(join(DOCS, "monitor.svg"), ansiToSvg(terminal.ansi(), "everruns monitor"));
    console.log(join(DOCS, "monitor.svg"));
  } finally {
    terminal.close();
  }
}

async function captureChat(server: string): Promise<void> {
  await post(`${server}/api/v1/agents`, AGENT);
  const command = [process.execPath, join(ROOT, "cli/everruns.ts"), "chat", "--agent", AGENT.name];
  const terminal = openTerminal(command, { columns: COLUMNS, rows: ROWS, env: { EVERRUNS_API_URL: server } });
  try {
    await terminal.until("Ask anything");
    terminal.type("What time is it in Kyiv? Keep a note of it.", "Enter");
    await terminal.until("goes on where it stood");
    await Bun.write(
      join(DOCS, "chat.svg"),
      ansiToSvg(terminal.ansi(), `everruns chat --agent ${AGENT.name}`),
    );
    console.log(join(DOCS, "chat.svg"));
  } finally {
    terminal.close();
  }
}

const CELL = { width: 8.4, height: 18 };
const MARGIN = 18;
const TITLE_HEIGHT = 36;
const FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const BACKGROUND = "#15181e";
const FOREGROUND = "#d7dae0";
const COLOURS: Readonly<Record<number, string>> = {
  31: "#f07178",
  32: "#98c379",
  33: "#e5c07b",
  34: "#61afef",
  35: "#c678dd",
  36: "#56b6c2",
};

interface Style {
  colour: string;
  isBold: boolean;
  isDim: boolean;
  isItalic: boolean;
  isUnderlined: boolean;
  isInverse: boolean;
}

const PLAIN: Style = {
  colour: FOREGROUND,
  isBold: false,
  isDim: false,
  isItalic: false,
  isUnderlined: false,
  isInverse: false,
};

/** PURE: a screen with SGR codes, as `tmux capture-pane -e` prints it, as a picture of a terminal window. */
export function ansiToSvg(ansi: string, title: string): string {
  const lines = ansi.split("\n");
  const columns = Math.max(...lines.map((line) => Bun.stringWidth(line)), COLUMNS);
  const width = Math.ceil(columns * CELL.width + 2 * MARGIN);
  const height = Math.ceil(lines.length * CELL.height + TITLE_HEIGHT + MARGIN);
  let style = PLAIN;
  const text = lines.flatMap((line, row) => {
    const drawn = drawLine(line, row, style);
    style = drawn.style;
    return drawn.parts;
  });
  const dots = ["#ff5f57", "#febc2e", "#28c840"].map(
    (colour, at) => `<circle cx="${MARGIN + 6 + at * 18}" cy="18" r="5.5" fill="${colour}"/>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}" font-size="14" role="img" aria-label="${escapeXml(title)}">
<title>${escapeXml(title)}</title>
<rect width="${width}" height="${height}" rx="9" fill="${BACKGROUND}"/>
${dots.join("")}
<text x="${width / 2}" y="23" fill="#8b919d" text-anchor="middle" font-size="13">${escapeXml(title)}</text>
${text.join("\n")}
</svg>
`;
}

function drawLine(line: string, row: number, before: Style): { parts: string[]; style: Style } {
  let style = before;
  let column = 0;
  const parts: string[] = [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: SGR codes begin with one
  for (const piece of line.split(/(\u001b\[[0-9;]*m)/)) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: SGR codes begin with one
    const codes = /^\u001b\[([0-9;]*)m$/.exec(piece)?.[1];
    if (codes !== undefined) {
      for (const code of codes.split(";")) style = withCode(style, Number(code));
      continue;
    }
    const cells = Bun.stringWidth(piece);
    if (piece.trim() !== "" || style.isInverse) parts.push(drawPiece(piece, cells, column, row, style));
    column += cells;
  }
  return { parts, style };
}

function drawPiece(piece: string, cells: number, column: number, row: number, style: Style): string {
  const x = (MARGIN + column * CELL.width).toFixed(1);
  const top = TITLE_HEIGHT + row * CELL.height;
  const length = (cells * CELL.width).toFixed(1);
  const fill = style.isInverse ? BACKGROUND : style.colour;
  const attributes = [
    `x="${x}" y="${(top + 13.5).toFixed(1)}" fill="${fill}" textLength="${length}" lengthAdjust="spacingAndGlyphs"`,
    style.isBold ? 'font-weight="bold"' : "",
    style.isItalic ? 'font-style="italic"' : "",
    style.isUnderlined ? 'text-decoration="underline"' : "",
    style.isDim ? 'opacity="0.6"' : "",
  ];
  const block = style.isInverse
    ? `<rect x="${x}" y="${top}" width="${length}" height="${CELL.height}" fill="${style.colour}"/>`
    : "";
  const kept = `xml:space="preserve"`;
  return `${block}<text ${attributes.filter((each) => each !== "").join(" ")} ${kept}>${escapeXml(piece)}</text>`;
}

function withCode(style: Style, code: number): Style {
  switch (code) {
    case 0:
      return PLAIN;
    case 1:
      return { ...style, isBold: true };
    case 2:
      return { ...style, isDim: true };
    case 3:
      return { ...style, isItalic: true };
    case 4:
      return { ...style, isUnderlined: true };
    case 7:
      return { ...style, isInverse: true };
    case 22:
      return { ...style, isBold: false, isDim: false };
    case 23:
      return { ...style, isItalic: false };
    case 24:
      return { ...style, isUnderlined: false };
    case 27:
      return { ...style, isInverse: false };
    default:
      return { ...style, colour: COLOURS[code] ?? (code === 39 ? FOREGROUND : style.colour) };
  }
}

function escapeXml(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

if (import.meta.main) await capture();
