/** States of the monitor that nothing was read for. */
import { entryLines } from "../../../src/tui/entry-lines.ts";
import type { Screen } from "../../../src/tui/monitor/lines.ts";
import type { MonitorState, Place } from "../../../src/tui/monitor/state.ts";
import { paintWith } from "../../../src/tui/theme.ts";

export const paint = paintWith(false);

export const stateAt = (place: Place, change: Partial<MonitorState> = {}): MonitorState => ({
  server: "here",
  stack: [{ kind: "overview" }, place],
  overview: null,
  readSince: null,
  trouble: null,
  prompt: null,
  note: null,
  isReadonly: false,
  ...change,
});

export const screenOf = (columns: number, rows: number): Screen => ({
  columns,
  rows,
  paint,
  linesOf: (entry, width) => entryLines(entry, { columns: width, paint, isExpanded: false }),
});
