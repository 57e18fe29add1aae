/** What the monitor keeps and says, against a server that is told what to answer. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Clock, manualClock } from "../../src/base/clock.ts";
import { createClient } from "../../src/client/client.ts";
import { frame } from "../../src/tui/monitor/frame.ts";
import type { MonitorKey } from "../../src/tui/monitor/keys.ts";
import { loadList, ROWS_MAX } from "../../src/tui/monitor/load.ts";
import { type ListPlace, listPlace, placeOf } from "../../src/tui/monitor/state.ts";
import { Monitor } from "../../src/tui/monitor/store.ts";
import { type View, viewOf } from "../../src/tui/monitor/views.ts";
import { until } from "../support/live.ts";
import { screenOf } from "./support/monitor-state.ts";

type Answer = (url: URL) => Response | null;

const problem = (status: number, detail: string) =>
  Response.json({ title: "x", status, detail, code: "x" }, { status });
const STATS = { total: 0, started: 0, active: 0, idle: 0, waiting_for_tool_results: 0 };

/** A server without anything in it. */
function empty(url: URL): Response {
  if (url.pathname === "/ready") return Response.json({ status: "ready" });
  if (url.pathname.endsWith("/sessions/stats")) return Response.json(STATS);
  if (url.pathname.endsWith("/durable/health")) return problem(403, "only an admin may do this");
  return Response.json({ data: [], total: 0, offset: 0, limit: 100 });
}

/** Whatever is under way without a clock has come to rest. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

let monitor: Monitor | null = null;
afterEach(() => monitor?.close());

function open(answer: Answer = () => null, clock?: Clock) {
  const asked: string[] = [];
  const client = createClient({
    baseUrl: "http://server",
    apiKey: null,
    fetch: async (text) => {
      const url = new URL(text);
      asked.push(`${url.pathname}${url.search}`);
      return answer(url) ?? empty(url);
    },
  });
  monitor = new Monitor({
    client,
    server: "here",
    isReadonly: false,
    onQuit() {},
    ...(clock ? { clock } : {}),
  });
  const it = monitor;
  void it.run();
  const shown = () => frame(it.snapshot(), screenOf(100, 24)).lines.join("\n");
  const press = (...keys: (string | NonNullable<MonitorKey["name"]>)[]) => {
    for (const key of keys) {
      it.press(
        key.length === 1 ? { input: key, name: null } : { input: "", name: key as MonitorKey["name"] },
      );
    }
  };
  return { client, monitor: it, shown, press, asked };
}

describe("a server", () => {
  test("that does not know us: says since when, and what to do", async () => {
    const { shown } = open(() => problem(401, "A key is needed."));
    await until(() => shown().includes("✗ since"));
    expect(shown()).toMatch(
      /✗ since \d\d:\d\d:\d\dZ, \d+s: A key is needed; q, then sign in with everruns login or set/,
    );
  });

  test("that does not show us a list: says so in its place, and the rest goes on", async () => {
    const { shown, press } = open((url) =>
      url.pathname.endsWith("/durable/workers") ? problem(403, "only an admin may do this") : null,
    );
    await until(() => shown().includes("only an admin of the installation sees them"));
    press("6");
    await until(() => shown().includes("✗ only an admin may do this; another key or --context may see it"));
    expect(shown()).toContain("✓ api");
  });

  test("that answers with an error once: the same since stands until it is well", async () => {
    let isBroken = true;
    const { shown, press } = open(() => (isBroken ? problem(503, "the database is gone") : null));
    await until(() => shown().includes("the database is gone"));
    isBroken = false;
    press("4");
    await until(() => shown().includes("✓ api"));
  });

  test("that has no session of that name: says so", async () => {
    const { shown, press } = open((url) =>
      url.pathname.includes("/sessions/session_") ? problem(404, "Session not found") : null,
    );
    press(":", ..."session_", ..."0".repeat(32), "enter");
    await until(() => shown().includes("✗ Session not found"));
  });
});

describe("the stream of changes", () => {
  const isFeed = (url: URL) => url.pathname.endsWith("/durable/sse");
  const readings = (asked: readonly string[]) => asked.filter((path) => path === "/ready").length;

  test("makes it read again, but never more than every so often", async () => {
    let changed = () => {};
    const clock = manualClock();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        changed = () => controller.enqueue(new TextEncoder().encode("event: snapshot\ndata: {}\n\n"));
      },
    });
    const { asked, shown } = open(
      (url) =>
        isFeed(url) ? new Response(body, { headers: { "content-type": "text/event-stream" } }) : null,
      clock,
    );
    await until(() => shown().includes("✓ api"));
    expect(readings(asked)).toBe(1);
    for (let at = 0; at < 50; at += 1) changed();
    await settled();
    expect(readings(asked)).toBe(1);
    await clock.advance(400);
    await until(() => readings(asked) === 2);
    // All of them are told by that.
    await settled();
    await clock.advance(400);
    await settled();
    expect(readings(asked)).toBe(2);
    changed();
    await until(() => readings(asked) === 3);
  });

  test("that is refused is not asked for again, and the lists are polled", async () => {
    const clock = manualClock();
    const { asked, shown } = open((url) => (isFeed(url) ? problem(403, "for operators") : null), clock);
    await until(() => shown().includes("✓ api"));
    for (let reading = 2; reading < 6; reading += 1) {
      await settled();
      await clock.advance(400);
      await settled();
      expect(readings(asked)).toBe(reading - 1);
      await clock.advance(1_600);
      await until(() => readings(asked) === reading);
    }
    expect(asked.filter((path) => path.endsWith("/durable/sse")).length).toBe(1);
  });

  test("that breaks is opened again", async () => {
    const clock = manualClock();
    const { asked, shown } = open((url) => (isFeed(url) ? problem(503, "not now") : null), clock);
    await until(() => shown().includes("✓ api"));
    await until(async () => {
      await clock.advance(1_000);
      return asked.filter((path) => path.endsWith("/durable/sse")).length > 3;
    });
  });
});

describe("memory", () => {
  const rows = (from: number, count: number) =>
    Array.from({ length: count }, (_, at) => ({
      id: `turn_${String(from + at).padStart(32, "0")}`,
      status: "failed",
      session_id: "session_1",
      queued_at: new Date(0).toISOString(),
    }));

  test("holds a bounded number of rows, all of which a filter looks through", async () => {
    const { client, asked } = open((url) => {
      const { searchParams: query, pathname } = url;
      if (!pathname.endsWith("/runs") || query.get("limit") !== "100") return null;
      const offset = Number(query.get("offset"));
      return Response.json({ data: rows(offset, 100), total: 1_000_000, offset, limit: 100 });
    });
    const place = listPlace(viewOf("runs") as View, []);
    expect((await loadList(client, place)).items.length).toBe(100);
    asked.length = 0;
    const searched = await loadList(client, { ...place, filter: "x" });
    expect(searched).toMatchObject({ total: 1_000_000 });
    expect(searched.items.length).toBe(ROWS_MAX);
    expect(new Set(searched.items.map(({ id }) => id)).size).toBe(ROWS_MAX);
    expect(asked.filter((path) => path.includes("/runs?limit=100")).length).toBe(ROWS_MAX / 100);
  });

  test("of a queue the oldest are read, oldest first", async () => {
    const { client } = open((url) => {
      const { searchParams: query, pathname } = url;
      if (!pathname.endsWith("/runs") || !query.getAll("status").includes("queued")) return null;
      const offset = Number(query.get("offset"));
      return Response.json({ data: rows(offset, 100), total: 350, offset, limit: 100 });
    });
    const { items } = await loadList(client, listPlace(viewOf("queue") as View, []));
    expect(items.map(({ id }) => Number(String(id).slice(5))).slice(0, 2)).toEqual([349, 348]);
    expect(items.length).toBe(100);
  });

  test("holds a bounded number of places, and marks of what is listed alone", async () => {
    const { monitor, press } = open((url) =>
      url.pathname.endsWith("/runs") ? Response.json({ data: rows(0, 50), total: 50 }) : null,
    );
    for (let at = 0; at < 200; at += 1) press("4", "?", "3");
    expect(monitor.snapshot().stack.length).toBeLessThanOrEqual(12);
    expect(monitor.snapshot().stack[0]).toEqual({ kind: "overview" });
    press("4");
    const place = () => placeOf(monitor.snapshot()) as ListPlace;
    await until(() => place().items.length === 50);
    for (let at = 0; at < 3; at += 1) press("ctrlA");
    expect(place().marks.size).toBe(50);
    for (let at = 0; at < 20; at += 1) press("escape");
    expect(monitor.snapshot().stack).toEqual([{ kind: "overview" }]);
  });
});

test("a key does what it says to the marked rows that are shown, and to no others", async () => {
  const cancelled: string[] = [];
  const { shown, press } = open((url) => {
    const id = /\/runs\/(\w+)\/cancel$/.exec(url.pathname)?.[1];
    if (id !== undefined) {
      cancelled.push(id);
      return id === "turn_b"
        ? problem(409, "it has ended")
        : Response.json({ status: "cancelled", message: "ok" });
    }
    if (!url.pathname.endsWith("/runs")) return null;
    const data = ["turn_a", "turn_b", "turn_c"].map((id) => ({
      id,
      status: "running",
      session_id: "s",
      attempt: 1,
    }));
    return Response.json({ data, total: 3 });
  });
  press("4");
  await until(() => shown().includes("turn_c"));
  press(" ", " ", "/", ..."!turn_a", "enter");
  press("c");
  // turn_a is marked as well, but the filter hides it.
  expect(shown()).toContain("! cancel turn_b? y/n");
  press("n");
  press("escape", "c");
  expect(shown()).toContain("! cancel 2 runs? y/n");
  press("y");
  await until(() => shown().includes("cancel: 1 done, 1 not: it has ended"));
  expect(cancelled).toEqual(["turn_a", "turn_b"]);
});
