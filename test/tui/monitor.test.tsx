/** The monitor's keys against the real API with a real worker. */
import { afterAll, afterEach, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { render } from "ink-testing-library";
// Ink's, for what it measured and wrapped.
import Remembered from "quick-lru";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { createClient } from "../../src/client/client.ts";
import type { Event } from "../../src/contract/event.ts";
import { MonitorApp } from "../../src/tui/monitor/monitor.tsx";
import { Monitor } from "../../src/tui/monitor/store.ts";
import { type LiveServer, startServer } from "../support/live.ts";
import { script } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, send } from "../support/sessions.ts";
import { startWaiting, type Waiting } from "../support/waiting.ts";
import { paint } from "./support/monitor-state.ts";

/** Not a wait: the point at which a test has failed. */
const GIVE_UP_MS = 15_000;
const APPROVAL = { capabilities: [{ ref: "tool_approval", config: { mode: "normal" } }] };

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

  function open(options: { isReadonly?: boolean; clock?: Clock } = {}) {
    const client = createClient({ baseUrl: server.url, apiKey: null });
    let hasQuit = false;
    const monitor = new Monitor({
      client,
      server: "here",
      isReadonly: options.isReadonly ?? false,
      onQuit: () => {
        hasQuit = true;
      },
      ...(options.clock ? { clock: options.clock } : {}),
    });
    const signal = new AbortController().signal;
    const app = render(<MonitorApp monitor={monitor} paint={paint} signal={signal} onReady={() => {}} />);
    void monitor.run();
    close = () => {
      monitor.close();
      app.unmount();
    };
    const shown = () => Bun.stripANSI(app.lastFrame() ?? "");
    const until = async (text: string | RegExp) => {
      const shows = () => (typeof text === "string" ? shown().includes(text) : text.test(shown()));
      const deadline = Date.now() + GIVE_UP_MS;
      while (!shows()) {
        if (Date.now() > deadline) throw new Error(`never on the screen: ${text}\n${shown()}`);
        await Bun.sleep(1);
      }
      return shown();
    };
    return { press: (keys: string) => app.stdin.write(keys), until, quit: () => hasQuit };
  }

  test("the overview says first whether anything is broken, and who waits; the inbox decides", async () => {
    const { session } = await it.waiting([{ name: "charge", arguments: { amount: 1 } }], APPROVAL);
    const monitor = open();
    const shown = await monitor.until("1 to decide");
    expect(shown).toContain("WAIT FOR A PERSON, OLDEST FIRST");
    expect(shown).toContain('{"amount":1}');
    monitor.press("2");
    await monitor.until(/❯ .*charge/);
    monitor.press("a");
    await monitor.until(/approve: done *(·|\n) *everruns approvals approve approval_/);
    await logOnce(it.app.db, session, isIdle);
    expect(it.ran.splice(0).map(({ input }) => input)).toEqual([{ amount: 1 }]);
    await monitor.until("nobody is waited for");
  });

  test("A allows the call and every later one of its tool in the session", async () => {
    const calls = [
      { name: "charge", arguments: { amount: 4 } },
      { name: "charge", arguments: { amount: 5 } },
    ];
    const { session } = await it.waiting(calls.slice(0, 1), APPROVAL);
    const monitor = open();
    monitor.press("2");
    await monitor.until(/❯ .*charge[\s\S]*a approve · A always · d deny/);
    monitor.press("A");
    await monitor.until(/always: done *(·|\n) *everruns approvals approve-always approval_/);
    await logOnce(it.app.db, session, isIdle);
    const message = `Again.\n${script([{ tool_calls: calls.slice(1) }, { text: "Done." }])}`;
    await send(it.app.db, session, message);
    it.engine.hint();
    const turns = (events: readonly Event[]) => events.filter(({ type }) => type === "session.idled").length;
    await logOnce(it.app.db, session, (events) => turns(events) === 2);
    expect(it.ran.splice(0).map(({ input }) => input)).toEqual([{ amount: 4 }, { amount: 5 }]);
    monitor.press(`:${session}\r`);
    await monitor.until(/Again/);
    monitor.press("?");
    await monitor.until("the overview: is anything broken");
    monitor.press("G");
    await monitor.until(/a A d +a call that waits: allow it once/);
  });

  test("frames are drawn line by line: what Ink remembers of them stays small", async () => {
    const remember = spyOn(Remembered.prototype, "set");
    // What another test has shown is remembered already, and only looked up.
    const look = spyOn(Remembered.prototype, "get");
    const monitor = open();
    await monitor.until("breakers");
    const texts = [...remember.mock.calls, ...look.mock.calls].map(([text]) => String(text));
    remember.mockRestore();
    look.mockRestore();
    expect(texts.some((text) => text.includes("workers"))).toBe(true);
    expect(texts.filter((text) => text.includes("\n"))).toEqual([]);
  });

  test("a call is denied with a reason, which the model reads", async () => {
    const { session } = await it.waiting([{ name: "charge", arguments: { amount: 3 } }], APPROVAL);
    const monitor = open();
    monitor.press("2");
    await monitor.until(/❯ .*charge/);
    monitor.press("d");
    await monitor.until("why not?");
    monitor.press("\u001b");
    await monitor.until("nothing was done");
    monitor.press("d");
    await monitor.until("why not?");
    monitor.press("too dear\r");
    await monitor.until(/deny: done · POST \/v1\/approvals\/approval_/);
    const events = await logOnce(it.app.db, session, isIdle);
    expect(JSON.stringify(events)).toContain("too dear");
    expect(it.ran).toEqual([]);
  });

  test("what changes is on the screen although nothing is polled", async () => {
    const POLL_MS = 1_000;
    const clock: Clock = {
      ...systemClock,
      // The time of the next poll never comes.
      sleep: (ms, signal) => systemClock.sleep(ms >= POLL_MS ? 2 ** 30 : ms, signal),
    };
    const monitor = open({ clock });
    monitor.press(":runs\r");
    await monitor.until(/runs · \d/);
    for (let turn = 0; turn < 3; turn += 1) {
      const { session } = await it.waiting([{ name: "charge", arguments: { amount: turn } }], APPROVAL);
      await monitor.until(new RegExp(`waiting .*…${session.slice(-8)}`));
      await it.app.post(`/sessions/${session}/cancel`, {});
      await monitor.until(new RegExp(`cancelled .*…${session.slice(-8)}`));
    }
  });

  test("a list is filtered while one types; Enter opens, Escape goes back step by step", async () => {
    const session: string = (await it.app.post("/sessions", {})).body.id;
    await send(it.app.db, session, "look at me");
    it.engine.hint();
    await logOnce(it.app.db, session, isIdle);
    const monitor = open();
    monitor.press(":ses\r");
    await monitor.until(`…${session.slice(-8)}`);
    monitor.press(`/${session.slice(-6)}`);
    await monitor.until("sessions · 1 of");
    monitor.press("\r");
    monitor.press("\r");
    await monitor.until(/❯ look at me[\s\S]*● /);
    monitor.press("\t");
    await monitor.until(/session\.idled[\s\S]*── session\.idled \d+[\s\S]*"iterations": 1/);
    monitor.press("k");
    await monitor.until("── turn.completed");
    monitor.press("\r");
    await monitor.until(/\nturn\.completed \d+ *\n\{/);
    monitor.press("\u001b");
    await monitor.until("[events]");
    monitor.press("\t");
    await monitor.until("no files");
    monitor.press("\t");
    await monitor.until(/completed .*\$0\.00/);
    monitor.press("\t");
    await monitor.until("no tasks");
    monitor.press("\u001b");
    await monitor.until("/ filter");
    monitor.press("\u001b");
    await monitor.until(/\nsessions · \d+ *\n/);
    monitor.press("\u001b");
    await monitor.until("broken");
    // One piece, as a fast typist's keys arrive.
    monitor.press(":agents\u0015nonsense\r");
    await monitor.until("there is no :nonsense; Tab completes a name");
    monitor.press("q");
    expect(monitor.quit()).toBe(true);
  });

  test("what could hurt asks first, and read-only changes nothing", async () => {
    const waiting = await it.waiting([{ name: "charge", arguments: { amount: 2 } }], APPROVAL);
    const looking = open({ isReadonly: true });
    looking.press(":runs\r");
    await looking.until("waits for approval");
    expect(await looking.until("read-only")).not.toContain("c cancel");
    looking.press("c");
    await looking.until("read-only: nothing can be changed here");
    close();
    const monitor = open();
    monitor.press(":runs waiting\r");
    await monitor.until(/runs status=waiting · 1\n/);
    monitor.press("c");
    await monitor.until(/cancel turn_[0-9a-f]+\? y\/n/);
    monitor.press("n");
    await monitor.until("nothing was done");
    expect((await it.run(waiting.session)).state).toBe("waiting");
    monitor.press("c");
    await monitor.until("y/n");
    monitor.press("y");
    await monitor.until(/cancel: done: [\s\S]*everruns runs cancel turn_/);
    expect((await it.run(waiting.session)).state).toBe("cancelled");
  });

  test("all that the filter shows are marked and cancelled at once, after a question", async () => {
    const waiting = [];
    for (let amount = 0; amount < 3; amount += 1) {
      waiting.push(await it.waiting([{ name: "charge", arguments: { amount } }], APPROVAL));
    }
    const monitor = open();
    monitor.press(":runs\r");
    await monitor.until(/waits for approval/);
    monitor.press("/waits for\r");
    await monitor.until("runs · 3 of");
    monitor.press("\u0001");
    await monitor.until("3 marked");
    monitor.press("c");
    await monitor.until(/! cancel 3 runs.*\? y\/n/);
    monitor.press("y");
    await monitor.until("cancel: 3 done · everruns runs cancel <id>");
    for (const { session } of waiting) expect((await it.run(session)).state).toBe("cancelled");
    await monitor.until('nothing has "waits for"');
  });

  test("a dead run is looked at and requeued, and its session forked", async () => {
    const session = await newSession(it.app.db);
    await send(
      it.app.db,
      session,
      "```llmsim\nsteps:\n  - error: { code: provider_quota_exhausted, times: 1 }\n  - text: Now it works.\n```",
    );
    it.engine.hint();
    await logOnce(it.app.db, session, isIdle);
    const monitor = open();
    monitor.press("9");
    await monitor.until(/provider_quota_exhausted/);
    monitor.press("\r");
    await monitor.until(/\nrun turn_[\s\S]*status +failed[\s\S]*STEP/);
    monitor.press("\r");
    await monitor.until(/session_[0-9a-f]+ · idle/);
    monitor.press("f");
    await monitor.until(/fork: done: session_[0-9a-f]{32}/);
    monitor.press("\u001b");
    await monitor.until("Enter session");
    monitor.press("\u001b");
    await monitor.until("r requeue");
    monitor.press("r");
    await monitor.until("requeue: done · everruns dead-runs retry ");
    await monitor.until("no run is dead");
  });

  test("a server that is gone is told with the time, and looked for again", async () => {
    const monitor = open();
    await monitor.until("api ");
    const { url, stop } = server;
    await stop();
    monitor.press("4");
    await monitor.until(/✗ since \d\d:\d\d:\d\dZ, \d+s: no server at/);
    server = await startServer(it.app.db, { port: Number(new URL(url).port) });
    await monitor.until(/api [\s\S]*runs · \d+/);
  });
});
