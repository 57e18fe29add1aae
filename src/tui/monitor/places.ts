/** Places of the monitor: how each begins, what it reads, what can be done there. */
import type { Client } from "../../client/client.ts";
import type { Item } from "../../client/resources.ts";
import type { Act } from "./acts.ts";
import { cellText } from "./columns.ts";
import { chosenRow } from "./keys.ts";
import { loadList } from "./load.ts";
import { loadSession } from "./load-session.ts";
import { NOTHING_KEPT } from "./session-feed.ts";
import {
  actedOn,
  type Place,
  type RunPlace,
  type SessionPlace,
  selectedItem,
  type TextPlace,
} from "./state.ts";
import { APPROVAL_ACTS, RUN_ACTS, SESSION_ACTS } from "./views.ts";

export const sessionPlace = (id: string): SessionPlace => ({
  kind: "session",
  id,
  tab: "transcript",
  session: null,
  approvals: [],
  events: NOTHING_KEPT.events,
  transcript: NOTHING_KEPT.transcript,
  files: null,
  runs: null,
  tasks: null,
  selectedId: null,
  scroll: 0,
  trouble: null,
  streamTrouble: null,
});

export const runPlace = (id: string): RunPlace => ({ kind: "run", id, run: null, scroll: 0, trouble: null });

/** An object as JSON, a line each. */
export const jsonPlace = (title: string, value: unknown): TextPlace => ({
  kind: "text",
  title,
  lines: (JSON.stringify(value, null, 2) ?? "").split("\n"),
  scroll: 0,
});

/** Reads what the place shows. @returns what changes in it; null for a place that reads nothing */
export async function readPlace(client: Client, place: Place): Promise<Partial<Place> | null> {
  switch (place.kind) {
    case "list":
      return { ...(await loadList(client, place)), isLoaded: true, trouble: null };
    case "session":
      return { ...(await loadSession(client, place)), trouble: null };
    case "run":
      return { run: await client.getRun(place.id), trouble: null };
    default:
      return null;
  }
}

export interface Doable {
  acts: readonly Act[];
  items: readonly Item[];
}

/** What can be done where we are, and to what. */
export function doables(place: Place): Doable[] {
  switch (place.kind) {
    case "list":
      return [{ acts: place.view.acts, items: actedOn(place) }];
    case "run":
      return place.run === null ? [] : [{ acts: RUN_ACTS, items: [asItem(place.run)] }];
    case "session": {
      const [first] = place.approvals;
      return [
        ...(first === undefined ? [] : [{ acts: ASKING_ACTS, items: [asItem(first)] }]),
        ...(place.session === null ? [] : [{ acts: SESSION_ACTS, items: [asItem(place.session)] }]),
      ];
    }
    default:
      return [];
  }
}

/** The call that waits for longest may be another one in the next moment: it is asked about by its id. */
const ASKING_ACTS = APPROVAL_ACTS.map((act) => ({ ...act, isCareful: true }));

const asItem = (value: object) => value as Item;

/** What `y` shows as JSON; null where there is nothing. */
export function objectAt(place: Place): { title: string; value: unknown } | null {
  switch (place.kind) {
    case "list": {
      const item = selectedItem(place);
      return item === null ? null : { title: cellText(item.id ?? item.key), value: item };
    }
    case "run":
      return place.run === null ? null : { title: place.id, value: place.run };
    case "session": {
      if (place.tab === "events") {
        const event = place.events[chosenRow(place)];
        return event === undefined ? null : { title: `${event.type} ${event.sequence}`, value: event };
      }
      return place.session === null ? null : { title: place.id, value: place.session };
    }
    default:
      return null;
  }
}
