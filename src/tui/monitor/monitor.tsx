/** The monitor, drawn with Ink: one frame of exactly the window's size, in the terminal's other screen. */
import { render, useApp, useInput, useWindowSize } from "ink";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { systemClock } from "../../base/clock.ts";
import type { Entry } from "../../client/entries.ts";
import { entryLines } from "../entry-lines.ts";
import { Rows } from "../rows.tsx";
import { type Paint, paintWith } from "../theme.ts";
import { frame } from "./frame.ts";
import type { MonitorKey } from "./keys.ts";
import { Monitor, type MonitorOptions } from "./store.ts";

export interface OpenMonitorOptions extends Omit<MonitorOptions, "onQuit"> {
  isColoured: boolean;
  /** Leaves the monitor when it aborts. */
  signal: AbortSignal;
}

const FRAMES_PER_SECOND_MAX = 15;

/** Runs the monitor until the person leaves. */
export async function openMonitor({ isColoured, signal, ...options }: OpenMonitorOptions): Promise<void> {
  let quit = () => {};
  const monitor = new Monitor({ ...options, onQuit: () => quit() });
  const app = render(
    <MonitorApp
      monitor={monitor}
      paint={paintWith(isColoured)}
      signal={signal}
      onReady={(leave) => {
        quit = leave;
      }}
    />,
    {
      exitOnCtrlC: false,
      interactive: true,
      alternateScreen: true,
      maxFps: FRAMES_PER_SECOND_MAX,
      incrementalRendering: true,
    },
  );
  void monitor.run();
  // A terminal that was closed takes no last frame: it is not waited for.
  await Promise.race([app.waitUntilExit(), aborted(signal).then(() => systemClock.sleep(LAST_FRAME_MS))]);
  monitor.close();
}

const LAST_FRAME_MS = 500;

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

export interface MonitorAppProps {
  monitor: Monitor;
  paint: Paint;
  signal: AbortSignal;
  /** Told once how to leave. */
  onReady(leave: () => void): void;
}

export function MonitorApp({ monitor, paint, signal, onReady }: MonitorAppProps) {
  const { exit } = useApp();
  const { columns, rows } = useWindowSize();
  const state = useSyncExternalStore(monitor.subscribe, monitor.snapshot);
  // Ages grow while nothing else happens.
  const [, setTick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setTick((tick) => tick + 1), 1_000);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    onReady(exit);
    const leave = () => exit();
    signal.addEventListener("abort", leave, { once: true });
    return () => signal.removeEventListener("abort", leave);
  }, [signal, exit, onReady]);
  useInput((input, key) => {
    // A fast typist or a program sends several letters as one piece.
    const name = nameOf(input, key);
    if (name !== null) return monitor.press({ input: "", name });
    if (key.ctrl || key.meta) return;
    for (const letter of input) {
      const control = CONTROLS[letter];
      if (control !== undefined) monitor.press({ input: "", name: control });
      else if (letter >= " ") monitor.press({ input: letter, name: null });
    }
  });
  const linesOf = useMemo(() => rememberedLines(paint), [paint]);
  const { lines, page, scrollMax } = frame(state, { columns, rows, paint, linesOf });
  useEffect(() => monitor.drawn(page, scrollMax), [monitor, page, scrollMax]);
  return <Rows lines={lines} isCut />;
}

/** Entries are laid out once for a width; what is let go of the transcript is forgotten here, too. */
function rememberedLines(paint: Paint): (entry: Entry, columns: number) => readonly string[] {
  const known = new WeakMap<Entry, { columns: number; lines: readonly string[] }>();
  return (entry, columns) => {
    const before = known.get(entry);
    if (before?.columns === columns) return before.lines;
    const lines = entryLines(entry, { columns, paint, isExpanded: false });
    known.set(entry, { columns, lines });
    return lines;
  };
}

type InkKey = Parameters<Parameters<typeof useInput>[0]>[1];

const NAMED: readonly (readonly [keyof InkKey, Exclude<MonitorKey["name"], null>])[] = [
  ["upArrow", "up"],
  ["downArrow", "down"],
  ["leftArrow", "left"],
  ["rightArrow", "right"],
  ["pageUp", "pageUp"],
  ["pageDown", "pageDown"],
  ["home", "home"],
  ["end", "end"],
  ["return", "enter"],
  ["escape", "escape"],
  ["backspace", "backspace"],
  ["delete", "backspace"],
];

/** Keys that come in the midst of letters. */
const CONTROLS: Readonly<Record<string, MonitorKey["name"]>> = {
  "\r": "enter",
  "\t": "tab",
  "\u0001": "ctrlA",
  "\u0003": "ctrlC",
  "\u0008": "backspace",
  "\u0015": "ctrlU",
  "\u001b": "escape",
  "\u007f": "backspace",
};

function nameOf(input: string, key: InkKey): MonitorKey["name"] {
  if (key.ctrl && input === "c") return "ctrlC";
  if (key.ctrl && input === "a") return "ctrlA";
  if (key.ctrl && input === "u") return "ctrlU";
  if (key.tab) return key.shift ? "shiftTab" : "tab";
  return NAMED.find(([flag]) => key[flag])?.[1] ?? null;
}
