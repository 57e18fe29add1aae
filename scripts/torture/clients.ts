/**
 * The clients under torture. Each talks in one session and never gives up: a POST whose outcome is unknown is
 * repeated with the same client_message_id until there is an answer, a stream that broke is resumed after the last
 * event that came whole. They write down everything that they were told; what to make of it is the checker's.
 */
import { createSseDecoder } from "../../src/base/sse.ts";
import { createClient } from "../../src/client/client.ts";
import { ClientError } from "../../src/client/errors.ts";
import { EVENT_TYPES, type Event } from "../../src/contract/event.ts";
import type { Delivery } from "../../src/contract/message.ts";
import { CAPABILITY_ID, EFFECTS, toolOf } from "./capability.ts";
import type { Random } from "./random.ts";

/** A message, from the client's side. */
export interface Sent {
  sessionId: string;
  clientMessageId: string;
  /** What the 201 said; one more for each time that it was asked again although it had answered. */
  answers: { messageId: string; sequence: number; turnId: string; delivery: string }[];
  /** POSTs that it took, those without an answer included. */
  tries: number;
  /** Answered with 409: nothing may have been written. */
  isRefused: boolean;
}

/** What a client said about a call that waited for it: the result of its own tool, or a decision. */
export interface Said {
  sessionId: string;
  callId: string;
  kind: "result" | "allow" | "reject";
  /** Of a result. */
  text: string;
  /** Before it was sent, in Unix milliseconds. */
  sentMs: number;
  /** Whether the server said that it counts. */
  isAccepted: boolean;
}

/** Everything that one reader was sent, in the order in which it came, over all its connections. */
export interface Received {
  sessionId: string;
  reader: string;
  /** Whether it asked for every type by name; otherwise it is not sent those that the wire contract does not know. */
  seesAll: boolean;
  events: Event[];
  connections: number;
}

export interface Witness {
  sent: Sent[];
  said: Said[];
  received: Received[];
  /** Sessions whose at_most_once calls need somebody's consent. */
  guarded: string[];
  /** Answers with status 500, with what they said. */
  internalErrors: string[];
  cancels: number;
}

export interface Clients {
  witness: Witness;
  /** Resolves when every client has said what it had to say; readers go on. */
  said: Promise<void>;
  /** Resolves when each reader has got this far, or rejects with who has not within the time. */
  caughtUp(lastSequences: ReadonlyMap<string, number>, withinMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** A stream on which nothing has come for so long is left for another; the server's heartbeat is slower. */
const QUIET_MS_MAX = 4_000;
const REQUEST_MS_MAX = 5_000;
/** Of the synthetic calls that ask for a decision. */
const APPROVAL_PREFIX = "tool_approval_";
export const CLIENT_TOOL = "torture_client";
const RETRY_MS = { min: 20, max: 400 };

export function startClients(options: {
  servers: readonly [string, ...string[]];
  sessions: number;
  random: Random;
  /** Asked before each turn. */
  goesOn(turnsSaid: number): boolean;
}): Clients {
  const witness: Witness = {
    sent: [],
    said: [],
    received: [],
    guarded: [],
    internalErrors: [],
    cancels: 0,
  };
  const stopped = new AbortController();
  const readers: Promise<void>[] = [];

  /** Fails fast, and remembers every answer that should not have been given. */
  const request = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const timeout = AbortSignal.timeout(REQUEST_MS_MAX);
    const response = await fetch(url, {
      ...init,
      signal: init.signal ? AbortSignal.any([init.signal, timeout]) : timeout,
    });
    if (response.status === 500) {
      witness.internalErrors.push(`${init.method ?? "GET"} ${url}: ${await response.clone().text()}`);
    }
    return response;
  };
  /** Asks one server after the other until one answers. Only for calls that may be repeated. */
  const insist = async <T>(
    random: Random,
    ask: (baseUrl: string) => Promise<T>,
    onTry = () => {},
  ): Promise<T> => {
    for (;;) {
      onTry();
      try {
        return await ask(random.pick(options.servers));
      } catch (error) {
        if (error instanceof ClientError && !error.isRetryable && error.status !== 0) throw error;
        await Bun.sleep(random.between(RETRY_MS.min, RETRY_MS.max));
      }
    }
  };
  const clientOf = (baseUrl: string) => createClient({ baseUrl, apiKey: null, fetch: request });

  /** @returns the turn that the message belongs to; null when it was refused */
  const send = async (
    random: Random,
    sessionId: string,
    text: string,
    delivery: Delivery = "steer",
  ): Promise<string | null> => {
    const sent: Sent = {
      sessionId,
      clientMessageId: crypto.randomUUID(),
      answers: [],
      tries: 0,
      isRefused: false,
    };
    witness.sent.push(sent);
    const post = () =>
      insist(
        random,
        (baseUrl) =>
          clientOf(baseUrl).createMessage(sessionId, {
            message: { role: "user", content: [{ type: "text", text: `${sent.clientMessageId}\n${text}` }] },
            client_message_id: sent.clientMessageId,
            delivery,
          }),
        () => {
          sent.tries += 1;
        },
      );
    // Now and then a client forgets that it was answered.
    for (let times = random.chance(0.1) ? 2 : 1; times > 0; times -= 1) {
      try {
        const answer = await post();
        const { id, sequence, turn_id } = answer;
        sent.answers.push({ messageId: id, sequence, turnId: turn_id, delivery: answer.delivery });
      } catch (error) {
        if (!(error instanceof ClientError) || error.status !== 409) throw error;
        sent.isRefused = true;
        return null;
      }
    }
    return sent.answers[0]?.turnId ?? null;
  };

  /** Posts once what a call waits for. A refusal is an answer, too: somebody or something else came first. */
  const say = async (random: Random, path: string, body: object, told: readonly Said[]): Promise<void> => {
    witness.said.push(...told);
    try {
      const response = await request(
        `${random.pick(options.servers)}/v1/sessions/${told[0]?.sessionId}/${path}`,
        {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        },
      );
      if (!response.ok) return;
      const answer = (await response.json()) as { accepted?: number; resolved?: { tool_call_id: string }[] };
      for (const one of told) {
        one.isAccepted =
          one.kind === "result"
            ? answer.accepted === told.length
            : (answer.resolved ?? []).some(({ tool_call_id }) => tool_call_id === one.callId);
      }
    } catch {
      // Whether it arrived is not known; it is said again as long as the call waits.
    }
  };

  const sayResults = (random: Random, sessionId: string, callIds: readonly string[]) => {
    const told = callIds.map((callId) => ({
      sessionId,
      callId,
      kind: "result" as const,
      text: `result ${crypto.randomUUID()}`,
      sentMs: Date.now(),
      isAccepted: false,
    }));
    const results = told.map(({ callId, text }) => ({ tool_call_id: callId, result: text }));
    return say(random, "tool-results", { tool_results: results }, told);
  };

  const sayDecisions = (random: Random, sessionId: string, callIds: readonly string[]) => {
    const told = callIds.map((callId) => ({
      sessionId,
      callId,
      kind: random.chance(0.7) ? ("allow" as const) : ("reject" as const),
      text: "",
      sentMs: Date.now(),
      isAccepted: false,
    }));
    const decisions = told.map(({ callId, kind }) => ({ tool_call_id: callId, decision: kind }));
    return say(random, "tool-approvals", { decisions }, told);
  };

  const converse = async (random: Random): Promise<void> => {
    const isGuarded = random.chance(0.4);
    const { id: sessionId } = await insist(random, (baseUrl) =>
      clientOf(baseUrl).createSession({
        capabilities: [
          { ref: CAPABILITY_ID },
          { ref: "session_file_system" },
          { ref: "timer" },
          ...(isGuarded ? [{ ref: "tool_approval" }] : []),
        ],
        tools: [
          {
            type: "client_side",
            name: CLIENT_TOOL,
            description: "The client's own.",
            parameters: { type: "object", properties: {} },
          },
        ],
      }),
    );
    if (isGuarded) witness.guarded.push(sessionId);
    const first = startReader(sessionId, "first", false, random.fork());
    startReader(sessionId, "second", true, random.fork());
    for (let turns = 0; options.goesOn(turns); turns += 1) {
      const open = new Set<string>();
      const also = async (text: string, delivery?: Delivery) => {
        const turnId = await send(random, sessionId, text, delivery);
        if (turnId !== null) open.add(turnId);
      };
      await also(script(random));
      const isOver = () => [...open].every((turnId) => first.ended.has(turnId));
      while (!isOver() && !stopped.signal.aborted) {
        await Bun.sleep(random.between(20, 250));
        if (isOver()) break;
        const draw = random.next();
        if (draw < 0.04) await also("And this, too, please.");
        else if (draw < 0.08) await also(script(random), "queue");
        else if (draw < 0.1) await also(script(random), "interrupt");
        else if (draw < 0.11) await also("Only if there is nothing else.", "reject");
        else if (draw < 0.13) {
          witness.cancels += 1;
          await insist(random, (baseUrl) => clientOf(baseUrl).cancelTurn(sessionId));
        }
        if (random.chance(0.5)) continue;
        const calls = [...first.clientCalls].filter(() => random.chance(0.7));
        if (calls.length > 0) await sayResults(random, sessionId, calls);
        if (first.approvals.size > 0) await sayDecisions(random, sessionId, [...first.approvals]);
      }
    }
  };

  /** Reads until it is stopped, drops its connection at random, and goes on after the last whole event. */
  const startReader = (sessionId: string, reader: string, seesAll: boolean, random: Random) => {
    const received: Received = { sessionId, reader, seesAll, events: [], connections: 0 };
    const ended = new Set<string>();
    /** Calls that wait for the client, as far as this reader has seen. */
    const clientCalls = new Set<string>();
    const approvals = new Set<string>();
    const note = (event: Event) => {
      if (/^turn\.(completed|failed|cancelled|sealed)$/.test(event.type)) {
        ended.add(String(event.context.turn_id));
        clientCalls.clear();
        approvals.clear();
      } else if (event.type === "tool.call_requested") {
        for (const { id } of event.data.tool_calls) {
          if (id.startsWith(APPROVAL_PREFIX)) approvals.add(id.slice(APPROVAL_PREFIX.length));
          else clientCalls.add(id);
        }
      } else if (event.type === "tool.completed") {
        clientCalls.delete(event.data.tool_call_id);
        approvals.delete(event.data.tool_call_id);
      }
    };
    witness.received.push(received);
    const readOnce = async () => {
      const connection = new AbortController();
      const end = () => connection.abort();
      stopped.signal.addEventListener("abort", end, { once: true });
      let quiet = setTimeout(end, QUIET_MS_MAX);
      const drop = setTimeout(end, random.between(200, 15_000));
      try {
        const after = received.events.at(-1)?.id;
        const query = new URLSearchParams(after === undefined ? {} : { since_id: after });
        if (seesAll) for (const type of EVENT_TYPES) query.append("types", type);
        const response = await fetch(
          `${random.pick(options.servers)}/v1/sessions/${sessionId}/sse?${query}`,
          { signal: connection.signal },
        );
        if (response.status === 500) {
          witness.internalErrors.push(`GET ${response.url}: ${await response.text()}`);
        }
        if (!response.ok || !response.body) return;
        received.connections += 1;
        const decoder = createSseDecoder();
        const text = new TextDecoder();
        for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
          clearTimeout(quiet);
          quiet = setTimeout(end, QUIET_MS_MAX);
          for (const frame of decoder.feed(text.decode(bytes, { stream: true }))) {
            if (frame.id === null) continue;
            const event = JSON.parse(frame.data) as Event;
            received.events.push(event);
            note(event);
          }
        }
      } catch {
        // Dropped by us, or broken by the other side: the next connection goes on where this one was.
      } finally {
        clearTimeout(quiet);
        clearTimeout(drop);
        stopped.signal.removeEventListener("abort", end);
        connection.abort();
      }
    };
    const read = async () => {
      while (!stopped.signal.aborted) {
        await readOnce();
        if (!stopped.signal.aborted) await Bun.sleep(random.between(RETRY_MS.min, RETRY_MS.max));
      }
    };
    readers.push(read());
    return { ended, clientCalls, approvals };
  };

  const said = Promise.all(Array.from({ length: options.sessions }, () => converse(options.random.fork())));
  return {
    witness,
    said: said.then(() => {}),
    async caughtUp(lastSequences, withinMs) {
      const start = performance.now();
      for (;;) {
        const behind = witness.received.filter(
          ({ sessionId, events }) => (events.at(-1)?.sequence ?? 0) < (lastSequences.get(sessionId) ?? 0),
        );
        if (behind.length === 0) return;
        if (performance.now() - start > withinMs) {
          const who = behind.map(({ sessionId, reader, events }) => {
            const { sequence = 0 } = events.at(-1) ?? {};
            return `${sessionId} ${reader}: ${sequence} of ${lastSequences.get(sessionId)}`;
          });
          throw new Error(`readers have not caught up: ${who.join(", ")}`);
        }
        await Bun.sleep(20);
      }
    },
    async stop() {
      stopped.abort();
      await Promise.all(readers);
    },
  };
}

/** A conversation of one to four answers, with calls of tools of all effects, pauses, and failures of the provider. */
function script(random: Random): string {
  const calls = (count: number) =>
    Array.from({ length: count }, (_, n) =>
      random.pick([
        () => ({ name: toolOf(random.pick(EFFECTS)), arguments: { ms: random.between(0, 400) } }),
        () => ({ name: toolOf(random.pick(EFFECTS)), arguments: { ms: random.between(0, 400) } }),
        () => ({ name: toolOf(random.pick(EFFECTS)), arguments: { ms: random.between(0, 400) } }),
        () => ({ name: CLIENT_TOOL, arguments: {} }),
        () => ({ name: "write_file", arguments: { path: `/${n}.md`, content: words(random, 5) } }),
        () =>
          random.chance(0.3)
            ? { name: "wait", arguments: { seconds: 1 } }
            : { name: CLIENT_TOOL, arguments: {} },
      ])(),
    );
  const step = (isLast: boolean) => ({
    text: words(random, random.between(2, 40)),
    ...(random.chance(0.2) ? { thinking: words(random, 8) } : {}),
    ...(isLast ? {} : { tool_calls: calls(random.between(1, 4)) }),
    ...(random.chance(0.1)
      ? {
          error: {
            code: "provider_unavailable",
            times: 1,
            retry_after_ms: 10,
            mid_stream: random.chance(0.5),
          },
        }
      : {}),
  });
  const count = random.between(1, 4);
  const steps = Array.from({ length: count }, (_, n) => step(n === count - 1));
  const pace = { rate: random.pick([0, 100, 400]), latency_ms: random.between(0, 200) };
  return `\`\`\`llmsim\n${JSON.stringify({ ...pace, steps })}\n\`\`\``;
}

const WORDS = ["time", "and", "tide", "wait", "for", "none", "нічого", "не", "губиться", "🌊"] as const;

function words(random: Random, count: number): string {
  return Array.from({ length: count }, () => random.pick(WORDS)).join(" ");
}
