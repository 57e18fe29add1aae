/**
 * The monitor in a real terminal, scene by scene. The same table is played by the sources and by the executable, and
 * both must show the same screens.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { expectGolden } from "../../support/golden.ts";
import { until } from "../../support/live.ts";
import { addWaiting, type MonitorWorld, masked, startMonitorWorld } from "./monitor-world.ts";
import { terminalsOfTests } from "./terminals.ts";
import { hasTmux, type Terminal, type TerminalOptions } from "./tmux.ts";

interface Stage {
  world: MonitorWorld;
  open(args?: readonly string[], options?: TerminalOptions): Terminal;
  /** Compares the screen with test/golden/monitor, once it shows this and has been drawn to its end. */
  golden(name: string, terminal: Terminal, shown: string | RegExp): Promise<void>;
}

interface Scene {
  name: string;
  play(stage: Stage): Promise<void>;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: a colour begins with one
const SGR = /\u001b\[[0-9;]*m/g;
/** Drawn for 40 columns: the terminal alone, made smaller, would have cut the line without a sign. */
const SMALL = /queue…\n[\s\S]*❯/;
/** Opens it at 80 × 24 and waits for the overview. */
const atOverview = async (stage: Stage, options?: TerminalOptions) => {
  const terminal = stage.open([], options);
  await terminal.until(/api \d[\s\S]*ENDED BADLY/);
  return terminal;
};

/** Keys to a view, and what is there when it has been read. */
const VIEWS: readonly [name: string, keys: string, shown: RegExp][] = [
  ["approvals", "2", /❯ .*write_file/],
  ["sessions", "3", /❯ [\s\S]*Where the invoices/],
  ["runs", "4", /❯ .*running[\s\S]*queued/],
  ["queue", "5", /no worker has a free slot/],
  ["workers", "6", /❯ .*running/],
  ["providers", "7", /old-model open/],
  ["schedules", "8", /nightly-report/],
  ["dead", "9", /❯ .*the script asked/],
];

const SCENES: readonly Scene[] = [
  {
    name: "the overview fits 80 × 24 and says what is broken and who waits",
    async play(stage) {
      const terminal = await atOverview(stage);
      const shown = await terminal.until("1 waiting");
      expect(shown.split("\n").length).toBeLessThanOrEqual(24);
      await stage.golden("overview", terminal, "1 waiting");
    },
  },
  ...VIEWS.map(
    ([name, keys, shown]): Scene => ({
      name: `the view of ${name}`,
      async play(stage) {
        const terminal = await atOverview(stage);
        terminal.type(keys);
        await stage.golden(name, terminal, shown);
      },
    }),
  ),
  {
    name: "a filter while one types, its opposite, and an order",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type(":se", "Tab");
      await terminal.until(/:sessions\s/);
      terminal.press("Enter");
      await terminal.until("sessions · 7");
      terminal.type("/note", "Enter");
      await terminal.until("sessions · 1 of 7");
      terminal.type("/", "C-u");
      terminal.type("!note", "Enter");
      await stage.golden("filter", terminal, "sessions · 6 of 7 · /!note");
      terminal.press("Escape");
      await terminal.until(/sessions · 7\n/);
      for (let column = 0; column < 7; column += 1) terminal.type("s");
      terminal.type("S");
      await stage.golden("sort", terminal, "by title ↓");
    },
  },
  {
    name: "what a worker holds, and for how long",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type("6");
      await terminal.until(/❯ .*running/);
      terminal.press("Enter");
      await stage.golden("leases", terminal, /leases worker=worker-\S+ · 1\n[\s\S]*❯/);
    },
  },
  {
    name: "a command with a condition, and one that is mistyped",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type(":runs failed", "Enter");
      await terminal.until("runs status=failed · 1");
      terminal.type(":rums", "Enter");
      await stage.golden("mistyped", terminal, "there is no :rums");
    },
  },
  {
    name: "one session: transcript, events with their JSON, files, cost",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type(":sessions", "Enter");
      await terminal.until("Keep a note");
      terminal.type("/Keep a note", "Enter");
      await terminal.until("sessions · 1 of 7");
      terminal.press("Enter");
      await stage.golden("session", terminal, /idle · Keep a note[\s\S]*● Kept\./);
      terminal.press("Tab");
      await terminal.until("── session.idled");
      terminal.press("Up");
      await stage.golden("session-events", terminal, "── turn.completed");
      terminal.press("Enter");
      await terminal.until(/turn\.completed \d+\n\{/);
      terminal.press("Escape");
      await terminal.until("[events]");
      terminal.press("Tab");
      await stage.golden("session-files", terminal, "/note.md");
      terminal.press("Enter");
      await stage.golden("session-file", terminal, /# A note\n\nKept\./);
      terminal.press("Escape");
      await terminal.until("[files]");
      terminal.press("Tab");
      await stage.golden("session-cost", terminal, /\[cost\][\s\S]*completed/);
    },
  },
  {
    name: "one run with its steps, and the JSON of a row",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type(":runs waiting", "Enter");
      await terminal.until("runs status=waiting · 1");
      terminal.type("y");
      await terminal.until('"waiting_on": "approval"');
      terminal.press("Escape");
      await terminal.until("runs status=waiting · 1");
      terminal.press("Enter");
      await stage.golden("run", terminal, /reason:1 +settled/);
    },
  },
  {
    name: "the help",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type("?");
      await stage.golden("help", terminal, "j k");
    },
  },
  {
    name: "40 × 12, and back to a larger window",
    async play(stage) {
      const terminal = await atOverview(stage, { columns: 100, rows: 30 });
      terminal.type("3");
      await terminal.until("Where the invoices");
      terminal.resize(40, 12);
      const small = await terminal.until(SMALL);
      expect(small.split("\n").length).toBeLessThanOrEqual(12);
      for (const line of small.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(40);
      await stage.golden("sessions-40x12", terminal, SMALL);
      terminal.type("1");
      await stage.golden("overview-40x12", terminal, /queue…\n[\s\S]*broken/);
      terminal.resize(100, 30);
      await stage.golden("overview-100x30", terminal, /ENDED BADLY[\s\S]*failed/);
    },
  },
  {
    name: "without colours when NO_COLOR says so: reverse video marks what is chosen",
    async play(stage) {
      const coloured = await atOverview(stage);
      const plain = await atOverview(stage, { env: { NO_COLOR: "1" } });
      for (const terminal of [coloured, plain]) {
        terminal.type("4");
        await terminal.until("❯");
      }
      const colours = (terminal: Terminal) =>
        // Reverse video marks what is chosen and is no colour.
        (terminal.ansi().match(SGR) ?? []).filter(
          (code) => !["[m", "[0m", "[7m", "[27m", "[39m", "[49m"].includes(code.slice(1)),
        );
      expect(colours(plain)).toEqual([]);
      expect(colours(coloured).some((code) => /\[3[1-6]m/.test(code))).toBe(true);
    },
  },
  {
    name: "--readonly refuses",
    async play(stage) {
      const terminal = stage.open(["--readonly"]);
      await terminal.until("ENDED BADLY");
      terminal.type("9");
      await terminal.until(/❯ .*the script asked/);
      terminal.type("r");
      await stage.golden("readonly", terminal, "read-only: nothing can be changed here");
    },
  },
  {
    name: "a server that goes away and comes back",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type("3");
      await terminal.until("Where the invoices");
      await stage.world.stopServer();
      const gone = await terminal.until(/✗ since \d\d:\d\d:\d\dZ, +\d+s/);
      expect(gone).toContain("Where the invoices");
      await stage.world.startServer();
      await terminal.until(/! api \d/);
    },
  },
  {
    name: "a worker is drained after a question, and taken back",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type("6");
      await terminal.until(/❯ .*running/);
      terminal.type("w");
      await terminal.until(/! drain \S+\? y\/n/);
      terminal.type("n");
      await terminal.until("nothing was done");
      await terminal.until(/❯ .*running/);
      terminal.type("w");
      await terminal.until("y/n");
      terminal.type("y");
      await stage.golden("drained", terminal, /workers 0\/1[\s\S]*❯ .*draining[\s\S]*drain: done/);
      terminal.type("u");
      await terminal.until(/❯ .*running[\s\S]*undrain: done/);
    },
  },
  {
    name: "a run is cancelled, and with its slot the queue moves on",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type(":runs running", "Enter");
      await terminal.until("runs status=running · 1");
      terminal.type("c");
      await terminal.until(/! cancel turn_[0-9a-f]{32}\? y\/n/);
      terminal.type("y");
      await terminal.until(/cancel: done: .*\neverruns runs cancel turn_/);
      terminal.type("5");
      await terminal.until("the queue is empty");
    },
  },
  {
    name: "the oldest call is approved from the inbox",
    async play(stage) {
      const terminal = await atOverview(stage);
      terminal.type("2");
      await terminal.until(/❯ .*write_file/);
      terminal.type("a");
      await terminal.until(/approve: done\neverruns approvals approve approval_/);
      await terminal.until("nobody is waited for");
    },
  },
  {
    name: "everything that a filter shows is cancelled at once",
    async play(stage) {
      const sessions = await addWaiting(stage.world, 3);
      for (const session of sessions) await stage.world.reaches(session, "waiting");
      const terminal = await atOverview(stage);
      terminal.type(":runs", "Enter");
      await terminal.until("waits for approval");
      terminal.type("/waits for", "Enter");
      await terminal.until(/runs · 3 of/);
      terminal.press("C-a");
      await terminal.until("3 marked");
      // Workers tell their load every five seconds: it may be that of the moment before the runs began to wait.
      await terminal.until(/workers 1\/1 {2}/);
      terminal.type("c");
      await stage.golden("bulk", terminal, /! cancel 3 runs\? y\/n/);
      terminal.type("y");
      await terminal.until("cancel: 3 done · everruns runs cancel <id>");
      for (const session of sessions) await stage.world.reaches(session, "cancelled");
    },
  },
];

/** Ways out; each must leave the terminal as it was. */
const EXITS: readonly [name: string, code: number, leave: (terminal: Terminal, pid: number) => void][] = [
  ["q", 0, (terminal) => terminal.type("q")],
  [":q", 0, (terminal) => terminal.type(":q", "Enter")],
  ["Ctrl+C", 0, (terminal) => terminal.press("C-c")],
  ["SIGTERM", 0, (_terminal, pid) => process.kill(pid, "SIGTERM")],
];

/** The masked screen, twice the same: a capture may come in the midst of a frame. */
async function drawn(terminal: Terminal, shown: string | RegExp): Promise<string> {
  let before = "";
  let screen = masked(await terminal.until(shown));
  while (screen !== before) {
    before = screen;
    await Bun.sleep(LOOK_AGAIN_MS);
    screen = masked(await terminal.until(shown));
  }
  return screen;
}
const LOOK_AGAIN_MS = 60;

/** @param command  the program, called when the tests run */
export function describeMonitor(name: string, command: () => readonly string[]): void {
  describe.skipIf(!hasTmux)(
    `everruns monitor of ${name}, in a real terminal (only where tmux is installed)`,
    () => {
      let stage: Stage;
      const openInTest = terminalsOfTests();
      /** Its processes, told by the address that no other has. */
      const processes = () =>
        Bun.spawnSync(["pgrep", "-f", `monitor --api-url ${stage.world.url}$`])
          .stdout.toString()
          .trim();

      beforeAll(async () => {
        const world = await startMonitorWorld();
        stage = {
          world,
          open: (args = [], options = {}) =>
            openInTest([...command(), "monitor", ...args, "--api-url", world.url], options),
          async golden(name, terminal, shown) {
            const screen = await drawn(terminal, shown);
            expectGolden(`monitor/${name}.txt`, `${screen}\n`);
          },
        };
      });
      afterAll(() => stage.world.close());

      for (const scene of SCENES) test(scene.name, () => scene.play(stage), 60_000);

      for (const [way, code, leave] of EXITS) {
        test(`leaves the terminal as it was: ${way}`, async () => {
          const terminal = stage.open();
          await terminal.until("to decide");
          expect(terminal.modes()).toEqual({ isAlternate: true, isCursorShown: false });
          leave(terminal, Number(processes().split("\n")[0]));
          const left = await terminal.until(`exit code ${code}`);
          expect(left).not.toContain("to decide");
          expect(terminal.modes()).toEqual({ isAlternate: false, isCursorShown: true });
        }, 30_000);
      }

      test("ends with its terminal", async () => {
        const terminal = stage.open();
        await terminal.until("to decide");
        expect(processes()).not.toBe("");
        terminal.close();
        await until(() => processes() === "");
      }, 30_000);
    },
  );
}
