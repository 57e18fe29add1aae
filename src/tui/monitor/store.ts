/**
 * The monitor behind the screen: what is looked at, what was read last, what a key means. It reads again when the
 * server says that something has changed, and every two seconds in any case, more slowly where the server is slow, one
 * reading at a time, and keeps nothing but the last one: its memory is flat for days.
 */
import { type Clock, systemClock } from "../../base/clock.ts";
import type { Client } from "../../client/client.ts";
import { followEngine } from "../../client/engine-feed.ts";
import { ClientError } from "../../client/errors.ts";
import type { Item } from "../../client/resources.ts";
import { type Act, idOf, perform } from "./acts.ts";
import { parseCommand, typed } from "./commands.ts";
import { chosenRow, look, type MonitorKey } from "./keys.ts";
import { sentenceOf } from "./load.ts";
import { loadOverview } from "./load-overview.ts";
import { loadFile } from "./load-session.ts";
import { doables, jsonPlace, objectAt, readPlace, runPlace, sessionPlace } from "./places.ts";
import { followSession } from "./session-feed.ts";
import {
  type ListPlace,
  listPlace,
  type MonitorState,
  type Place,
  type Prompt,
  placeOf,
  reread,
  selectedItem,
} from "./state.ts";
import { type Target, VIEWS } from "./views.ts";

export interface MonitorOptions {
  client: Client;
  /** As the title shows it. */
  server: string;
  /** Changes nothing: only looks. */
  isReadonly: boolean;
  /** Leaves the monitor. */
  onQuit(): void;
  clock?: Clock;
}

const INTERVAL_MS = 2_000;
const INTERVAL_MAX_MS = 8_000;
/** However much changes: one reading follows the other no sooner. */
const CHANGED_MS = 400;
/** A server that takes long to answer is asked less often: it is busy with this share of the time at most. */
const BUSY_SHARE = 0.25;
/** The line that is on every screen; the overview itself is read at every reading. */
const VERDICT_MS = 4_000;
/** Places that Escape goes back through. */
const STACK_MAX = 12;

/** What waits for a yes, or for words. */
interface Pending {
  act: Act;
  items: readonly Item[];
  words: string;
}

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  #wake = new AbortController();
  /** Aborted when the server says that something has changed. */
  #change = new AbortController();
  /** Counts changes of what is looked at: an answer to an earlier one is thrown away. */
  #looking = 0;
  #overviewMs = Number.NEGATIVE_INFINITY;
  #pending: Pending | null = null;
  #followed: { id: string; stop: AbortController } | null = null;
  /** Ids that were acted on last. */
  #done: ReadonlySet<string> = new Set();
  /** Of the last frame. */
  #drawn = { page: 1, scrollMax: 0 };
  #state: MonitorState;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#state = {
      server: options.server,
      stack: [{ kind: "overview" }],
      overview: null,
      readSince: null,
      trouble: null,
      prompt: null,
      note: null,
      isReadonly: options.isReadonly,
    };
  }

  /** For React's useSyncExternalStore. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly snapshot = (): MonitorState => this.#state;

  /** Told by the screen: rows of a page, and how far what it shows can be scrolled. */
  drawn(page: number, scrollMax: number): void {
    this.#drawn = { page, scrollMax };
  }

  /** Reads until `close`. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    const onChange = () => this.#change.abort();
    void followEngine(this.#options.client, { signal, onChange, clock: this.#clock });
    while (!signal.aborted) {
      // What wakes it during the reading makes it read again at once, what changes meanwhile soon.
      this.#wake = new AbortController();
      this.#change = new AbortController();
      const startMs = this.#clock.monotonicMs();
      await this.#read();
      const tookMs = this.#clock.monotonicMs() - startMs;
      const restMs = tookMs / BUSY_SHARE - tookMs;
      const soonMs = Math.min(INTERVAL_MAX_MS, Math.max(CHANGED_MS, restMs));
      const lateMs = Math.min(INTERVAL_MAX_MS, Math.max(INTERVAL_MS, restMs));
      await this.#clock.sleep(soonMs, AbortSignal.any([signal, this.#wake.signal]));
      const woken = AbortSignal.any([signal, this.#wake.signal, this.#change.signal]);
      await this.#clock.sleep(lateMs - soonMs, woken);
    }
  }

  close(): void {
    this.#followed?.stop.abort();
    this.#stop.abort();
  }

  press(key: MonitorKey): void {
    if (key.name === "ctrlC") return this.#options.onQuit();
    if (this.#state.prompt !== null) return this.#pressInPrompt(this.#state.prompt, key);
    if (this.#state.note !== null) this.#set({ note: null });
    const place = placeOf(this.#state);
    if (key.name === "escape") return this.#back(place);
    if (key.name === "enter") return void this.#open(place);
    const looked = look(place, key, this.#drawn);
    if (looked !== null) return this.#looked(place, looked);
    this.#pressLetter(place, key.input);
  }

  #pressLetter(place: Place, letter: string): void {
    if (letter === "") return;
    const view = VIEWS.find(({ digit }) => digit === letter);
    if (view !== undefined) return this.#push(listPlace(view, []));
    switch (letter) {
      case "q":
        return this.#options.onQuit();
      case ":":
        return this.#ask({ kind: "command", text: "", question: "" });
      case "?":
        return place.kind === "help" ? this.#back(place) : this.#push({ kind: "help", scroll: 0 });
      case "1":
        return this.#home();
      case "/":
        if (place.kind === "list") this.#ask({ kind: "filter", text: place.filter, question: "" });
        return;
      case "y": {
        const object = objectAt(place);
        return object === null ? undefined : this.#push(jsonPlace(object.title, object.value));
      }
      default:
        return this.#act(place, letter);
    }
  }

  #pressInPrompt(prompt: Prompt, key: MonitorKey): void {
    if (prompt.kind === "confirm") {
      const pending = key.input === "y" || key.input === "Y" ? this.#pending : null;
      this.#pending = null;
      this.#set({ prompt: null, note: pending === null ? NOTHING_DONE : null });
      return pending === null ? undefined : void this.#perform(pending);
    }
    const isFilter = prompt.kind === "filter";
    if (key.name === "escape") {
      this.#pending = null;
      this.#set({ prompt: null, note: prompt.kind === "words" ? NOTHING_DONE : null });
      return isFilter ? this.#filter("") : undefined;
    }
    if (key.name === "enter") {
      this.#set({ prompt: null });
      if (prompt.kind === "command") this.#command(prompt.text);
      if (prompt.kind === "words" && this.#pending)
        this.#confirm({ ...this.#pending, words: prompt.text.trim() });
      // More rows are looked through than the first page.
      if (isFilter) this.#wake.abort();
      return;
    }
    const text = typed(prompt, key);
    this.#set({ prompt: { ...prompt, text } });
    // What is shown follows while the filter is typed.
    if (isFilter) this.#filter(text);
  }

  #filter(filter: string): void {
    const place = placeOf(this.#state);
    if (place.kind !== "list") return;
    const filtered = { ...place, filter };
    this.#replace(selectedItem(filtered) === null ? { ...filtered, selectedId: null } : filtered);
  }

  #command(text: string): void {
    const command = parseCommand(text);
    switch (command.kind) {
      case "nothing":
        return;
      case "quit":
        return this.#options.onQuit();
      case "help":
        return this.#push({ kind: "help", scroll: 0 });
      case "overview":
        return this.#home();
      case "session":
        return this.#push(sessionPlace(command.id));
      case "run":
        return this.#push(runPlace(command.id));
      case "error":
        return this.#set({ note: { text: command.text, isError: true } });
      case "list":
        return this.#push(listPlace(command.view, command.conditions, command.filter));
    }
  }

  async #open(place: Place): Promise<void> {
    if (place.kind === "list") {
      const item = selectedItem(place);
      if (item !== null) await this.#goTo(place.view.opens(item), item);
    } else if (place.kind === "run" && place.run !== null) {
      this.#push(sessionPlace(place.run.session_id));
    } else if (place.kind === "session" && place.tab === "files") {
      const file = place.files?.[chosenRow(place)];
      if (file === undefined) return;
      await this.#reading(async () => {
        const lines = await loadFile(this.#options.client, place.id, file.path);
        return { kind: "text", title: file.path, lines, scroll: 0 };
      });
    } else if (place.kind === "session" && place.tab === "events") {
      const object = objectAt(place);
      if (object !== null) this.#push(jsonPlace(object.title, object.value));
    }
  }

  async #goTo(target: Target, item: Item): Promise<void> {
    if (target.kind === "session") return this.#push(sessionPlace(target.id));
    if (target.kind === "run") return this.#push(runPlace(target.id));
    if (target.kind === "list") return this.#command(target.command);
    const { path } = target;
    await this.#reading(async () => {
      const read = path === null ? item : await this.#options.client.request<Item>("GET", path);
      return jsonPlace(String(item.id ?? item.key ?? ""), read);
    });
  }

  /** Goes to what is read first; says why when it cannot be read. */
  async #reading(read: () => Promise<Place>): Promise<void> {
    const looking = this.#looking;
    try {
      const place = await read();
      if (looking === this.#looking) this.#push(place);
    } catch (error) {
      this.#set({ note: { text: sentenceOf(error), isError: true } });
    }
  }

  #act(place: Place, letter: string): void {
    for (const { acts, items } of doables(place)) {
      const act = acts.find(({ key }) => key === letter);
      if (act === undefined) continue;
      if (items.length === 0) return this.#set({ note: NOTHING_CHOSEN });
      if (this.#state.isReadonly) return this.#set({ note: READ_ONLY });
      this.#pending = { act, items, words: "" };
      if (act.asks !== null) return this.#ask({ kind: "words", text: "", question: act.asks });
      return this.#confirm(this.#pending);
    }
  }

  /** Asks about what could hurt, and about whatever is done to several. */
  #confirm(pending: Pending): void {
    const { act, items } = pending;
    const [first] = items;
    if (first === undefined) return;
    if (!act.isCareful && items.length === 1) {
      this.#pending = null;
      return void this.#perform(pending);
    }
    this.#pending = pending;
    const place = placeOf(this.#state);
    const name = place.kind === "list" ? place.view.name : place.kind;
    const rest = place.kind === "list" ? place.total - place.items.length : 0;
    const more = items.length > 1 && rest > 0 ? ` (${rest} more are not listed)` : "";
    const what = items.length === 1 ? act.target(first) : `${items.length} ${name}${more}`;
    this.#ask({ kind: "confirm", text: "", question: `${act.label} ${what}?` });
  }

  async #perform({ act, items, words }: Pending): Promise<void> {
    const looking = this.#looking;
    this.#done = new Set(items.map(idOf));
    const note = await perform(this.#options.client, act, {
      items,
      words,
      onProgress: (done) =>
        this.#set({ note: { text: `${act.label}: ${done} of ${items.length}`, isError: false } }),
    });
    const place = placeOf(this.#state);
    if (looking === this.#looking && place.kind === "list") this.#replace({ ...place, marks: new Set() });
    this.#set({ note });
    this.#overviewMs = Number.NEGATIVE_INFINITY;
    this.#wake.abort();
  }

  #push(place: Place): void {
    const [home = { kind: "overview" as const }, ...rest] = this.#state.stack;
    this.#move([home, ...[...rest, place].slice(1 - STACK_MAX)]);
  }

  #home(): void {
    if (this.#state.stack.length > 1) this.#move([{ kind: "overview" }]);
  }

  #back(place: Place): void {
    if (place.kind === "list" && place.filter !== "") return this.#filter("");
    if (place.kind === "list" && place.marks.size > 0) return this.#replace({ ...place, marks: new Set() });
    if (this.#state.stack.length > 1) this.#move(this.#state.stack.slice(0, -1));
  }

  #move(stack: readonly Place[]): void {
    this.#looking += 1;
    this.#set({ stack });
    this.#follow();
    this.#wake.abort();
  }

  #looked(before: Place, after: Place): void {
    this.#replace(after);
    const isOther = before.kind === "session" && after.kind === "session" && before.tab !== after.tab;
    if (isOther) this.#wake.abort();
  }

  #replace(place: Place): void {
    this.#set({ stack: [...this.#state.stack.slice(0, -1), place] });
  }

  /** Follows the events of the session that is looked at, or was last: one at a time. */
  #follow(): void {
    const place = this.#state.stack.findLast(({ kind }) => kind === "session");
    const id = place?.kind === "session" ? place.id : null;
    if (this.#followed?.id === id) return;
    this.#followed?.stop.abort();
    this.#followed = id === null ? null : { id, stop: new AbortController() };
    if (id === null || this.#followed === null) return;
    const { signal } = this.#followed.stop;
    void followSession(this.#options.client, id, {
      signal,
      onChange: ({ events, transcript }, streamTrouble) =>
        this.#set({
          stack: this.#state.stack.map((each) =>
            each.kind === "session" && each.id === id ? { ...each, events, transcript, streamTrouble } : each,
          ),
        }),
    });
  }

  async #read(): Promise<void> {
    const { client } = this.#options;
    const looking = this.#looking;
    const place = placeOf(this.#state);
    const nowMs = this.#clock.monotonicMs();
    const isOverviewDue =
      place.kind === "overview" || this.#state.trouble !== null || nowMs - this.#overviewMs >= VERDICT_MS;
    if (isOverviewDue) this.#overviewMs = nowMs;
    this.#set({ readSince: this.#clock.now() });
    const [overview, change] = await Promise.allSettled([
      isOverviewDue ? loadOverview(client) : null,
      readPlace(client, place),
    ]);
    if (this.#stop.signal.aborted) return;
    const failures = [overview, change].flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
    const away = failures.find(isAway) ?? (overview.status === "rejected" ? overview.reason : undefined);
    const { trouble } = this.#state;
    this.#set({
      readSince: null,
      ...(overview.status === "fulfilled" && overview.value !== null ? { overview: overview.value } : {}),
      trouble:
        away === undefined ? null : { since: trouble?.since ?? this.#clock.now(), reason: sentenceOf(away) },
    });
    const now = placeOf(this.#state);
    if (looking !== this.#looking || now.kind !== place.kind) return;
    if (change.status === "fulfilled") {
      if (change.value === null) return;
      if (now.kind === "list") this.#replace(reread(now, change.value as Partial<ListPlace>, this.#done));
      else this.#replace({ ...now, ...change.value } as Place);
    } else if (!isAway(change.reason) && "trouble" in now) {
      this.#replace({ ...now, trouble: sentenceOf(change.reason) });
    }
  }

  #ask(prompt: Prompt): void {
    this.#set({ prompt });
  }

  #set(change: Partial<MonitorState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}

const NOTHING_DONE = { text: "nothing was done", isError: false };
const NOTHING_CHOSEN = { text: "nothing is chosen: ↑ and ↓ choose", isError: true };
const READ_ONLY = { text: "read-only: nothing can be changed here", isError: true };

/** The server itself, not one of its answers: it cannot be reached, or is in trouble. */
const isAway = (error: unknown): boolean =>
  error instanceof ClientError && (error.status === 0 || error.status === 401 || error.status >= 500);
