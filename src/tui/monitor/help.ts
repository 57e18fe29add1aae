/** PURE: the keys, in the last line and on a page. */
import { wrap } from "../markdown.ts";
import { doables } from "./places.ts";
import type { MonitorState, Place } from "./state.ts";
import { VIEWS } from "./views.ts";

/** What the last line says, the most needed first: it is cut where the terminal ends. */
export function keysOf({ prompt, isReadonly }: MonitorState, place: Place): string {
  if (prompt?.kind === "command") return "Tab completes · Enter goes there · Esc";
  if (prompt?.kind === "filter") return "Enter keeps it · ! in front: those without it · Esc clears it";
  if (prompt?.kind === "words") return "Enter goes on · Esc does nothing";
  if (prompt?.kind === "confirm") return "y does it · any other key does not";
  const own = isReadonly
    ? []
    : doables(place).flatMap(({ acts }) => acts.map(({ key, label }) => `${key} ${label}`));
  return [...own, ...LOOKING[place.kind], ...EVERYWHERE].join(" · ");
}

const EVERYWHERE = [": go to", "q quit"];
const LOOKING: Readonly<Record<Place["kind"], readonly string[]>> = {
  overview: ["1-9 views", "? help"],
  help: ["Esc back", "↑↓ scroll"],
  text: ["Esc back", "↑↓ scroll", "? help"],
  list: ["? help", "Enter open", "/ filter", "space mark", "s sort", "y JSON"],
  session: ["? help", "Esc back", "Tab next", "y JSON", "↑↓"],
  run: ["? help", "Esc back", "Enter session", "y JSON"],
};

const KEYS: readonly (readonly [string, string])[] = [
  ["1", "the overview: is anything broken, who waits, what was spent"],
  ...VIEWS.flatMap(({ digit, name, summary }) =>
    digit === null ? [] : [[digit, `${name}: ${summary}`] as const],
  ),
  [":", "any list: :agents :models :breakers …; the names are those of the command line, Tab completes them"],
  ["", ":runs failed · :sessions status=active search=word · :session_… · :turn_…"],
  ["Enter", "open what is chosen; in a run its session; of a worker the runs that it holds"],
  ["Esc", "back: clears the filter, the marks, then leaves the place"],
  ["↑ ↓ j k", "choose or scroll · PgUp PgDn · g first, G last"],
  ["/text", "keep rows that have it, in any column or in the whole id; /!text those that have it not"],
  ["s S", "sort by the next column · turn the order round"],
  ["space", "mark a row · Ctrl+A marks all that the filter shows, or none"],
  ["letters", "the last line says what they do; on marked rows they do it to all of them, and ask first"],
  [
    "a A d",
    "a call that waits: allow it once · it and every later one of its tool in this session · deny it",
  ],
  ["y", "the chosen object as JSON"],
  ["Tab", "in a session: transcript, events, files, cost, tasks"],
  ["q", "quit; Ctrl+C too"],
];

export function helpLines(columns: number): string[] {
  return KEYS.flatMap(([key, meaning]) =>
    wrap(meaning, Math.max(8, columns - KEY_COLUMNS)).map(
      (line, at) => `  ${(at === 0 ? key : "").padEnd(KEY_COLUMNS - 3)} ${line}`,
    ),
  );
}
const KEY_COLUMNS = 12;
