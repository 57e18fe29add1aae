/**
 * The chat behind the screen: which session is open, what its stream has brought, what has been printed for good.
 * React only draws snapshots of it. Nothing here knows about terminals.
 *
 * Printed lines cannot be taken back, so an entry is printed when it is settled and not before.
 */
import type { Client } from "../client/client.ts";
import type { Entry, ToolEntry } from "../client/entries.ts";
import { ClientError } from "../client/errors.ts";
import { plainText } from "../client/plain-text.ts";
import { streamEvents } from "../client/stream.ts";
import { emptyTranscript, foldTranscript, settledCount, type Transcript } from "../client/transcript.ts";
import type { ApprovalDecision } from "../contract/approval.ts";
import type { Event } from "../contract/event.ts";
import type { Session } from "../contract/session.ts";

/** Something that stands above the live part of the screen for good. */
export type Printed = { key: string } & (
  | { kind: "entry"; entry: Entry }
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
  /** What the person typed in this session, oldest first. */
  history: readonly string[];
}

export interface ChatSessionOptions {
  client: Client;
  /** Creates the session of the first message. */
  createSession(): Promise<Session>;
  /** Agent of a new session, to be shown before there is one. */
  agent: string | null;
  model: string | null;
}

/** Events that only fill the wire: the transcript reads none of them. */
const EXCLUDED = ["llm.generation", "reason.item"] as const;
/** A long past is not printed again in full. */
const BACKLOG_ENTRIES = 200;
/** Events of one such span are drawn together. */
const BATCH_MS = 33;

export class ChatSession {
  readonly #options: ChatSessionOptions;
  readonly #listeners = new Set<() => void>();
  #snapshot: ChatSnapshot;
  #settled = 0;
  #noteCount = 0;
  /** Chosen in the chat; null: the session's own. */
  #model: { id: string; name: string } | null = null;
  /** Keys of the calls that were decided here, and whose outcome the stream has not told yet. */
  readonly #deciding = new Set<string>();
  #pending: Event[] = [];
  #flushTimer: ReturnType<typeof setTimeout> | null = null;
  /** Id of the last event of the past that is being loaded; null when live. */
  #loadUntil: string | null = null;
  #stream = new AbortController();

  constructor(options: ChatSessionOptions) {
    this.#options = options;
    this.#snapshot = {
      sessionId: null,
      agent: options.agent,
      transcript: { ...emptyTranscript, model: options.model },
      printed: [],
      open: [],
      connection: { state: "none" },
      sending: null,
      isInterrupting: false,
      history: [],
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
    const lastEventId = await this.#options.client.lastEventId(session.id);
    this.#restart(session.id, agent);
    this.#loadUntil = lastEventId;
    this.#follow(session.id, undefined);
  }

  /** Forgets the session; the next message begins a new one. The old one goes on by itself. */
  reset(): void {
    this.#restart(null, this.#options.agent);
  }

  /** The model of the messages to come, also of a session that has none yet. */
  chooseModel(model: { id: string; name: string }): void {
    this.#model = model;
    this.#set({ transcript: { ...this.#snapshot.transcript, model: model.name } });
  }

  /** Sends a message. @returns false when it could not be sent; the reason has been printed */
  async send(text: string): Promise<boolean> {
    const { client } = this.#options;
    this.#set({ sending: text, history: [...this.#snapshot.history, text] });
    try {
      let { sessionId } = this.#snapshot;
      if (sessionId === null) {
        const session = await this.#options.createSession();
        sessionId = session.id;
        this.#set({ sessionId, connection: { state: "loading" } });
        this.#follow(sessionId, undefined);
      }
      await client.createMessage(sessionId, {
        message: { role: "user", content: [{ type: "text", text }] },
        ...(this.#model === null ? {} : { controls: { model_id: this.#model.id } }),
      });
      return true;
    } catch (error) {
      this.#set({ sending: null });
      this.note(`the message was not sent: ${sentenceOf(error)}`, { isError: true });
      return false;
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

  /** The first call that waits for somebody's approval, or null. */
  waitingApproval(): ToolEntry | null {
    const waiting = this.#snapshot.open.find(
      (entry) => entry.kind === "tool" && entry.waitsFor === "approval",
    );
    return waiting?.kind === "tool" && !this.#deciding.has(waiting.key) ? waiting : null;
  }

  /** Says what becomes of a call that waits; the stream tells what came of it. */
  async decide(call: ToolEntry, decision: ApprovalDecision, comment?: string): Promise<void> {
    const { sessionId } = this.#snapshot;
    if (sessionId === null || this.#deciding.has(call.key)) return;
    this.#deciding.add(call.key);
    this.#set({});
    try {
      const pending = { session_id: sessionId, status: "pending", limit: 100 };
      const { data } = await this.#options.client.listApprovals(pending);
      const approval = data.find((each) => each.tool_call_id === call.callId);
      if (!approval) throw new Error("it does not wait any more");
      await this.#options.client.decideApproval(approval.id, {
        decision,
        ...(comment === undefined ? {} : { comment }),
      });
      this.note(
        `${DECISIONS[decision]} ${plainText(call.name)}${comment === undefined ? "" : `: ${comment}`}`,
      );
    } catch (error) {
      this.#deciding.delete(call.key);
      this.note(`${plainText(call.name)} was not decided: ${sentenceOf(error)}`, { isError: true });
    }
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
    if (this.#flushTimer) clearTimeout(this.#flushTimer);
    this.#flushTimer = null;
  }

  #restart(sessionId: string | null, agent: string | null): void {
    this.close();
    this.#stream = new AbortController();
    this.#settled = 0;
    this.#pending = [];
    this.#loadUntil = null;
    this.#set({
      sessionId,
      agent,
      transcript: { ...emptyTranscript, model: sessionId === null ? this.#options.model : null },
      open: [],
      connection: { state: sessionId === null ? "none" : "loading" },
      sending: null,
      isInterrupting: false,
      history: [],
    });
  }

  async #follow(sessionId: string, sinceId: string | undefined): Promise<void> {
    const { signal } = this.#stream;
    try {
      const events = streamEvents(this.#options.client, sessionId, {
        sinceId,
        signal,
        exclude: EXCLUDED,
        onConnected: () => {
          if (!signal.aborted && this.#loadUntil === null) this.#set({ connection: { state: "live" } });
        },
        onReconnect: ({ reason, delayMs }) => {
          if (signal.aborted || reason === null) return;
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
      this.#set({ connection: { state: "none" }, sending: null });
      this.note(`the stream of the session ended: ${sentenceOf(error)}`, { isError: true });
    }
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
    this.#set({
      transcript,
      connection: { state: "live" },
      open: transcript.entries.slice(settled),
      printed: fresh.length === 0 ? this.#snapshot.printed : [...this.#snapshot.printed, ...fresh],
      sending: events.some(({ type }) => type === "input.message") ? null : this.#snapshot.sending,
      isInterrupting: this.#snapshot.isInterrupting && isActive,
    });
  }

  #skipBacklog(transcript: Transcript): void {
    this.#settled = Math.max(0, settledCount(transcript) - BACKLOG_ENTRIES);
    const said = transcript.entries.flatMap((entry) => (entry.kind === "user" ? [entry.text] : []));
    this.#set({ history: [...said, ...this.#snapshot.history] });
    if (this.#settled > 0) this.note(`${this.#settled} earlier entries are not shown`);
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

const DECISIONS: Record<ApprovalDecision, string> = {
  allow: "allowed",
  allow_always: "allowed from now on:",
  reject: "refused",
  reject_always: "refused from now on:",
};

/** What went wrong, for one line on the screen. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
