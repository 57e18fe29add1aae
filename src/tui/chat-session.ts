/**
 * The chat behind the screen: which session is open, what its stream has brought, what has been printed for good.
 * React only draws snapshots of it. Nothing here knows about terminals.
 *
 * Printed lines cannot be taken back, so an entry is printed when it is settled and not before.
 */
import type { Client } from "../client/client.ts";
import type { Entry } from "../client/entries.ts";
import { ClientError } from "../client/errors.ts";
import { streamEvents } from "../client/stream.ts";
import { emptyTranscript, foldTranscript, settledCount, type Transcript } from "../client/transcript.ts";
import type { Event, EventType } from "../contract/event.ts";
import type { Session } from "../contract/session.ts";
import { contentOf, readAttachments } from "./attachments.ts";
import { CatchUp } from "./catch-up.ts";
import { Decisions } from "./decisions.ts";
import { Limits, type SessionLimits } from "./limits.ts";
import type { LocalFiles, TypedHistory } from "./local.ts";
import { type Prompt, Questions } from "./questions.ts";
import { isRefusedFilter, READ_TYPES } from "./read-types.ts";
import { sentenceOf } from "./words.ts";

/** Something that stands above the live part of the screen for good. */
export type Printed = { key: string } & (
  | { kind: "entry"; entry: Entry; isExpanded?: boolean }
  | { kind: "note"; text: string; isError: boolean }
);

export type Connection =
  | { state: "none" | "loading" | "live" }
  | { state: "lost"; reason: string; retryInMs: number };

export interface ChatSnapshot {
  /** Null until the first message of a new session is sent. */
  sessionId: string | null;
  agent: string | null;
  transcript: Transcript;
  printed: readonly Printed[];
  /** Entries that may still change. */
  open: readonly Entry[];
  connection: Connection;
  /** A message that was sent and has not come back as an event yet, or null. */
  sending: string | null;
  /** Whether the turn under way has been asked to stop. */
  isInterrupting: boolean;
  /** What the person typed, oldest first. */
  history: readonly string[];
  /** What becomes of a message that is sent while a turn runs. */
  delivery: "steer" | "queue";
  prompt: Prompt | null;
  /** What the program itself is doing that Esc ends, or null. */
  task: string | null;
  limits: SessionLimits;
  /** Grows when what was printed is to be printed anew. */
  printing: number;
}

export interface ChatSessionOptions {
  client: Client;
  /** Creates the session of the first message. @param agentId  chosen in the chat; null: as the chat was begun */
  createSession(agentId: string | null): Promise<Session>;
  /** Agent of a new session, to be shown before there is one. */
  agent: string | null;
  model: string | null;
  files: LocalFiles;
  history: TypedHistory;
}

/** What is printed again when everything folds or unfolds: more would take the terminal more than a moment. */
export const REPRINTED_MAX = 500;
/** A long past is not printed again in full. */
const BACKLOG_ENTRIES = 200;
/** Events of one such span are drawn together: no more often than the screen shows them. */
const BATCH_MS = 66;

export class ChatSession {
  readonly #options: ChatSessionOptions;
  readonly #listeners = new Set<() => void>();
  #snapshot: ChatSnapshot;
  #settled = 0;
  #noteCount = 0;
  /** How much of what was printed is printed anew no more. */
  #leftOut = 0;
  /** Chosen in the chat; null: the session's own. */
  #model: { id: string; name: string } | null = null;
  #pending: Event[] = [];
  #flushTimer: ReturnType<typeof setTimeout> | null = null;
  /** Id of the last event of the past that is being loaded; null when live. */
  #loadUntil: string | null = null;
  /** What the stream is asked for; undefined: whatever the server sends who names nothing. */
  #types: readonly EventType[] | undefined = READ_TYPES;
  #stream = new AbortController();
  /** Chosen in the chat, for the next session. */
  #agentId: string | null = null;
  readonly #limits: Limits;
  #catchUp: CatchUp | null = null;
  readonly questions: Questions;
  readonly decisions: Decisions;

  constructor(options: ChatSessionOptions) {
    this.#options = options;
    this.#limits = new Limits(options.client);
    this.questions = new Questions((change) => this.#set(change));
    this.decisions = new Decisions(options.client, this, () => this.#set({}));
    this.#snapshot = {
      sessionId: null,
      agent: options.agent,
      transcript: { ...emptyTranscript, model: options.model },
      printed: [],
      open: [],
      connection: { state: "none" },
      sending: null,
      isInterrupting: false,
      history: options.history.entries,
      delivery: "steer",
      prompt: null,
      task: null,
      limits: { contextWindow: null, budgetLeft: null },
      printing: 0,
    };
  }

  /** For React's useSyncExternalStore. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly snapshot = (): ChatSnapshot => this.#snapshot;

  /** Comes back to a session: its past is printed, then the stream goes on live. @throws ClientError */
  async open(session: Session): Promise<void> {
    const agent = session.agent_id ? await this.#agentName(session.agent_id) : null;
    const lastEventId = await this.#lastEventId(session.id);
    this.#restart(session.id, agent, session.forked_from_sequence);
    const isQueueing = session.default_delivery === "queue";
    this.#set({ delivery: isQueueing ? "queue" : "steer" });
    this.#loadUntil = lastEventId;
    this.#follow(session.id);
  }

  /**
   * Forgets the session; the next message begins a new one. The old one goes on by itself.
   *
   * @param agent  of the new session; the one that the chat was begun with by default
   */
  reset(agent: { id: string; name: string } | null = null): void {
    this.#agentId = agent?.id ?? null;
    this.#restart(null, agent?.name ?? this.#options.agent);
  }

  /** The model of the messages to come, also of a session that has none yet. */
  chooseModel(model: { id: string; name: string }): void {
    this.#model = model;
    this.#set({ transcript: { ...this.#snapshot.transcript, model: model.name } });
  }

  /** Sends a message, with the files it names behind `@`. @returns false when it could not be sent; the reason has been printed */
  async send(text: string): Promise<boolean> {
    const { client, files, history } = this.#options;
    this.#set({ sending: text, history: [...this.#snapshot.history, text] });
    history.add(text);
    try {
      const attached = await readAttachments(text, files);
      let { sessionId } = this.#snapshot;
      if (sessionId === null) {
        const session = await this.#options.createSession(this.#agentId);
        sessionId = session.id;
        this.#set({ sessionId, connection: { state: "loading" } });
        this.#follow(sessionId);
      }
      const isActive = this.#snapshot.transcript.status === "active";
      await client.createMessage(sessionId, {
        message: { role: "user", content: await contentOf(client, sessionId, text, attached) },
        ...(this.#model === null ? {} : { controls: { model_id: this.#model.id } }),
        ...(isActive ? { delivery: this.#snapshot.delivery } : {}),
      });
      return true;
    } catch (error) {
      this.#set({ sending: null });
      this.note(`the message was not sent: ${sentenceOf(error)}`, { isError: true });
      return false;
    }
  }

  /** Switches what becomes of a message that is sent while a turn runs. */
  toggleDelivery(): void {
    this.#set({ delivery: this.#snapshot.delivery === "steer" ? "queue" : "steer" });
  }

  /**
   * Takes a message back that waits for its turn: the last one by default.
   *
   * @param place  1 is next
   * @returns its text; null when there is none, or it could not be taken back: the reason has been printed
   */
  async takeBack(place?: number): Promise<string | null> {
    const { sessionId, transcript } = this.#snapshot;
    const queued = transcript.waiting.filter(({ delivery }) => delivery === "queue");
    const message = place === undefined ? queued.at(-1) : queued[place - 1];
    if (sessionId === null || !message) return null;
    try {
      await this.#options.client.withdrawMessage(sessionId, message.messageId);
      return message.text;
    } catch (error) {
      this.note(`the message was not taken back: ${sentenceOf(error)}`, { isError: true });
      return null;
    }
  }

  /** Asks the server to end the turn under way; the stream tells when it has. */
  async interrupt(): Promise<void> {
    const { sessionId, transcript, isInterrupting } = this.#snapshot;
    if (sessionId === null || transcript.status !== "active" || isInterrupting) return;
    this.#set({ isInterrupting: true });
    try {
      await this.#options.client.cancelTurn(sessionId);
    } catch (error) {
      this.#set({ isInterrupting: false });
      this.note(`could not interrupt the turn: ${sentenceOf(error)}`, { isError: true });
    }
  }

  /** Prints the last tool call or thought again, in full. @returns false when there is none */
  unfoldLast(): boolean {
    const entry = this.#snapshot.transcript.entries.findLast(
      (each) =>
        each.isSettled && (each.kind === "tool" || (each.kind === "assistant" && each.thinking !== "")),
    );
    if (!entry) return false;
    this.#noteCount += 1;
    const unfolded: Printed = { key: `unfolded:${this.#noteCount}`, kind: "entry", entry, isExpanded: true };
    this.#set({ printed: [...this.#snapshot.printed, unfolded] });
    return true;
  }

  /** Has what was printed printed anew: it is folded or unfolded now. Says how much of it is not, if any. */
  reprint(): void {
    const all = this.#snapshot.printed.filter(({ key }) => key !== LEFT_OUT);
    const kept = all.slice(-REPRINTED_MAX);
    this.#leftOut += all.length - kept.length;
    const text = `${this.#leftOut} earlier entries stay as they were printed first, further up`;
    const note: Printed = { key: LEFT_OUT, kind: "note", text, isError: false };
    const printed = this.#leftOut === 0 ? kept : [note, ...kept];
    this.#set({ printed, printing: this.#snapshot.printing + 1 });
  }

  /** Prints a remark of the program itself, above what is live. */
  note(text: string, { isError = false } = {}): void {
    this.#noteCount += 1;
    const note: Printed = { key: `note:${this.#noteCount}`, kind: "note", text, isError };
    this.#set({ printed: [...this.#snapshot.printed, note] });
  }

  /** Lets go of the session, which goes on by itself. */
  close(): void {
    this.#stream.abort();
    this.questions.abortTask();
    this.#catchUp = null;
    if (this.#flushTimer) clearTimeout(this.#flushTimer);
    this.#flushTimer = null;
  }

  #restart(sessionId: string | null, agent: string | null, inheritedUntil = 0): void {
    this.close();
    this.#stream = new AbortController();
    this.#settled = 0;
    this.#pending = [];
    this.#loadUntil = null;
    this.#set({
      sessionId,
      agent,
      transcript: {
        ...emptyTranscript,
        model: sessionId === null ? this.#options.model : null,
        inheritedUntil,
      },
      open: [],
      connection: { state: sessionId === null ? "none" : "loading" },
      sending: null,
      isInterrupting: false,
      limits: { contextWindow: null, budgetLeft: null },
    });
  }

  async #follow(sessionId: string): Promise<void> {
    const { signal } = this.#stream;
    try {
      const events = streamEvents(this.#options.client, sessionId, {
        signal,
        types: this.#types,
        deltas: "plain",
        onConnected: () => {
          if (signal.aborted) return;
          const isLoading = this.#loadUntil !== null;
          if (this.#snapshot.connection.state === "lost" && !isLoading) void this.#beginCatchUp(sessionId);
          this.#set({ connection: { state: isLoading ? "loading" : "live" } });
        },
        onReconnect: ({ reason, delayMs }) => {
          if (signal.aborted || reason === null) return;
          this.#catchUp = null;
          this.#set({ connection: { state: "lost", reason, retryInMs: delayMs } });
        },
      });
      for await (const event of events) {
        if (signal.aborted) return;
        this.#pending.push(event);
        this.#flushTimer ??= setTimeout(() => this.#flush(), BATCH_MS);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (this.#types && isRefusedFilter(error)) {
        this.#types = undefined;
        return this.#follow(sessionId);
      }
      this.#set({ connection: { state: "none" }, sending: null });
      this.note(`the stream of the session ended: ${sentenceOf(error)}`, { isError: true });
    }
  }

  /** The stream is back: says how much came while it was gone, once all of that has been drawn. */
  async #beginCatchUp(sessionId: string): Promise<void> {
    const catchUp = new CatchUp();
    this.#catchUp = catchUp;
    try {
      const newest = await this.#options.client.listEvents(sessionId, { limit: 1, types: this.#types });
      catchUp.until(newest.at(-1)?.sequence ?? 0);
      this.#endCatchUp();
    } catch {
      // The stream says itself when the connection is gone again: then this is no news any more.
      if (this.#catchUp !== catchUp) return;
      this.#catchUp = null;
      this.note("reconnected");
    }
  }

  #endCatchUp(): void {
    const count = this.#catchUp?.count(this.#snapshot.transcript.sequence) ?? null;
    if (count === null) return;
    this.#catchUp = null;
    const what = count === 0 ? "nothing was missed" : `${count} event${count === 1 ? "" : "s"} caught up`;
    this.note(`reconnected, ${what}`);
  }

  /** Looks up how large the model's window is and what is left to spend, and shows it when it is known. */
  async lookUpLimits(): Promise<void> {
    const { signal } = this.#stream;
    const { sessionId, transcript } = this.#snapshot;
    if (sessionId === null) return;
    const limits = await this.#limits.of(sessionId, transcript.model);
    if (!signal.aborted) this.#set({ limits });
  }

  #flush(): void {
    this.#flushTimer = null;
    const events = this.#pending;
    this.#pending = [];
    const transcript = foldTranscript(this.#snapshot.transcript, events);
    if (this.#loadUntil !== null) {
      if (!events.some(({ id }) => id === this.#loadUntil)) return this.#set({ transcript });
      this.#loadUntil = null;
      this.#skipBacklog(transcript);
    }
    const settled = settledCount(transcript);
    const fresh = transcript.entries
      .slice(this.#settled, settled)
      .map((entry): Printed => ({ key: `${this.#snapshot.sessionId}:${entry.key}`, kind: "entry", entry }));
    this.#settled = settled;
    const isActive = transcript.status === "active";
    const isNewlyAtRest = this.#snapshot.transcript.status !== "idle" && transcript.status === "idle";
    const { connection } = this.#snapshot;
    const isNewModel = this.#snapshot.transcript.model !== transcript.model;
    this.#set({
      transcript,
      // What had arrived before the connection was lost brings it back no more.
      connection: connection.state === "loading" ? { state: "live" } : connection,
      open: openEntries(transcript, settled),
      printed: fresh.length === 0 ? this.#snapshot.printed : [...this.#snapshot.printed, ...fresh],
      sending: events.some(({ type }) => ARRIVALS.includes(type)) ? null : this.#snapshot.sending,
      isInterrupting: this.#snapshot.isInterrupting && isActive,
    });
    this.#catchUp?.add(events);
    this.#endCatchUp();
    if (isNewlyAtRest || isNewModel) void this.lookUpLimits();
  }

  #skipBacklog(transcript: Transcript): void {
    this.#settled = Math.max(0, settledCount(transcript) - BACKLOG_ENTRIES);
    const said = transcript.entries.flatMap((entry) => (entry.kind === "user" ? [entry.text] : []));
    const typed = this.#snapshot.history.filter((text) => !said.includes(text));
    this.#set({ history: [...typed, ...said] });
    if (this.#settled > 0) this.note(`${this.#settled} earlier entries are not shown`);
  }

  async #lastEventId(sessionId: string): Promise<string | null> {
    const { client } = this.#options;
    try {
      return await client.lastEventId(sessionId, this.#types);
    } catch (error) {
      if (!this.#types || !isRefusedFilter(error)) throw error;
      this.#types = undefined;
      return client.lastEventId(sessionId);
    }
  }

  async #agentName(id: string): Promise<string> {
    try {
      return (await this.#options.client.getAgent(id)).name;
    } catch (error) {
      if (error instanceof ClientError && error.status === 404) return id; // archived and gone: the id still says which
      throw error;
    }
  }

  #set(change: Partial<ChatSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of this.#listeners) listener();
  }
}

/** Key of the remark about what is not printed anew. */
const LEFT_OUT = "left-out";

/** A message that was sent is in the log. */
const ARRIVALS: readonly string[] = ["input.message", "input.queued"];

/** What may still change; a message that the agent has not read stands above the prompt instead. */
function openEntries({ entries, waiting }: Transcript, settled: number): Entry[] {
  const unread = new Set(waiting.map(({ messageId }) => messageId));
  return entries.slice(settled).filter((entry) => entry.kind !== "user" || !unread.has(entry.messageId));
}
