/** The monitor's frames, commands and stores as pure functions. */
import { describe, expect, test } from "bun:test";
import type { Event } from "../../src/contract/event.ts";
import type { Run } from "../../src/contract/run.ts";
import { SESSION_STATUSES } from "../../src/contract/session.ts";
import { cellText, dollars, shortId } from "../../src/tui/monitor/columns.ts";
import { complete, completions, parseCommand } from "../../src/tui/monitor/commands.ts";
import { frame } from "../../src/tui/monitor/frame.ts";
import { reasonOf } from "../../src/tui/monitor/load.ts";
import { recentOf } from "../../src/tui/monitor/load-overview.ts";
import { jsonPlace, runPlace, sessionPlace } from "../../src/tui/monitor/places.ts";
import { EVENTS_MAX, keep, NOTHING_KEPT } from "../../src/tui/monitor/session-feed.ts";
import {
  actedOn,
  type ListPlace,
  listPlace,
  type MonitorState,
  type Overview,
  type Place,
  reread,
  selectedItem,
  visibleItems,
} from "../../src/tui/monitor/state.ts";
import { errorPercent, problemsOf, verdictLine } from "../../src/tui/monitor/verdict.ts";
import { VIEWS, type View, viewOf } from "../../src/tui/monitor/views.ts";
import { stamp, turnEvents, turnIdOf } from "../client/support/events.ts";
import { paint, screenOf, stateAt } from "./support/monitor-state.ts";

const runs = viewOf("runs") as View;
const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
const run = (number: number, status: string) => ({
  id: `turn_${number}`,
  status,
  attempt: number,
  iterations: 1,
  session_id: `session_${number}`,
  queued_at: ago(number * 60),
  error: "\u001b[31mred 👩‍💻 日本",
});
const items = [run(1, "failed"), run(2, "running"), run(10, "failed")];
const list = (change: Partial<ListPlace> = {}): ListPlace => ({
  ...listPlace(runs, []),
  items,
  total: 3,
  isLoaded: true,
  ...change,
});
const overview = (change: Partial<Overview> = {}): Overview => ({
  latencyMs: 3,
  notReady: null,
  health: null,
  sessions: null,
  approvals: { total: 0, oldestAt: null, oldest: [] },
  runs: { queued: 0, running: 0, waiting: 0 },
  waiting: {},
  oldestQueuedAt: null,
  deadRuns: [],
  openBreakers: [],
  recent: recentOf([], { isAll: true, nowMs: Date.now() }),
  ...change,
});

test("a session has the API's word for its status, and is found by it; that a budget holds it stands beside", () => {
  const sessions = viewOf("sessions") as View;
  const rows = [
    ...SESSION_STATUSES.map((status) => ({ id: status, status })),
    { id: "held", status: "idle", paused: true },
  ];
  const found = (word: string) => {
    const command = parseCommand(`sessions ${word}`);
    if (command.kind !== "list") throw new Error(word);
    const place = listPlace(command.view, command.conditions, command.filter);
    return visibleItems({ ...place, items: rows }).map(({ id }) => id);
  };
  expect(found("waitingfortoolresults")).toEqual(["waitingfortoolresults"]);
  expect(found("status=waiting")).toEqual(["waitingfortoolresults"]);
  expect(found("started")).toEqual(["started"]);
  expect(found("idle")).toEqual(["idle", "held"]);
  expect(found("paused")).toEqual(["held"]);
  expect(sessions.columns[1]?.cell(rows.at(-1) ?? {})).toBe("idle paused");
  for (const row of rows.slice(0, -1)) expect(sessions.columns[1]?.cell(row)).toBe(row.status);
});

describe("a frame", () => {
  test.each([
    [80, 24],
    [40, 12],
    [200, 60],
    [20, 6],
  ])("is exactly %d × %d, whatever it shows", (columns, rows) => {
    const many = Array.from({ length: 300 }, (_, at) => run(at, "completed"));
    const long = Array.from({ length: 500 }, () => "日本 ".repeat(80));
    const cases: [Place, Partial<MonitorState>][] = [
      [list({ items: many, total: 300 }), {}],
      [list({ items: [] }), {}],
      [list({ filter: "nothing has this" }), {}],
      [list({ trouble: "x".repeat(500) }), {}],
      [jsonPlace("x", long), {}],
      [{ kind: "text", title: "a\nb", lines: ["a\rb", "c\r\n", "\td"], scroll: 0 }, {}],
      [list({ trouble: "first\nsecond" }), { note: { text: "one\ntwo", isError: true } }],
      [list(), { trouble: { since: new Date(), reason: "first\nsecond" } }],
      [{ kind: "help", scroll: 3 }, {}],
      [{ kind: "overview" }, { overview: overview({ notReady: "日".repeat(300) }) }],
      [sessionPlace("session_1"), {}],
      [{ ...sessionPlace("session_1"), tab: "events" }, {}],
      [runPlace("turn_1"), {}],
      [list(), { trouble: { since: new Date(), reason: "x".repeat(500) } }],
      [list(), { prompt: { kind: "confirm", text: "", question: "y".repeat(300) } }],
      [list(), { prompt: { kind: "command", text: "日".repeat(300), question: "" } }],
    ];
    for (const [place, change] of cases) {
      const { lines } = frame(stateAt(place, change), screenOf(columns, rows));
      expect(lines.length).toBe(rows);
      for (const line of lines) {
        expect(Bun.stringWidth(line)).toBeLessThan(columns);
        expect(line).not.toMatch(/[\n\r\t]/);
      }
      expect(lines.join("")).not.toContain("\u001b[31m");
    }
  });

  test.each(VIEWS.map((view) => [view.name, view] as const))(
    "of %s has its columns where they are: with rows, without, and whatever stands in them",
    (_name, view) => {
      const header = (rows: readonly Record<string, unknown>[]) =>
        frame(stateAt({ ...listPlace(view, []), items: rows, isLoaded: true }), screenOf(120, 20)).lines[3];
      const wide = { id: "x".repeat(200), status: "日本".repeat(50), name: "👩‍💻".repeat(40), key: "k" };
      expect(header([wide])).toBe(header([]) as string);
      expect(header([{ id: "a" }])).toBe(header([]) as string);
    },
  );

  test("shows every row in the same columns", () => {
    const { lines } = frame(stateAt(list()), screenOf(120, 20));
    const at = lines[3]?.indexOf("NOTE") ?? -1;
    expect(at).toBeGreaterThan(0);
    for (const line of lines.slice(4, 7)) {
      const plain = Bun.stripANSI(line);
      expect(plain.indexOf("red")).toBe(at);
    }
  });

  test("a command that was done can be copied: it takes the line of the keys as well", () => {
    const command = `everruns approvals approve approval_${"0".repeat(32)}`;
    const note = { text: `approve: done · ${command}`, isError: false };
    const bottom = (columns: number) =>
      frame(stateAt(list(), { note }), screenOf(columns, 24)).lines.slice(-2);
    expect(bottom(80)[1]).toBe(command);
    expect(bottom(120)[0]).toContain(command);
    expect(bottom(120)[1]).toContain("? help");
  });

  test("what is marked has a sign, and a list that is cut says how much of it was read", () => {
    const shown = frame(
      stateAt(list({ marks: new Set(["turn_2"]), total: 900, filter: "failed" })),
      screenOf(80, 20),
    );
    expect(shown.lines[2]).toContain("runs · 2 of 900, 3 read · /failed · 1 marked");
    const all = frame(stateAt(list({ marks: new Set(["turn_2"]) })), screenOf(80, 20)).lines;
    expect(all.filter((line) => /^.\*/.test(Bun.stripANSI(line))).length).toBe(1);
  });
});

describe("a list", () => {
  test("is filtered by text, with ! by its absence; numbers sort as numbers, ages as times", () => {
    const ids = (change: Partial<ListPlace>) => visibleItems(list(change)).map(({ id }) => id);
    const column = (name: string) => runs.columns.findIndex((each) => each.name === name);
    expect(ids({ filter: "FAILED" })).toEqual(["turn_1", "turn_10"]);
    expect(ids({ filter: "!failed" })).toEqual(["turn_2"]);
    expect(ids({ sort: { column: column("try"), isDescending: true } })).toEqual([
      "turn_10",
      "turn_2",
      "turn_1",
    ]);
    expect(ids({ sort: { column: column("age"), isDescending: true } })).toEqual([
      "turn_10",
      "turn_2",
      "turn_1",
    ]);
    expect(ids({ conditions: [{ name: "status", value: "run", parameter: null }] })).toEqual(["turn_2"]);
  });

  test("keeps what is chosen; when it is gone, its neighbour, but where a key decides without a question", () => {
    const chosen = (place: ListPlace) => selectedItem(place)?.id ?? null;
    const without = (id: string) => ({ items: items.filter((item) => item.id !== id) });
    const first = reread(list({ selectedId: null }), {}, new Set());
    expect(first.selectedId).toBe("turn_1");
    // A newer row comes above it.
    expect(chosen(reread(first, { items: [run(0, "queued"), ...items] }, new Set()))).toBe("turn_1");
    const second = list({ selectedId: "turn_2", marks: new Set(["turn_1", "turn_2"]) });
    const gone = reread(second, without("turn_2"), new Set());
    expect(chosen(gone)).toBe("turn_10");
    expect([...gone.marks]).toEqual(["turn_1"]);
    const inbox = { ...second, view: { ...runs, isChoiceKept: true } };
    expect(chosen(reread(inbox, without("turn_2"), new Set()))).toBeNull();
    expect(chosen(reread(inbox, without("turn_2"), new Set(["turn_2"])))).toBe("turn_10");
    expect(actedOn({ ...reread(inbox, without("turn_2"), new Set()), marks: new Set() })).toEqual([]);
    expect((viewOf("approvals") as View).isChoiceKept).toBe(true);
  });

  test.each([
    ["joined emoji by its parts", "👩‍💻 x", "👩💻 x"],
    ["a variation selector", "❤️", "❤"],
    ["lines and control characters", "a\nb\u001b]0;title\u0007\u202ec", "a bc"],
    ["an object as JSON", { a: 1 }, '{"a":1}'],
    ["nothing for null", null, ""],
  ])("shows %s", (_name, value, shown) => expect(cellText(value)).toBe(shown));

  test("has short ids and short money", () => {
    expect(shortId(`session_${"0".repeat(24)}deadbeef`)).toBe("…deadbeef");
    expect(shortId("capability")).toBe("capability");
    for (const value of [0, 0.00004, 0.5, 1, 9_999.99, 123_456]) {
      expect(dollars(value).length).toBeLessThanOrEqual(8);
    }
  });
});

describe("a command", () => {
  test.each([
    ["runs failed", { kind: "list", conditions: [{ name: "status", value: "failed", parameter: "status" }] }],
    [
      "sessions status=active",
      { kind: "list", conditions: [{ name: "status", value: "active", parameter: null }] },
    ],
    ["se agent=a some words", { kind: "list", filter: "some words" }],
    ["q", { kind: "quit" }],
    ["ov", { kind: "overview" }],
    ["", { kind: "nothing" }],
    [`turn_${"0".repeat(32)}`, { kind: "run", id: `turn_${"0".repeat(32)}` }],
    ["runs colour=red", { kind: "error" }],
    ["nonsense", { kind: "error" }],
  ])(":%s", (typed, parsed) => expect(parseCommand(typed)).toMatchObject(parsed));

  test("is completed word by word", () => {
    expect(complete("ap")).toBe("approvals ");
    expect(completions("runs fa")).toEqual(["failed"]);
    expect(complete("runs fa")).toBe("runs failed ");
    expect(complete("sessions status=a")).toBe("sessions status=active ");
    expect(completions("sessions st")).toEqual(["started", "status="]);
    expect(complete("xyz")).toBe("xyz");
  });
});

describe("the verdict", () => {
  const ended = (status: string, seconds: number): Run =>
    ({
      ...run(1, status),
      finished_at: ago(seconds),
      cost_usd: 1,
      usage: { input_tokens: 3, output_tokens: 2 },
    }) as Run;

  test("counts what ended in five minutes, or in the time that a hundred runs took", () => {
    const nowMs = Date.now();
    const recent = recentOf([ended("completed", 10), ended("failed", 20), ended("completed", 400)], {
      isAll: true,
      nowMs,
    });
    expect(recent).toMatchObject({ minutes: 5, tokens: 10, costUsd: 2 });
    expect(errorPercent(recent)).toBe(50);
    const busy = recentOf([ended("completed", 10), ended("completed", 60)], { isAll: false, nowMs });
    expect(busy.minutes).toBeCloseTo(1, 1);
    expect(busy.ended.completed).toBe(2);
  });

  test.each<[string, Partial<Overview>, string]>([
    ["a database that is gone", { notReady: "no database" }, "the server is not ready: no database"],
    ["a slow server", { latencyMs: 2_500 }, "the server took 2.5s to answer"],
    ["an open breaker", { openBreakers: ["prov_1:m"] }, "1 breaker not closed: prov_1:m"],
    [
      "an old queue",
      { runs: { queued: 2, running: 0, waiting: 0 }, oldestQueuedAt: ago(120) },
      "2 runs queued, the oldest for 2m",
    ],
    [
      "many errors",
      { recent: { ...overview().recent, ended: { completed: 1, failed: 4, sealed: 0, cancelled: 0 } } },
      "80 % of the runs that ended in the last 5 min failed",
    ],
  ])("tells %s, by a sign and not only by a colour", (_name, change, sentence) => {
    const state = stateAt({ kind: "overview" }, { overview: overview(change) });
    expect(problemsOf(overview(change)).map((problem) => problem.sentence)).toEqual([sentence]);
    expect(verdictLine(state, 79, paint)).toMatch(/^! .*!/);
  });

  test("is one line of the same columns, however large the numbers are", () => {
    const small = verdictLine(stateAt({ kind: "overview" }, { overview: overview() }), 79, paint);
    const large = verdictLine(
      stateAt(
        { kind: "overview" },
        {
          overview: overview({
            latencyMs: 1234,
            runs: { queued: 999, running: 9, waiting: 9 },
            oldestQueuedAt: ago(20),
          }),
        },
      ),
      79,
      paint,
    );
    for (const word of ["db", "workers", "queue", "errors", "open"]) {
      expect(large.indexOf(word)).toBe(small.indexOf(word));
    }
    expect(small).toContain("open 0");
  });
});

describe("why a run is queued", () => {
  const health = { active_workers: 1, workers_accepting: 1 };
  test.each([
    ["it is due later", { available_at: ago(-90) }, new Map(), health, /^is due in (89|90)s$/],
    [
      "its session is busy",
      { session_id: "s" },
      new Map([["s", "waiting"]]),
      health,
      /has a run that is waiting/,
    ],
    ["no worker", {}, new Map(), { active_workers: 0, workers_accepting: 0 }, /no worker is alive/],
    ["no slot", {}, new Map(), { active_workers: 1, workers_accepting: 0 }, /no worker has a free slot/],
    ["what the server says", { stuck_reason: "gone" }, new Map(), null, /^gone$/],
    ["nothing", {}, new Map(), health, /its turn comes next/],
  ])("%s", (_name, run, busy, health, reason) => {
    expect(reasonOf({ available_at: ago(1), ...run }, busy, health)).toMatch(reason);
  });
});

describe("what is kept of a session", () => {
  test("stays as much, however many events come", () => {
    let kept = NOTHING_KEPT;
    let sequence = 0;
    let largest = 0;
    for (let number = 0; number < 2_000; number += 1) {
      const turn = turnEvents({
        turnId: turnIdOf(number),
        input: `message ${number}`,
        reasons: [{ chunks: [`answer ${number}`] }],
      });
      const events = stamp(turn, "session_1", sequence);
      sequence += events.length;
      kept = keep(kept, events);
      largest = Math.max(largest, kept.events.length, kept.transcript.entries.length);
    }
    expect(largest).toBeLessThanOrEqual(EVENTS_MAX);
    expect(kept.events.at(-1)?.sequence).toBe(sequence);
    expect(kept.sizes.length).toBe(kept.events.length);
    expect(JSON.stringify(kept.transcript.entries.at(-1))).toContain("answer 1999");
  });

  test("large events push out the others, and what is repeated changes nothing", () => {
    const large = (sequence: number) =>
      ({
        id: `e${sequence}`,
        sequence,
        type: "tool.progress",
        context: {},
        data: { message: "x".repeat(3_000_000) },
      }) as unknown as Event;
    const kept = keep(NOTHING_KEPT, [large(1), large(2), large(3), large(4)]);
    expect(kept.events.map(({ sequence }) => sequence)).toEqual([3, 4]);
    expect(keep(kept, [large(4)]).events).toEqual(kept.events);
  });
});
