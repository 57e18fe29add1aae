/**
 * The monitor behind the screen: what is looked at, what was read last, what a key means. It reads again every two
 * seconds, one reading at a time, and keeps nothing but the last one: its memory is flat for days.
 */
import { type Clock, systemClock } from "../../base/clock.ts";
import type { Client } from "../../client/client.ts";
import { type Action, CATALOG, type Item, type Resource } from "../../client/resources.ts";
import { actionKeys, pageRows } from "./frame.ts";
import { loadDetail, loadList, loadOverview } from "./load.ts";
import { cellsOf, idOf, type MonitorState, type Prompt, visibleItems } from "./state.ts";

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

/** A key as the terminal gave it. */
export interface MonitorKey {
  /** The character; empty for the others. */
  input: string;
  name: "up" | "down" | "pageUp" | "pageDown" | "enter" | "escape" | "backspace" | "ctrlA" | "ctrlC" | null;
}

/** A key too many must not do these. */
const CAREFUL: ReadonlySet<string> = new Set(["cancel", "drain", "disable"]);
const INTERVAL_MS = 2_000;
/** Rows that one key may change at once. */
const BULK_MAX = 100;

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  #wake = new AbortController();
  /** Counts changes of what is looked at: an answer to an earlier one is thrown away. */
  #looking = 0;
  #onConfirm: (() => Promise<void>) | null = null;
  /** The next letter is meant for all rows. */
  #isBulk = false;
  #rows = 24;
  #state: MonitorState;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#state = {
      server: options.server,
      view: "overview",
      resource: null,
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
      isReadonly: options.isReadonly,
    };
  }

  /** For React's useSyncExternalStore. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly snapshot = (): MonitorState => this.#state;

  /** Reads until `close`. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#read();
      this.#wake = new AbortController();
      await this.#clock.sleep(INTERVAL_MS, AbortSignal.any([this.#stop.signal, this.#wake.signal]));
    }
  }

  close(): void {
    this.#stop.abort();
  }

  /** @param rows  of the terminal: a page to scroll by follows from them */
  press(key: MonitorKey, rows: number): void {
    this.#rows = rows;
    if (key.name === "ctrlC") return this.#options.onQuit();
    if (this.#state.prompt !== null) return this.#pressInPrompt(this.#state.prompt, key);
    if (this.#state.note !== null) this.#set({ note: null });
    if (key.name === "escape") return this.#back();
    if (key.input === "?" || this.#state.isHelp) return this.#set({ isHelp: !this.#state.isHelp });
    if (key.input === ":") return this.#ask({ kind: "command", text: "", question: "" });
    if (key.input === "q") return this.#options.onQuit();
    if (this.#state.detail !== null) return this.#scrollDetail(key);
    if (this.#state.view === "resource") this.#pressInList(key);
  }

  #pressInList(key: MonitorKey): void {
    const { resource, sort } = this.#state;
    if (resource === null) return;
    const page = pageRows(this.#rows);
    const step = { up: -1, down: 1, pageUp: -page, pageDown: page }[key.name as string] ?? 0;
    if (step !== 0) return this.#move(step);
    if (key.name === "enter") return void this.#open();
    if (key.name === "ctrlA") {
      this.#isBulk = true;
      return this.#set({ note: { text: "a letter now means all rows that are shown", isError: false } });
    }
    const columns = Object.keys(resource.columns).length;
    switch (key.input) {
      case "j":
        return this.#move(1);
      case "k":
        return this.#move(-1);
      case "g":
        return this.#move(Number.NEGATIVE_INFINITY);
      case "G":
        return this.#move(Number.POSITIVE_INFINITY);
      case "/":
        return this.#ask({ kind: "filter", text: this.#state.filter, question: "" });
      case "s": {
        const next = (sort?.column ?? -1) + 1;
        return this.#set({ sort: next >= columns ? null : { column: next, isDescending: false } });
      }
      case "S":
        return this.#set({ sort: sort && { ...sort, isDescending: !sort.isDescending } });
      default:
        return this.#act(resource, key.input);
    }
  }

  #pressInPrompt(prompt: Prompt, key: MonitorKey): void {
    if (prompt.kind === "confirm") {
      const action = key.input === "y" || key.input === "Y" ? this.#onConfirm : null;
      this.#onConfirm = null;
      this.#set({
        prompt: null,
        note: action === null ? { text: "nothing was done", isError: false } : null,
      });
      return void action?.();
    }
    const isFilter = prompt.kind === "filter";
    if (key.name === "escape") return this.#set({ prompt: null, ...(isFilter ? { filter: "" } : {}) });
    if (key.name === "enter") {
      this.#set({ prompt: null });
      return isFilter ? undefined : this.#command(prompt.text.trim());
    }
    const text = key.name === "backspace" ? prompt.text.slice(0, -1) : prompt.text + key.input;
    // What is shown follows while the filter is typed.
    this.#set({ prompt: { ...prompt, text }, ...(isFilter ? { filter: text } : {}) });
  }

  /** `:runs`, `:q`; the beginning of a name is enough. */
  #command(text: string): void {
    if (text === "q" || text === "quit") return this.#options.onQuit();
    if (text !== "" && "overview".startsWith(text)) return this.#look(null);
    const resource = text === "" ? undefined : CATALOG.find(({ name }) => name.startsWith(text));
    if (resource) return this.#look(resource);
    const names = CATALOG.map(({ name }) => name).join(" ");
    this.#set({ note: { text: `there is no :${text}; there are overview ${names}`, isError: true } });
  }

  #look(resource: Resource | null): void {
    this.#looking += 1;
    this.#set({
      view: resource === null ? "overview" : "resource",
      resource,
      items: [],
      total: 0,
      widths: resource === null ? [] : Object.keys(resource.columns).map((name) => name.length + 1),
      selectedId: null,
      filter: "",
      sort: null,
      detail: null,
      isHelp: false,
    });
    this.#wake.abort();
  }

  #back(): void {
    const { isHelp, detail, filter, view } = this.#state;
    this.#isBulk = false;
    if (isHelp) return this.#set({ isHelp: false });
    if (detail !== null) {
      this.#looking += 1;
      return this.#set({ detail: null });
    }
    if (filter !== "") return this.#set({ filter: "" });
    if (view === "resource") this.#look(null);
  }

  #move(by: number): void {
    const items = visibleItems(this.#state);
    const at = Math.max(
      0,
      items.findIndex((item) => idOf(item) === this.#state.selectedId),
    );
    const next = items[Math.max(0, Math.min(items.length - 1, at + by))];
    if (next) this.#set({ selectedId: idOf(next) });
  }

  #scrollDetail({ name, input }: MonitorKey): void {
    const { detail } = this.#state;
    if (detail === null) return;
    const page = pageRows(this.#rows);
    const by =
      { up: -1, down: 1, pageUp: -page, pageDown: page, k: -1, j: 1, g: -Infinity, G: Infinity }[
        name ?? input
      ] ?? 0;
    const last = Math.max(0, detail.lines.length - page);
    this.#set({ detail: { ...detail, scroll: Math.max(0, Math.min(last, detail.scroll + by)) } });
  }

  #selected(): Item | null {
    const items = visibleItems(this.#state);
    return items.find((item) => idOf(item) === this.#state.selectedId) ?? items[0] ?? null;
  }

  async #open(): Promise<void> {
    const { resource } = this.#state;
    const item = this.#selected();
    if (resource === null || item === null) return;
    this.#looking += 1;
    const looking = this.#looking;
    await this.#trying(async () => {
      const { lines, isLog } = await loadDetail(this.#options.client, resource, item);
      const scroll = isLog ? Math.max(0, lines.length - pageRows(this.#rows)) : 0;
      if (looking === this.#looking) this.#set({ detail: { id: idOf(item), lines, scroll } });
    });
  }

  #act(resource: Resource, letter: string): void {
    const isBulk = this.#isBulk;
    this.#isBulk = false;
    const verb = actionKeys(resource).find(({ key }) => key === letter)?.verb;
    const action = verb === undefined ? undefined : resource.actions?.[verb];
    if (verb === undefined || action === undefined) return;
    if (this.#state.isReadonly) {
      return this.#set({ note: { text: "read-only: nothing can be changed here", isError: true } });
    }
    const one = this.#selected();
    const items = isBulk ? visibleItems(this.#state).slice(0, BULK_MAX) : one === null ? [] : [one];
    if (items.length === 0) return;
    const perform = () => this.#perform(resource, { verb, action, items });
    if (!action.isFinal && !isBulk && !CAREFUL.has(verb)) return void perform();
    this.#onConfirm = perform;
    const what = items.length === 1 ? idOf(items[0] as Item) : `${items.length} ${resource.name}`;
    this.#ask({ kind: "confirm", text: "", question: `${verb} ${what}?` });
  }

  async #perform(
    resource: Resource,
    { verb, action, items }: { verb: string; action: Action; items: readonly Item[] },
  ): Promise<void> {
    let done = 0;
    const failed: string[] = [];
    for (const item of items) {
      const id = encodeURIComponent(idOf(item));
      const path = [resource.path, id, action.path ?? verb].filter((part) => part !== "").join("/");
      const method = action.method ?? "POST";
      try {
        await this.#options.client.request(method, path, {
          body: action.body ?? (method === "POST" ? {} : undefined),
        });
        done += 1;
      } catch (error) {
        failed.push(sentenceOf(error));
      }
    }
    const call = `${action.method ?? "POST"} /v1${resource.path}/${items.length === 1 ? idOf(items[0] as Item) : "…"}${action.path === "" ? "" : `/${action.path ?? verb}`}`;
    const text =
      failed.length === 0
        ? `${verb}: ${done} done   ${call}`
        : `${verb}: ${done} done, ${failed.length} not: ${failed[0]}`;
    this.#set({ note: { text, isError: failed.length > 0 } });
    this.#wake.abort();
  }

  async #read(): Promise<void> {
    const looking = this.#looking;
    const { resource, detail } = this.#state;
    await this.#trying(async () => {
      const { client } = this.#options;
      const [overview, list] = await Promise.all([
        loadOverview(client),
        resource === null || detail !== null ? null : loadList(client, resource),
      ]);
      if (looking !== this.#looking) return this.#set({ overview, trouble: null });
      this.#set({
        overview,
        trouble: null,
        ...(list === null || resource === null ? {} : { ...list, widths: this.#grown(resource, list.items) }),
      });
    });
  }

  #grown(resource: Resource, items: readonly Item[]): number[] {
    const widths = [...this.#state.widths];
    for (const item of items) {
      for (const [at, cell] of cellsOf(resource, item).entries()) {
        widths[at] = Math.max(widths[at] ?? 0, Bun.stringWidth(cell));
      }
    }
    return widths;
  }

  /** What goes wrong is shown until a reading succeeds. */
  async #trying(read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#set({ trouble: sentenceOf(error) });
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

const sentenceOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
