/** PURE: what a key does to the place that is shown, when it does nothing but look. */
import { idOf } from "./acts.ts";
import {
  type ListPlace,
  type Place,
  SESSION_TABS,
  type SessionPlace,
  selectedItem,
  visibleItems,
} from "./state.ts";

/** A key as the terminal gave it. */
export interface MonitorKey {
  /** The character; empty for the others. */
  input: string;
  name:
    | "up"
    | "down"
    | "left"
    | "right"
    | "pageUp"
    | "pageDown"
    | "home"
    | "end"
    | "enter"
    | "escape"
    | "tab"
    | "shiftTab"
    | "backspace"
    | "ctrlA"
    | "ctrlC"
    | "ctrlU"
    | null;
}

/** What the last frame came to. */
export interface Drawn {
  /** Rows that a page has. */
  page: number;
  /** Lines by which what is shown can be scrolled at most. */
  scrollMax: number;
}

/** How far a key moves; 0 for a key that does not. */
export function stepOf({ name, input }: MonitorKey, page: number): number {
  switch (name ?? input) {
    case "up":
    case "k":
      return -1;
    case "down":
    case "j":
      return 1;
    case "pageUp":
      return -page;
    case "pageDown":
      return page;
    case "home":
    case "g":
      return Number.NEGATIVE_INFINITY;
    case "end":
    case "G":
      return Number.POSITIVE_INFINITY;
    default:
      return 0;
  }
}

/** @returns the place as it is then; null when the key means something else */
export function look(place: Place, key: MonitorKey, drawn: Drawn): Place | null {
  switch (place.kind) {
    case "list":
      return lookAtList(place, key, drawn.page);
    case "session":
      return lookAtSession(place, key, drawn);
    case "run":
    case "text":
    case "help": {
      const step = stepOf(key, drawn.page);
      return step === 0 ? null : { ...place, scroll: scrolled(place.scroll, step, drawn.scrollMax) };
    }
    case "overview":
      return null;
  }
}

const scrolled = (scroll: number, step: number, max: number) =>
  Math.max(0, Math.min(max, Math.min(scroll, max) + step));

function lookAtList(place: ListPlace, key: MonitorKey, page: number): ListPlace | null {
  const step = stepOf(key, page);
  if (step !== 0) return moved(place, step);
  if (key.name === "ctrlA") return markedAll(place);
  const columns = place.view.columns.length;
  switch (key.input) {
    case " ": {
      const item = selectedItem(place);
      if (item === null) return place;
      const marks = new Set(place.marks);
      if (!marks.delete(idOf(item))) marks.add(idOf(item));
      return moved({ ...place, marks }, 1);
    }
    case "s": {
      const next = (place.sort?.column ?? -1) + 1;
      return { ...place, sort: next >= columns ? null : { column: next, isDescending: false } };
    }
    case "S":
      return {
        ...place,
        sort: { column: place.sort?.column ?? 0, isDescending: !(place.sort?.isDescending ?? false) },
      };
    default:
      return null;
  }
}

function moved(place: ListPlace, step: number): ListPlace {
  const items = visibleItems(place);
  const chosen = selectedItem(place);
  const at = chosen === null ? -1 : items.indexOf(chosen);
  const next = items[Math.max(0, Math.min(items.length - 1, at + step))];
  return next === undefined ? place : { ...place, selectedId: idOf(next) };
}

/** Marks all that the filter shows; when they are marked, none. */
function markedAll(place: ListPlace): ListPlace {
  const ids = visibleItems(place).map(idOf);
  const isAll = ids.length > 0 && ids.every((id) => place.marks.has(id));
  return { ...place, marks: new Set(isAll ? [] : ids) };
}

function lookAtSession(place: SessionPlace, key: MonitorKey, drawn: Drawn): SessionPlace | null {
  const turn = { tab: 1, right: 1, shiftTab: -1, left: -1 }[key.name as string] ?? 0;
  if (turn !== 0) {
    const at = SESSION_TABS.indexOf(place.tab) + turn;
    const tab = SESSION_TABS[(at + SESSION_TABS.length) % SESSION_TABS.length] ?? "transcript";
    return { ...place, tab, scroll: 0, selectedId: null };
  }
  const step = stepOf(key, drawn.page);
  if (step === 0) return null;
  // The newest stands at the end, and is what is followed.
  if (place.tab === "transcript") return { ...place, scroll: scrolled(place.scroll, -step, drawn.scrollMax) };
  const rows = rowsOf(place);
  if (rows === null) return { ...place, scroll: scrolled(place.scroll, step, drawn.scrollMax) };
  const at = chosenRow(place);
  const next = Math.max(0, Math.min(rows.length - 1, at + step));
  // At the last event one goes along with what comes.
  const isFollowing = place.tab === "events" && next === rows.length - 1;
  return { ...place, selectedId: isFollowing ? null : (rows[next] ?? null) };
}

/** What can be chosen in the tab: events by id, files by path; null for a tab of lines. */
export function rowsOf({ tab, events, files }: SessionPlace): readonly string[] | null {
  if (tab === "events") return events.map(({ id }) => id);
  return tab === "files" ? (files ?? []).map(({ path }) => path) : null;
}

/** Place of the chosen row, 0 when there is none. */
export function chosenRow(place: SessionPlace): number {
  const rows = rowsOf(place) ?? [];
  const at = place.selectedId === null ? -1 : rows.indexOf(place.selectedId);
  if (at >= 0) return at;
  // An event that was chosen and has been let go was older than all that are left.
  if (place.tab === "events" && place.selectedId === null) return Math.max(0, rows.length - 1);
  return 0;
}
