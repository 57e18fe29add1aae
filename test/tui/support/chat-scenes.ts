/**
 * The chat in a real terminal, scene by scene. The same table is played by the sources and by the executable, and both
 * must show the same screens.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expectGolden } from "../../support/golden.ts";
import { GIF } from "../../support/pictures.ts";
import { masked, startChatWorld } from "./chat-world.ts";
import { terminalsOfTests } from "./terminals.ts";
import { hasTmux, type Terminal, type TerminalOptions } from "./tmux.ts";
import type { World } from "./world.ts";

interface Stage {
  world: World;
  /** Where the chats are started; their configuration is in it, too. */
  directory: string;
  open(args?: readonly string[], options?: TerminalOptions): Terminal;
  /** Compares the screen with test/golden/chat. */
  golden(name: string, screen: string): void;
}

interface Scene {
  name: string;
  play(stage: Stage): Promise<void>;
}

const AT_REST = /idle · \w+ · \S+ · context \S+ · seq \d+/;

/** A chat with an agent, that has been asked something. */
async function asked(stage: Stage, agent: string, options?: TerminalOptions): Promise<Terminal> {
  const terminal = stage.open(["--agent", agent], options);
  await terminal.until("Ask anything");
  terminal.type("Keep a note", "Enter");
  return terminal;
}

const fits = (screen: string, columns: number, rows: number) => {
  expect(screen.split("\n").length).toBeLessThanOrEqual(rows);
  for (const line of screen.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(columns);
};

const SCENES: readonly Scene[] = [
  {
    name: "an empty chat invites; a first answer with thought, tool call and Markdown; they unfold",
    async play(stage) {
      const terminal = stage.open(["--agent", "scribe"], { columns: 80, rows: 40 });
      stage.golden("empty", await terminal.until("Ask anything"));
      terminal.type("Keep a note", "Enter");
      stage.golden("answer", await terminal.until(AT_REST));
      terminal.press("C-t");
      stage.golden("unfolded-last", await terminal.until(/→ write_file[\s\S]*→ write_file/));
      terminal.press("C-o");
      await terminal.until("  First the file.");
      stage.golden("unfolded", await terminal.until(AT_REST));
    },
  },
  {
    name: "Escape interrupts, Ctrl+C leaves and says how to come back, and that comes back",
    async play(stage) {
      const terminal = await asked(stage, "dreamer");
      stage.golden("working", await terminal.until(/✓[\s\S]*Esc interrupts[\s\S]*context/));
      terminal.press("Escape");
      await terminal.until("· interrupted");
      stage.golden("interrupted", await terminal.until(AT_REST));
      terminal.press("C-c");
      const left = await terminal.until("exit code 0");
      stage.golden("left", left);
      const [, session = ""] = /everruns chat (session_[0-9a-f]{32})/.exec(left) ?? [];
      const again = stage.open([session]);
      stage.golden("resumed", await again.until(AT_REST));
      again.press("Up");
      await again.until(/❯ Keep a note *\n +idle/);
    },
  },
  {
    name: "a session that was deleted meanwhile is not promised to anybody",
    async play(stage) {
      const terminal = await asked(stage, "scribe");
      await terminal.until(AT_REST);
      const address = `${stage.world.url}/v1/sessions`;
      const { data } = (await (await fetch(`${address}?limit=1`)).json()) as { data: { id: string }[] };
      await fetch(`${address}/${data[0]?.id}`, { method: "DELETE" });
      terminal.press("C-c");
      const left = await terminal.until("exit code 0");
      expect(left).toContain("The session has been deleted: there is nothing to come back to.");
      expect(left).not.toContain("everruns chat session_");
    },
  },
  {
    name: "a model that does not exist is told at the start, in one line",
    async play(stage) {
      const terminal = stage.open(["-m", "nope"], { columns: 200 });
      const left = await terminal.until("exit code 2");
      expect(left).toMatch(/^everruns: no model nope; there are .*\nexit code 2$/);
    },
  },
  {
    name: "messages that wait stand above the prompt; Tab says what Enter does, Up takes one back",
    async play(stage) {
      const terminal = await asked(stage, "dreamer");
      await terminal.until(/✓[\s\S]*Enter steers/);
      terminal.type("Be brief", "Enter");
      await terminal.until("↳ steers   Be brief");
      terminal.press("Tab");
      await terminal.until("Enter queues");
      terminal.type("Then Lviv", "Enter");
      await terminal.until("↳ queued 1  Then Lviv");
      terminal.type("Then Odesa", "Enter");
      await terminal.until("↳ queued 2  Then Odesa");
      stage.golden(
        "queue",
        await terminal.until(/Ask anything[\s\S]*Enter queues · dreamer · \S+ · context/),
      );
      terminal.press("Up");
      await terminal.until(/❯ Then Odesa/);
      stage.golden("taken-back", await terminal.until((screen) => !screen.includes("queued 2")));
    },
  },
  {
    name: "a call that waits for approval: its arguments are edited, and it runs with them",
    async play(stage) {
      const terminal = await asked(stage, "careful");
      stage.golden("approval", await terminal.until(/\? Run write_file[\s\S]*context/));
      terminal.type("e");
      stage.golden("arguments", await terminal.until(/\? Arguments of write_file[\s\S]*"content"/));
      terminal.press("C-u", "BSpace");
      terminal.type(" oops", "Enter");
      await terminal.until("✗ the arguments are no JSON object");
      terminal.press("Escape");
      await terminal.until("? Run write_file");
      terminal.type("a");
      await terminal.until("allowed write_file");
      stage.golden("approved", await terminal.until(AT_REST));
    },
  },
  {
    name: "a question of a tool that is the client's is answered with a digit",
    async play(stage) {
      const terminal = await asked(stage, "asker");
      stage.golden("question", await terminal.until(/\? Answer ask_user[\s\S]*2 green[\s\S]*context/));
      terminal.type("2");
      await terminal.until("answered ask_user");
      const screen = await terminal.until(AT_REST);
      expect(screen).toContain("└ green");
      stage.golden("answered", screen);
    },
  },
  {
    name: "the window is resized while an answer comes, and at rest",
    async play(stage) {
      const terminal = await asked(stage, "narrator", { columns: 100, rows: 30 });
      await terminal.until("● Once upon a time");
      terminal.resize(60, 16);
      await terminal.until("The end.");
      fits(await terminal.until(AT_REST), 60, 16);
      terminal.resize(100, 30);
      terminal.type("And now?");
      await terminal.until("❯ And now?");
    },
  },
  {
    name: "40 × 12: what matters least is left out",
    async play(stage) {
      const terminal = await asked(stage, "scribe", { columns: 40, rows: 12 });
      await terminal.until(/idle · scribe/);
      const screen = await terminal.until(/bytes[\s\S]*idle · scribe · /);
      fits(screen, 40, 12);
      stage.golden("40x12", await terminal.until(/context/));
      const waiting = await asked(stage, "careful", { columns: 40, rows: 12 });
      const question = await waiting.until(/\? Run write_file[\s\S]*active/);
      fits(question, 40, 12);
      stage.golden("approval-40x12", question);
    },
  },
  {
    name: "the server goes away in the middle of an answer and comes back: nothing is missing",
    async play(stage) {
      const terminal = await asked(stage, "narrator");
      await terminal.until("● Once upon a time");
      await stage.world.stopServer();
      await terminal.until("offline, reconnecting");
      await stage.world.startServer();
      await terminal.until(/reconnected, \d+ events? caught up/);
      const screen = await terminal.until(/The end\.[\s\S]*idle · narrator/);
      expect(screen.match(/● Once upon a time/g)).toHaveLength(1);
    },
  },
  {
    name: "commands, arguments and paths are completed; a file is attached",
    async play(stage) {
      await Bun.write(join(stage.directory, "notes-of-today.md"), "Kyiv");
      const terminal = stage.open(["--agent", "asker"]);
      await terminal.until("Ask anything");
      terminal.type("/e", "Tab");
      await terminal.until("export  expand  exit");
      terminal.press("C-u");
      terminal.type("/ag", "Tab");
      await terminal.until(/❯ \/agent *\n/);
      terminal.type("n", "Tab");
      await terminal.until("❯ /agent narrator");
      terminal.press("Enter");
      await terminal.until("new session · narrator");
      terminal.type("Read @notes", "Tab");
      await terminal.until("❯ Read @notes-of-today.md");
      terminal.press("Enter");
      await terminal.until("Attached: notes-of-today.md is at /attachments/notes-of-today.md");
      await terminal.until(/idle · narrator/);
      await Bun.write(join(stage.directory, "dot.gif"), GIF);
      terminal.type("And @dot.gif", "Enter");
      await terminal.until(/❯ And @dot\.gif\n +\[image dot\.gif\]/);
      await terminal.until(/\[image dot[\s\S]*The end\.[\s\S]*idle · narrator/);
      terminal.type("@nowhere.md", "Enter");
      await terminal.until("✗ the message was not sent: there is no file nowhere.md");
      await terminal.until("❯ @nowhere.md");
      expect(statSync(join(stage.directory, "config/chat-history")).mode & 0o777).toBe(0o600);
    },
  },
  {
    name: "/export writes the session, and asks before it overwrites",
    async play(stage) {
      const terminal = await asked(stage, "scribe");
      await terminal.until(AT_REST);
      terminal.type("/export session.md", "Enter");
      await terminal.until("written: ");
      const text = await Bun.file(join(stage.directory, "session.md")).text();
      expect(text).toContain("## User\n\nKeep a note\n");
      expect(text).toContain('"path": "/kyiv.md"');
      await Bun.write(join(stage.directory, "session.md"), "mine");
      terminal.type("/export session.md", "Enter");
      await terminal.until("? session.md exists. Overwrite it?");
      terminal.press("Escape");
      await terminal.until("session.md stays as it was");
      expect(await Bun.file(join(stage.directory, "session.md")).text()).toBe("mine");
      terminal.type("/export session.md", "Enter");
      await terminal.until(/\? session.md exists/);
      terminal.type("y", "Enter");
      await terminal.until(/written: [\s\S]*written: /);
      expect(await Bun.file(join(stage.directory, "session.md")).text()).toBe(text);
    },
  },
  {
    name: "/compact goes on in a new session from a summary; Escape leaves everything as it was",
    async play(stage) {
      const terminal = await asked(stage, "narrator");
      await terminal.until(AT_REST);
      terminal.type("/compact", "Enter");
      await terminal.until("summing the conversation up");
      terminal.press("Escape");
      await terminal.until("not compacted: the session stays as it is");
      terminal.type("/compact", "Enter");
      await terminal.until("goes on from a summary of");
      await terminal.until(/the whole conversation stays: \/sessions\s+session_[\s\S]*started · narrator/);
    },
  },
];

/** @param command  the program, whose `chat` is played */
export function describeChat(name: string, command: () => readonly string[]): void {
  describe.skipIf(!hasTmux)(
    `everruns chat of ${name}, in a real terminal (only where tmux is installed)`,
    () => {
      let stage: Stage;
      const openInTest = terminalsOfTests();

      beforeAll(async () => {
        const world = await startChatWorld();
        const directory = mkdtempSync(join(tmpdir(), "everruns-chat-"));
        stage = {
          world,
          directory,
          open(args = [], options = {}) {
            const env = { EVERRUNS_CONFIG: join(directory, "config/config.json"), ...options.env };
            const line = [...command(), "chat", ...args, "--api-url", world.url];
            return openInTest(line, { cwd: directory, ...options, env });
          },
          golden: (name, screen) => expectGolden(`chat/${name}.txt`, `${masked(screen)}\n`),
        };
      });
      afterAll(async () => {
        await stage.world.close();
        rmSync(stage.directory, { recursive: true, force: true });
      });

      for (const scene of SCENES) test(scene.name, () => scene.play(stage), 60_000);
    },
  );
}
