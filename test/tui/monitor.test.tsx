/** The monitor: frames as pure functions, and keys against the real API with a real worker. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { render } from "ink-testing-library";
import { createClient } from "../../src/client/client.ts";
import { CATALOG, type Resource } from "../../src/client/resources.ts";
import { frame } from "../../src/tui/monitor/frame.ts";
import { MonitorApp } from "../../src/tui/monitor/monitor.tsx";
import { type MonitorState, visibleItems } from "../../src/tui/monitor/state.ts";
import { Monitor } from "../../src/tui/monitor/store.ts";
import { paintWith } from "../../src/tui/theme.ts";
import { type LiveServer, startServer } from "../support/live.ts";
import { isIdle, logOnce, newSession, send } from "../support/sessions.ts";
import { startWaiting, type Waiting } from "../support/waiting.ts";

const paint = paintWith(false);
const runs = CATALOG.find(({ name }) => name === "runs") as Resource;
const state = (change: Partial<MonitorState> = {}): MonitorState => ({
  server: "here",
  view: "resource",
  resource: runs,
  items: [],
  total: 0,
  widths: [],
  selectedId: null,
  filter: "",
  sort: null,
  prompt: null,
  detail: null,
  isHelp: false,
  overview: null,
  trouble: null,
  note: null,
  isReadonly: false,
  ...change,
});
const run = (number: number, status: string) => ({
  id: `turn_${number}`,
  status,
  attempt: number,
  iterations: 1,
  session_id: `session_${number}`,
  error: "\u001b[31mred",
});
const items = [run(1, "failed"), run(2, "running"), run(10, "failed")];
const widths = [10, 8, 8, 11, 7, 12, 5];

describe("a frame", () => {
  test.each([
    [80, 24],
    [40, 10],
    [200, 60],
    [20, 5],
  ])("is exactly %d × %d at most, whatever it shows", (columns, rows) => {
    const many = Array.from({ length: 300 }, (_, at) => run(at, "completed"));
    const long = { id: "x", lines: Array.from({ length: 500 }, () => "日本 ".repeat(80)), scroll: 3 };
    for (const change of [
      { items: many, total: 300, widths },
      { detail: long },
      { isHelp: true },
      { trouble: "x".repeat(500) },
      { filter: "nothing has this", items },
      { prompt: { kind: "confirm" as const, text: "", question: "y".repeat(300) } },
    ]) {
      const lines = frame(state(change), { columns, rows, paint });
      expect(lines.length).toBeLessThanOrEqual(rows);
      for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(columns);
      expect(lines.join("")).not.toContain("\u001b[31m");
    }
  });

  test("columns stay where they were when a row comes that is shorter", () => {
    const at = (shown: typeof items) =>
      frame(state({ items: shown, total: 1, widths }), { columns: 120, rows: 20, paint })[3]?.indexOf(
        "SESSION",
      );
    expect(at(items)).toBe(at([]) as number);
  });

  test("the filter keeps what has the text, with ! what has it not; numbers sort as numbers", () => {
    const ids = (change: Partial<MonitorState>) =>
      visibleItems(state({ items, ...change })).map(({ id }) => id);
    expect(ids({ filter: "FAILED" })).toEqual(["turn_1", "turn_10"]);
    expect(ids({ filter: "!failed" })).toEqual(["turn_2"]);
    expect(ids({ sort: { column: 0, isDescending: true } })).toEqual(["turn_10", "turn_2", "turn_1"]);
  });
});

describe("keys", () => {
  let it: Waiting;
  let server: LiveServer;
  let close = () => {};
  beforeAll(async () => {
    it = await startWaiting();
    server = await startServer(it.app.db);
  });
  afterEach(() => close());
  afterAll(async () => {
    await server.stop();
    await it.close();
  });

  function open(options: { isReadonly?: boolean } = {}) {
    const client = createClient({ baseUrl: server.url, apiKey: null });
    let hasQuit = false;
    const monitor = new Monitor({
      client,
      server: "here",
      isReadonly: options.isReadonly ?? false,
      onQuit: () => {
        hasQuit = true;
      },
    });
    const signal = new AbortController().signal;
    const app = render(<MonitorApp monitor={monitor} paint={paint} signal={signal} onReady={() => {}} />);
    void monitor.run();
    close = () => {
      monitor.close();
      app.unmount();
    };
    const until = async (text: string | RegExp) => {
      const shows = () => {
        const shown = Bun.stripANSI(app.lastFrame() ?? "");
        return typeof text === "string" ? shown.includes(text) : text.test(shown);
      };
      while (!shows()) await new Promise((resolve) => setImmediate(resolve));
      return Bun.stripANSI(app.lastFrame() ?? "");
    };
    return { press: (keys: string) => app.stdin.write(keys), until, quit: () => hasQuit };
  }

  test("the overview says first whether anything is broken, and who waits", async () => {
    const { session } = await it.waiting([{ name: "charge", arguments: { amount: 1 } }], {
      capabilities: [{ ref: "tool_approval", config: { mode: "normal" } }],
    });
    const monitor = open();
    const shown = await monitor.until("1 call for a person to decide");
    expect(shown).toContain("1 approval, the oldest for");
    monitor.press(":approvals\r");
    await monitor.until(/pending +charge/);
    monitor.press("a");
    await monitor.until("approve: 1 done   POST /v1/approvals/approval_");
    await logOnce(it.app.db, session, isIdle);
    expect(it.ran.splice(0).map(({ input }) => input)).toEqual([{ amount: 1 }]);
    await monitor.until("no approvals");
  });

  test("a list is filtered while one types; Enter opens, Escape goes back step by step", async () => {
    const session = await newSession(it.app.db);
    await send(it.app.db, session, "look at me");
    it.engine.hint();
    await logOnce(it.app.db, session, isIdle);
    const monitor = open();
    monitor.press(":ses\r");
    await monitor.until(session);
    monitor.press(`/${session.slice(-6)}`);
    await monitor.until(`· sessions 1 of`);
    monitor.press("\r");
    monitor.press("\r");
    await monitor.until(/turn\.completed +.*[\s\S]*session\.idled/);
    monitor.press("\u001b");
    await monitor.until("Enter open");
    monitor.press("\u001b");
    await monitor.until(/· sessions \d+ *\n/);
    monitor.press("\u001b");
    await monitor.until("· overview");
    monitor.press(":nonsense\r");
    await monitor.until("there is no :nonsense; there are overview agents");
    monitor.press("q");
    expect(monitor.quit()).toBe(true);
  });

  test("what could hurt asks first, and read-only changes nothing", async () => {
    const waiting = await it.waiting([{ name: "charge", arguments: { amount: 2 } }], {
      capabilities: [{ ref: "tool_approval", config: { mode: "normal" } }],
    });
    const looking = open({ isReadonly: true });
    looking.press(":runs\r");
    await looking.until("waiting");
    expect(await looking.until("read-only")).not.toContain("c cancel");
    looking.press("c");
    await looking.until("read-only: nothing can be changed here");
    close();
    const monitor = open();
    monitor.press(":runs\r");
    await monitor.until("c cancel");
    monitor.press("/waiting\r");
    await monitor.until("· runs 1 of");
    monitor.press("c");
    await monitor.until(/cancel turn_[0-9a-f]+\? y\/n/);
    monitor.press("n");
    await monitor.until("nothing was done");
    expect((await it.run(waiting.session)).state).toBe("waiting");
    monitor.press("c");
    await monitor.until("y/n");
    monitor.press("y");
    await monitor.until("cancel: 1 done");
    expect((await it.run(waiting.session)).state).toBe("cancelled");
  });

  test("a server that is gone is told, and looked for again", async () => {
    const monitor = open();
    await monitor.until("all well");
    const { stop } = server;
    await stop();
    monitor.press(":runs\r");
    await monitor.until("no server at");
    server = await startServer(it.app.db);
  });
});
