import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type TurnScript, turnEvents, turnIdOf } from "../client/support/events.ts";
import { type ContractServer, startContractServer } from "../client/support/server.ts";
import { describeChat } from "./support/chat-scenes.ts";
import { terminalsOfTests } from "./support/terminals.ts";
import { hasTmux, type Terminal, type TerminalOptions } from "./support/tmux.ts";

const CLI = join(import.meta.dir, "../../cli/everruns.ts");

const TURNS = 80;
let server: ContractServer;
const openInTest = terminalsOfTests();
beforeEach(() => {
  server = startContractServer();
});
afterEach(async () => {
  await server.stop();
});

function chat(args: readonly string[] = [], options: TerminalOptions = {}): Terminal {
  const env = { EVERRUNS_API_URL: server.url, ...options.env };
  return openInTest([process.execPath, "--no-env-file", CLI, "chat", ...args], { ...options, env });
}

const play = (script: Partial<TurnScript>, count?: number) =>
  server.onMessage(({ sessionId, turnId, text }) =>
    server.append(
      sessionId,
      turnEvents({ turnId, input: text, reasons: [{ chunks: [`Re: ${text}`] }], ...script }).slice(0, count),
    ),
  );

describeChat("the sources", () => [process.execPath, "--no-env-file", CLI]);

describe.skipIf(!hasTmux)("everruns chat within its bounds (only where tmux is installed)", () => {
  test("never grows higher than its window, however long the answer", async () => {
    const lines = Array.from({ length: 60 }, (_, at) => `line ${at}\n\n`);
    play({ reasons: [{ chunks: lines }] }, 6 + 50);
    const terminal = chat([], { columns: 60, rows: 16 });
    await terminal.until("Ask anything");
    terminal.type("go", "Enter");
    const screen = await terminal.until("lines above");
    expect(screen.split("\n").length).toBeLessThanOrEqual(16);
    expect(screen).toContain("active");
  }, 30_000);

  test("unfolds all that was printed, also what has scrolled out long ago", async () => {
    const id = server.createSession();
    const turns = Array.from({ length: TURNS }, (_, at) =>
      turnEvents({
        turnId: turnIdOf(at + 1),
        input: `question ${at}`,
        reasons: [{ thinking: [`First.\n\nThought ${at}.`], chunks: [`answer ${at}`] }],
      }),
    );
    server.append(id, turns.flat());
    const terminal = chat([id], { columns: 60, rows: 16 });
    await terminal.until(new RegExp(`answer ${TURNS - 1}[\\s\\S]*idle`));
    expect(terminal.history()).not.toContain("Thought 0.");
    terminal.press("C-o");
    await terminal.until(new RegExp(`Thought ${TURNS - 1}[\\s\\S]*idle`));
    expect(terminal.history()).toContain("Thought 0.");
  }, 30_000);

  test("works in a narrow window and without colours", async () => {
    play({ reasons: [{ chunks: ["# Title\n\nSome words that are longer than the window is wide."] }] });
    const terminal = chat([], { columns: 32, rows: 20, env: { NO_COLOR: "1" } });
    await terminal.until("Ask anything");
    terminal.type("hello", "Enter");
    const screen = await terminal.until(/words that[\s\S]*idle/);
    for (const line of screen.split("\n")) expect(line.length).toBeLessThanOrEqual(32);
    // Reverse video marks the cursor and is no colour.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
    expect(terminal.ansi().replace(/\u001b\[(7|27|0|39|49)?m/g, "")).not.toMatch(/\u001b/);
  }, 30_000);

  test("refuses without a terminal, and says what to use instead", async () => {
    const piped = Bun.spawnSync([process.execPath, CLI, "chat"], { env: { EVERRUNS_API_URL: server.url } });
    expect(piped.exitCode).toBe(2);
    expect(piped.stderr.toString()).toBe(
      'everruns: chat needs a terminal; in a script use: everruns run "your message"\n',
    );
  });

  test("says in one line that there is no server", async () => {
    await server.stop();
    const terminal = chat();
    await terminal.until(
      `everruns: no server at ${server.url}; start one with \`everruns serve\``.slice(0, 60),
    );
    await terminal.until("exit code 1");
  });
});
