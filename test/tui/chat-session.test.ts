import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Client, createClient } from "../../src/client/client.ts";
import type { NewEvent } from "../../src/contract/event.ts";
import { limits } from "../../src/contract/limits.ts";
import { ChatSession, type ChatSnapshot, type Printed, REPRINTED_MAX } from "../../src/tui/chat-session.ts";
import { isSlashCommand, runSlashCommand } from "../../src/tui/commands/registry.ts";
import { READ_TYPES } from "../../src/tui/read-types.ts";
import { messageIdOf, turnEvents, turnIdOf } from "../client/support/events.ts";
import { type ContractServer, problem, startContractServer } from "../client/support/server.ts";
import { type MemoryFiles, memoryFiles, memoryHistory } from "./support/local.ts";

let server: ContractServer;
let client: Client;
let chat: ChatSession;
let files: MemoryFiles;
beforeEach(() => {
  server = startContractServer();
  client = createClient({ baseUrl: server.url, apiKey: null });
  files = memoryFiles();
  chat = new ChatSession({
    client,
    createSession: () => client.createSession({}),
    agent: "clock",
    model: null,
    files,
    history: memoryHistory(),
  });
});
afterEach(async () => {
  chat.close();
  await server.stop();
});

const until = (holds: (snapshot: ChatSnapshot) => boolean): Promise<ChatSnapshot> =>
  new Promise((resolve) => {
    const look = () => {
      if (!holds(chat.snapshot())) return;
      stop();
      resolve(chat.snapshot());
    };
    const stop = chat.subscribe(look);
    look();
  });
const words = (printed: readonly Printed[]) =>
  printed.map((item) => {
    if (item.kind === "note") return `note: ${item.text}`;
    return "text" in item.entry ? `${item.entry.kind}: ${item.entry.text}` : item.entry.kind;
  });
const answer = (turnId: string, input: string, text = `Re: ${input}`) =>
  turnEvents({ turnId, input, reasons: [{ chunks: [...text] }] });
const answerAll = () =>
  server.onMessage(({ sessionId, turnId, text }) => server.append(sessionId, answer(turnId, text)));
const isIdle = ({ transcript, sending }: ChatSnapshot) => transcript.status === "idle" && sending === null;

describe("a chat", () => {
  test("makes its session with the first message and prints question and answer once", async () => {
    answerAll();
    expect(chat.snapshot()).toMatchObject({ sessionId: null, agent: "clock", connection: { state: "none" } });
    expect(await chat.send("hello")).toBe(true);
    await until(isIdle);
    expect(await chat.send("again")).toBe(true);
    const { printed, open, sessionId } = await until(({ printed }) => printed.length === 4);
    expect(words(printed)).toEqual([
      "user: hello",
      "assistant: Re: hello",
      "user: again",
      "assistant: Re: again",
    ]);
    expect(open).toEqual([]);
    expect(server.log(sessionId as string).length).toBeGreaterThan(2);
    expect(server.created).toHaveLength(1);
  });

  test("holds an answer open until it stands", async () => {
    server.onMessage(({ sessionId, turnId, text }) =>
      server.append(sessionId, answer(turnId, text, "ab").slice(0, 7)),
    );
    await chat.send("hello");
    const { open, printed } = await until((snapshot) => snapshot.open.length > 0);
    expect(words(printed)).toEqual(["user: hello"]);
    expect(open).toMatchObject([{ kind: "assistant", text: "ab", isStreaming: true }]);
  });

  test("shows a message as being sent until the log has it", async () => {
    const sent = chat.send("hello");
    expect(chat.snapshot().sending).toBe("hello");
    await sent;
    expect(chat.snapshot().sending).toBe("hello");
    const { sessionId } = chat.snapshot();
    server.append(sessionId as string, answer(turnIdOf(1), "hello"));
    await until(({ sending }) => sending === null);
  });

  test("says why a message was not sent", async () => {
    server.intercept(() => problem(429, "rate_limited", "Too many sessions."));
    expect(await chat.send("hello")).toBe(false);
    expect(words(chat.snapshot().printed)).toEqual(["note: the message was not sent: Too many sessions."]);
    expect(chat.snapshot().sending).toBeNull();
  });

  test("comes back to a session: its past is printed, and what was typed is remembered", async () => {
    const id = server.createSession();
    server.append(id, [...answer(turnIdOf(1), "one"), ...answer(turnIdOf(2), "two")]);
    await chat.open(await client.getSession(id));
    const { printed, history } = await until(({ connection }) => connection.state === "live");
    expect(words(printed)).toEqual(["user: one", "assistant: Re: one", "user: two", "assistant: Re: two"]);
    expect(history).toEqual(["one", "two"]);
    server.append(id, answer(turnIdOf(3), "three"));
    await until((snapshot) => snapshot.printed.length === 6);
  });

  test("does not print a long past in full", async () => {
    const id = server.createSession();
    const turns = Array.from({ length: 150 }, (_, at) => answer(turnIdOf(at + 1), `q${at}`, "a"));
    server.append(id, turns.flat());
    await chat.open(await client.getSession(id));
    const { printed } = await until(({ connection }) => connection.state === "live");
    expect(printed).toHaveLength(201);
    expect(words(printed)[0]).toBe("note: 100 earlier entries are not shown");
    expect(words(printed).at(-2)).toBe("user: q149");
  });

  test("prints everything anew when it folds or unfolds, and says what not when that is too much", async () => {
    const id = server.createSession();
    const turns = Array.from({ length: 90 }, (_, at) => answer(turnIdOf(at + 1), `q${at}`, "a"));
    server.append(id, turns.flat());
    await chat.open(await client.getSession(id));
    const { printed, printing } = await until(({ connection }) => connection.state === "live");
    chat.reprint();
    expect(chat.snapshot().printed).toEqual(printed);
    expect(chat.snapshot().printing).toBe(printing + 1);
    for (let at = 0; at < REPRINTED_MAX; at += 1) chat.note(`n${at}`);
    for (const _time of ["folded", "unfolded"]) {
      chat.reprint();
      const now = words(chat.snapshot().printed);
      expect(now[0]).toBe("note: 180 earlier entries stay as they were printed first, further up");
      expect(now.slice(1)).toEqual(Array.from({ length: REPRINTED_MAX }, (_, at) => `note: n${at}`));
    }
  });

  test("leaves a session for a new one and hears nothing more of the old", async () => {
    answerAll();
    await chat.send("hello");
    const { sessionId } = await until(isIdle);
    chat.reset();
    server.append(sessionId as string, answer(turnIdOf(9), "from elsewhere"));
    await chat.send("fresh");
    const { printed } = await until(({ printed }) => words(printed).includes("assistant: Re: fresh"));
    expect(words(printed)).not.toContain("user: from elsewhere");
    expect(server.created).toHaveLength(2);
  });

  test("interrupts the turn under way, and only then", async () => {
    await chat.interrupt();
    expect(server.requests).toEqual([]);
    let turnId = "";
    server.onMessage((turn) => {
      turnId = turn.turnId;
      server.append(turn.sessionId, answer(turnId, turn.text).slice(0, 6));
    });
    server.onCancel((id) =>
      server.append(id, turnEvents({ turnId, input: "", reasons: [], end: "cancelled" }).slice(3)),
    );
    await chat.send("go");
    await until(({ transcript }) => transcript.status === "active");
    await chat.interrupt();
    const { printed, isInterrupting } = await until(({ transcript }) => transcript.status === "idle");
    expect(words(printed).at(-1)).toBe("notice: interrupted");
    expect(isInterrupting).toBe(false);
  });

  test("tells of a lost connection until it is back", async () => {
    answerAll();
    await chat.send("hello");
    await until(isIdle);
    server.intercept(() => new Response("down", { status: 503 }));
    server.dropStreams();
    await until(({ connection }) => connection.state === "lost");
    server.append(chat.snapshot().sessionId as string, answer(turnIdOf(7), "meanwhile"));
    server.intercept(null);
    await until(({ connection }) => connection.state === "live");
    const { printed } = await until(({ printed }) =>
      words(printed).some((word) => word.includes("reconnected")),
    );
    const count = answer(turnIdOf(7), "meanwhile").length;
    expect(words(printed)).toContain(`note: reconnected, ${count} events caught up`);
  });

  test("names no more events than a server takes", () => {
    expect(READ_TYPES.length).toBeLessThanOrEqual(limits.eventTypesFilterMax);
    expect(READ_TYPES).toContain("input.queued");
  });

  test("works with a server that does not know every event", async () => {
    const id = server.createSession();
    server.append(id, answer(turnIdOf(1), "one"));
    const session = await client.getSession(id);
    server.intercept((request) =>
      request.url.includes("types=") ? problem(400, "unknown_event_type", "types: no such event type") : null,
    );
    await chat.open(session);
    await until(({ printed }) => printed.length === 2);
    chat.reset();
    answerAll();
    await chat.send("two");
    const { printed } = await until(isIdle);
    expect(words(printed).at(-1)).toBe("assistant: Re: two");
  });

  test("says so when its session is gone", async () => {
    const id = server.createSession();
    const session = await client.getSession(id);
    server.intercept((request) =>
      request.url.includes("/sse") ? problem(404, "not_found", "Session not found") : null,
    );
    await chat.open(session);
    const { printed } = await until(({ printed }) => printed.length > 0);
    expect(words(printed)).toEqual(["note: the stream of the session ended: Session not found"]);
  });
});

describe("messages that wait", () => {
  const begin = (turnId: string, text: string) => answer(turnId, text, "ab").slice(0, 7);
  const queued = (text: string, number: number): NewEvent => ({
    type: "input.queued",
    data: {
      message: {
        id: messageIdOf(number),
        role: "user",
        content: [{ type: "text", text }],
        created_at: "2026-08-01T10:00:00.000Z",
      },
      turn_id: turnIdOf(number),
      queue_position: 1,
    },
  });

  test("say how they are to be delivered only while a turn runs", async () => {
    const bodies: { delivery?: string }[] = [];
    server.intercept((request) => {
      if (request.method === "POST" && request.url.endsWith("/messages")) {
        void request
          .clone()
          .json()
          .then((body) => bodies.push(body as { delivery?: string }));
      }
      return null;
    });
    server.onMessage(({ sessionId, turnId, text }) => server.append(sessionId, begin(turnId, text)));
    await chat.send("one");
    await until(({ transcript }) => transcript.status === "active");
    server.onMessage(() => {});
    await chat.send("two");
    chat.toggleDelivery();
    expect(chat.snapshot().delivery).toBe("queue");
    await chat.send("three");
    expect(bodies.map(({ delivery }) => delivery)).toEqual([undefined, "steer", "queue"]);
  });

  test("can be taken back, the last one first; what has begun can not", async () => {
    const id = server.createSession();
    server.append(id, [...begin(turnIdOf(1), "go"), queued("first", 11), queued("second", 12)]);
    await chat.open(await client.getSession(id));
    await until(({ transcript }) => transcript.waiting.length === 2);
    const gone: string[] = [];
    server.intercept((request) => {
      if (request.method !== "DELETE") return null;
      gone.push(request.url.split("/").at(-1) ?? "");
      return gone.length === 1
        ? new Response(null, { status: 204 })
        : problem(409, "message_promoted", "the turn of this message has begun");
    });
    expect(await chat.takeBack()).toBe("second");
    expect(await chat.takeBack(1)).toBeNull();
    expect(gone).toEqual([messageIdOf(12), messageIdOf(11)]);
    expect(words(chat.snapshot().printed).at(-1)).toBe(
      "note: the message was not taken back: the turn of this message has begun",
    );
    expect(await chat.takeBack(9)).toBeNull();
  });

  test("in another session are not shown in its fork", async () => {
    const id = server.createSession();
    server.append(id, [...begin(turnIdOf(1), "go"), queued("theirs", 11)]);
    const forkedAt = server.log(id).at(-1)?.sequence ?? 0;
    server.append(id, [queued("ours", 12)]);
    await chat.open({ ...(await client.getSession(id)), forked_from_sequence: forkedAt });
    const { transcript } = await until(({ transcript }) => transcript.sequence > forkedAt);
    expect(transcript.waiting.map(({ text }) => text)).toEqual(["ours"]);
  });
});

describe("files behind @", () => {
  test("that are not there keep the message from being sent", async () => {
    expect(await chat.send("see @gone.md")).toBe(false);
    expect(server.created).toEqual([]);
    expect(words(chat.snapshot().printed)).toEqual([
      "note: the message was not sent: there is no file gone.md",
    ]);
  });

  test("are put where nothing else is, and the message says where", async () => {
    files.readable.set("a.md", { kind: "text", name: "a.md", text: "new" });
    const made: string[] = [];
    server.intercept((request) => {
      const path = /\/fs(\/.*)$/.exec(request.url)?.[1];
      if (path === undefined) return null;
      if (request.method === "GET") return Response.json({ content: "old", encoding: "text" });
      made.push(path);
      return made.length === 1 ? problem(409, "exists", "It exists.") : Response.json({}, { status: 201 });
    });
    answerAll();
    expect(await chat.send("see @a.md.")).toBe(true);
    const { printed } = await until(isIdle);
    expect(made).toEqual(["/attachments/a.md", "/attachments/a-2.md"]);
    expect(words(printed)[0]).toBe("user: see @a.md.\n\nAttached: a.md is at /attachments/a-2.md");
  });
});

describe("a slash command", () => {
  const run = (text: string) =>
    runSlashCommand(text, {
      chat,
      client,
      files,
      leave: () => chat.note("left"),
      toggleExpanded: () => true,
    });

  for (const [text, expected] of [
    ["/help", true],
    ["/sessions session_1", true],
    ["/", true],
    ["/etc/hosts is odd", false],
    ["1/2", false],
  ] as const) {
    test(`is ${expected ? "" : "not "}seen in ${text}`, () => expect(isSlashCommand(text)).toBe(expected));
  }

  test("that does not exist is refused", async () => {
    await run("/nope");
    expect(words(chat.snapshot().printed)).toEqual(["note: there is no /nope; /help lists the commands"]);
  });

  test("lists sessions and opens one of them by its number", async () => {
    const id = server.createSession();
    server.append(id, answer(turnIdOf(1), "one"));
    await run("/sessions");
    expect(words(chat.snapshot().printed)[0]).toContain(`1. ${id}  idle`);
    await run("/sessions 1");
    const { printed } = await until(({ connection }) => connection.state === "live");
    expect(words(printed).slice(-2)).toEqual(["user: one", "assistant: Re: one"]);
  });

  test("says what the server said when it fails", async () => {
    await run("/sessions session_0");
    expect(words(chat.snapshot().printed)).toEqual(["note: Session not found"]);
  });

  test("leaves", async () => {
    await run("/exit");
    expect(words(chat.snapshot().printed)).toEqual(["note: left"]);
  });
});
