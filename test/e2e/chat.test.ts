/** The chat of the executable, in a real terminal, against the executable's own server and its simulated model. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { killCluster, workDirectory } from "../embedded/support/clusters.ts";
import { executablePath, type RunningServer, serveExecutable } from "../support/executable.ts";
import { describeChat } from "../tui/support/chat-scenes.ts";
import { hasTmux, openTerminal, type Terminal } from "../tui/support/tmux.ts";

const AGENT = {
  name: "storyteller",
  system_prompt: [
    "You tell stories.",
    "```llmsim",
    "rate: 30",
    "steps:",
    "  - thinking: First the clock.",
    "    text: Let me look.",
    "    tool_calls: [{ name: get_current_time, arguments: { timezone: Europe/Kyiv } }]",
    `  - text: "${"Once upon a **time** there was a clock. ".repeat(12)}The end."`,
    "```",
  ].join("\n"),
  capabilities: ["current_time"],
};

describeChat("the executable", () => [executablePath()]);

describe.skipIf(!hasTmux)("everruns chat with its server (only where tmux is installed)", () => {
  const work = workDirectory();
  const cwd = work.fresh("empty");
  const dataDir = work.fresh("data");
  const terminals: Terminal[] = [];
  let server: RunningServer;

  beforeAll(async () => {
    server = await serveExecutable(["--data-dir", dataDir], { cwd });
    const made = await fetch(`${server.url}/v1/agents`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(AGENT),
    });
    expect(made.status).toBe(201);
  });
  afterAll(async () => {
    for (const terminal of terminals) terminal.close();
    await server.kill();
    killCluster(dataDir);
    work.remove();
  });

  const chat = (...args: string[]): Terminal => {
    const terminal = openTerminal([executablePath(), "chat", ...args], {
      cwd,
      columns: 100,
      rows: 30,
      env: { EVERRUNS_API_URL: server.url },
    });
    terminals.push(terminal);
    return terminal;
  };
  const leave = async (terminal: Terminal) => {
    terminal.press("C-c");
    const screen = await terminal.until("exit code 0");
    return { screen, sessionId: /everruns chat (session_[0-9a-f]{32})/.exec(screen)?.[1] ?? "" };
  };

  test("leaves in the middle of a turn, which ends without it", async () => {
    const terminal = chat("--agent", AGENT.name);
    await terminal.until("new session");
    terminal.type("Tell me a story", "Enter");
    await terminal.until("● Once upon a time");
    const { sessionId, screen } = await leave(terminal);
    expect(screen).toContain("The turn goes on at the server");
    await chat(sessionId).until(/The end\.\n[\s\S]*idle · storyteller/);
  });

  test("loses its server to kill -9 in the middle of an answer and shows all of it in the end", async () => {
    const terminal = chat("--agent", AGENT.name);
    await terminal.until("new session");
    terminal.type("Tell me a story", "Enter");
    await terminal.until("● Once upon a time");
    const { port } = new URL(server.url);
    await server.kill();
    await terminal.until("offline, reconnecting");
    server = await serveExecutable(["--data-dir", dataDir, "--port", port], { cwd });
    const screen = await terminal.until(/The end\.\n[\s\S]*idle · storyteller/);
    expect(screen.match(/→ get_current_time/g)).toHaveLength(1);
    expect(screen.match(/● Once upon a time/g)).toHaveLength(1);
  });
});
