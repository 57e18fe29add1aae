import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { type Answer, type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { testDatabase } from "../support/postgres.ts";
import { GOLDEN_SCRIPTS } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, readLog } from "../support/sessions.ts";

describe("messages", () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await testApp();
  });
  afterAll(() => app.close());

  const text = (words: string) => ({ message: { content: [{ type: "text", text: words }] } });
  const content = (...parts: unknown[]) => ({ message: { content: parts } });
  const open = () => newSession(app.db);
  const send = (session: string, body: unknown, headers?: Record<string, string>) =>
    app.call("POST", `/sessions/${session}/messages`, body, headers);
  const codeOf = (answer: Answer) => [answer.status, answer.body?.code];
  const runCount = async (session: string) =>
    (await app.db.sql`select from runs where session_id = ${session}`).length;

  test("a message starts a turn; the answer says which, and where it stands in the log", async () => {
    const session = await open();
    const { status, body } = await send(session, text("hello"));
    expect(status).toBe(201);
    expect(body).toMatchObject({
      role: "user",
      content: [{ type: "text", text: "hello" }],
      session_id: session,
      sequence: 1,
      delivery: "started",
    });
    const [event] = await readLog(app.db, session);
    expect(event).toMatchObject({
      type: "input.message",
      data: { message: { id: body.id } },
      context: { turn_id: body.turn_id },
    });
    expect(app.published.at(-1)).toMatchObject({ sessions: [session], isQueued: true });
  });

  test("snake_case and camelCase say the same (the TypeScript SDK sends the latter)", async () => {
    const snake = {
      ...text("hi"),
      controls: { locale: "uk-UA", error_disclosure: "generic" },
      external_actor: { actor_id: "u1", actor_name: "Ann", source: "slack", metadata: { team: "t" } },
    };
    const camel = {
      ...text("hi"),
      controls: { locale: "uk-UA", errorDisclosure: "generic" },
      externalActor: { actorId: "u1", actorName: "Ann", source: "slack", metadata: { team: "t" } },
      addressedParticipantId: null,
    };
    const stored = [];
    for (const body of [snake, camel]) {
      const answer = await send(await open(), body);
      expect(answer.status).toBe(201);
      const { controls, external_actor } = answer.body;
      stored.push({ controls, external_actor });
    }
    expect(stored[0]).toEqual({ controls: snake.controls, external_actor: snake.external_actor });
    expect(stored[1]).toEqual(stored[0] as never);
  });

  describe("sent again", () => {
    const keys: [string, (key: string) => [object, Record<string, string>]][] = [
      ["client_message_id", (key) => [{ client_message_id: key }, {}]],
      ["Idempotency-Key", (key) => [{}, { "idempotency-key": key }]],
    ];
    for (const [name, withKey] of keys) {
      test(`with the same ${name} is answered with the first result, and does nothing`, async () => {
        const session = await open();
        const [extra, headers] = withKey(crypto.randomUUID());
        const first = await send(session, { ...text("once"), ...extra }, headers);
        const again = await send(session, { ...text("other words"), ...extra }, headers);
        expect(again.status).toBe(201);
        expect(again.body).toEqual({ ...first.body, delivery: "duplicate" });
        expect(await readLog(app.db, session)).toHaveLength(2);
        // Another session's key is another key.
        expect((await send(await open(), { ...text("once"), ...extra }, headers)).body.delivery).toBe(
          "started",
        );
      });
    }

    test("the body's key counts before the header's; an empty header names nothing", async () => {
      const session = await open();
      await send(session, { ...text("a"), client_message_id: "k1" }, { "idempotency-key": "k2" });
      const deliver = async (body: object, headers: Record<string, string>) =>
        (await send(session, { ...text("b"), ...body }, headers)).body.delivery;
      expect(await deliver({}, { "idempotency-key": "k2" })).toBe("steered");
      expect(await deliver({}, { "idempotency-key": "k1" })).toBe("duplicate");
      expect(await deliver({}, { "idempotency-key": "" })).toBe("steered");
      expect(await deliver({}, { "idempotency-key": "" })).toBe("steered");
    });
  });

  test("a busy session is joined, or answers 409 to `reject` and stays as it was", async () => {
    const session = await open();
    const first = await send(session, text("one"));
    const second = await send(session, text("two"));
    expect(second.body).toMatchObject({ delivery: "steered", turn_id: first.body.turn_id, sequence: 3 });
    const refused = await send(session, { ...text("three"), delivery: "reject" });
    expect(codeOf(refused)).toEqual([409, "session_busy"]);
    expect(refused.body.detail).toContain(first.body.turn_id);
    expect(await readLog(app.db, session)).toHaveLength(3);
    expect(await runCount(session)).toBe(1);
    const idle = await send(await open(), { ...text("one"), delivery: "reject" });
    expect(idle.body.delivery).toBe("started");
  });

  test("NUL and lone surrogates are stored readable, and come back as they are stored", async () => {
    const session = await open();
    const { status, body } = await send(session, {
      ...text("a\0b\ud800c\u{1F600}"),
      metadata: { "k\0": "\udfff" },
      tags: ["t\0"],
      external_actor: { actor_id: "\0", source: "s" },
      client_message_id: "id\0",
    });
    expect(status).toBe(201);
    expect(body.content).toEqual([{ type: "text", text: "a\uFFFDb\uFFFDc\u{1F600}" }]);
    const [event] = await readLog(app.db, session);
    expect(event).toMatchObject({
      data: { message: { content: body.content } },
      metadata: { "k\uFFFD": "\uFFFD" },
      tags: ["t\uFFFD"],
    });
  });

  test("a bare text is a message of one text part", async () => {
    const { status, body } = await send(await open(), { message: { content: "hello" } });
    expect([status, body.content]).toEqual([201, [{ type: "text", text: "hello" }]]);
  });

  test("images are taken by url and inline", async () => {
    const parts = [
      { type: "image", url: "https://example.com/a.png" },
      { type: "image", base64: "AAAA", media_type: "image/png" },
    ];
    const { status, body } = await send(await open(), content(...parts));
    expect(status).toBe(201);
    expect(body.content).toEqual(parts);
  });

  describe("are refused, and nothing is written:", () => {
    const x = (count: number) => "x".repeat(count);
    const image = (more: object) => content({ type: "image", ...more });
    const bad: [string, unknown, string, string][] = [
      ["no body", undefined, "invalid_request", "body"],
      ["no message", {}, "invalid_request", "message"],
      ["no content", { message: {} }, "invalid_request", "content"],
      ["no part", content(), "invalid_request", "content"],
      ["only blank text", content({ type: "text", text: " \n" }), "invalid_request", "empty"],
      ["a part that is none", content({ type: "video", url: "x" }), "invalid_request", "content"],
      ["a tool's result", content({ type: "tool_result", tool_call_id: "c" }), "invalid_request", "content"],
      ["a text that is none", content({ type: "text", text: 5 }), "invalid_request", "content"],
      [
        "role assistant",
        { message: { role: "assistant", content: [{ type: "text", text: "x" }] } },
        "invalid_request",
        "role",
      ],
      [
        "role system",
        { message: { role: "system", content: [{ type: "text", text: "x" }] } },
        "invalid_request",
        "role",
      ],
      [
        "too many parts",
        content(...Array(limits.messagePartsMax + 1).fill({ type: "text", text: "x" })),
        "limit_exceeded",
        "parts",
      ],
      [
        "too much text, in all parts together",
        content(...Array(2).fill({ type: "text", text: x(limits.messageTextBytesMax / 2 + 1) })),
        "limit_exceeded",
        "bytes of text",
      ],
      [
        "too much text, counted in bytes",
        content({ type: "text", text: "ї".repeat(limits.messageTextBytesMax / 2 + 1) }),
        "limit_exceeded",
        "bytes of text",
      ],
      ["an image of nothing", image({}), "invalid_request", "content[0]"],
      [
        "an image with a long address",
        image({ url: `https://example.com/${x(limits.urlCharsMax)}` }),
        "limit_exceeded",
        "url",
      ],
      ["an image by a file's address", image({ url: "file:///etc/passwd" }), "invalid_request", "http"],
      ["an image without its type", image({ base64: "AAAA" }), "invalid_request", "media_type"],
      [
        "an image of a type nobody reads",
        image({ base64: "AAAA", media_type: "image/svg+xml" }),
        "invalid_request",
        "media_type",
      ],
      [
        "an image that is not base64",
        image({ base64: "AA A", media_type: "image/png" }),
        "invalid_request",
        "base64",
      ],
      ["an image cut short", image({ base64: "AAA", media_type: "image/png" }), "invalid_request", "base64"],
      [
        "an image as a data: address",
        image({ base64: "data:image/png;base64,AAAA", media_type: "image/png" }),
        "invalid_request",
        "base64",
      ],
      [
        "an image that is too large",
        image({ base64: "A".repeat(Math.ceil((limits.imageBytesMax + 3) / 3) * 4), media_type: "image/png" }),
        "limit_exceeded",
        "image",
      ],
      [
        "a stored image that is not there",
        content({ type: "image_file", image_id: newId("img") }),
        "invalid_request",
        "image_id",
      ],
      ["an unknown delivery", { ...text("x"), delivery: "later" }, "invalid_request", "delivery"],
      [
        "an empty client_message_id",
        { ...text("x"), client_message_id: "" },
        "invalid_request",
        "client_message_id",
      ],
      [
        "a long client_message_id",
        { ...text("x"), client_message_id: x(limits.clientMessageIdCharsMax + 1) },
        "limit_exceeded",
        "client_message_id",
      ],
      [
        "large metadata",
        { ...text("x"), metadata: { a: x(limits.metadataBytesMax) } },
        "limit_exceeded",
        "metadata",
      ],
      ["metadata that is a list", { ...text("x"), metadata: [] }, "invalid_request", "metadata"],
      [
        "too many tags",
        { ...text("x"), tags: Array(limits.tagsMax + 1).fill("t") },
        "limit_exceeded",
        "tags",
      ],
      ["a long tag", { ...text("x"), tags: [x(limits.tagCharsMax + 1)] }, "limit_exceeded", "tags"],
      [
        "a model that does not exist",
        { ...text("x"), controls: { model_id: newId("model") } },
        "invalid_request",
        "controls.model_id",
      ],
      [
        "a model that is no id",
        { ...text("x"), controls: { modelId: "gpt" } },
        "invalid_request",
        "controls.model_id",
      ],
      [
        "an unknown disclosure",
        { ...text("x"), controls: { errorDisclosure: "all" } },
        "invalid_request",
        "controls.error_disclosure",
      ],
      [
        "a locale that is none",
        { ...text("x"), controls: { locale: "not a locale" } },
        "invalid_request",
        "controls.locale",
      ],
      ["an empty bare text", { message: { content: "" } }, "invalid_request", "message.content"],
    ];
    for (const [name, body, code, place] of bad) {
      test(name, async () => {
        const session = await open();
        const answer = await send(session, body);
        expect(codeOf(answer)).toEqual([400, code]);
        expect(answer.body.detail).toContain(place);
        expect(await readLog(app.db, session)).toHaveLength(0);
        expect(await runCount(session)).toBe(0);
      });
    }

    test("a long Idempotency-Key", async () => {
      const answer = await send(await open(), text("x"), {
        "idempotency-key": x(limits.clientMessageIdCharsMax + 1),
      });
      expect(codeOf(answer)).toEqual([400, "limit_exceeded"]);
    });
  });

  describe("of a session that", () => {
    const routes: [string, (id: string) => Promise<Answer>][] = [
      ["send", (id) => send(id, text("x"))],
      ["list", (id) => app.get(`/sessions/${id}/messages`)],
      ["cancel", (id) => app.post(`/sessions/${id}/cancel`)],
      ["events", (id) => app.get(`/sessions/${id}/events`)],
      ["stream", (id) => app.get(`/sessions/${id}/sse`)],
    ];
    for (const [name, ask] of routes) {
      test(`does not exist, was deleted or has no id: ${name}`, async () => {
        expect(codeOf(await ask(newId("session")))).toEqual([404, "not_found"]);
        expect(codeOf(await ask("session_1"))).toEqual([400, "invalid_id"]);
        const deleted = await open();
        await app.db.sql`update sessions set deleted_at = now() where id = ${deleted}`;
        expect(codeOf(await ask(deleted))).toEqual([404, "not_found"]);
      });
    }
  });

  describe("cancelling", () => {
    test("ends the turn with the contract's events, in its order", async () => {
      const session = await open();
      const { body } = await send(session, text("go"));
      const answer = await app.post(`/sessions/${session}/cancel`);
      expect([answer.status, answer.body.status]).toEqual([200, "cancelled"]);
      const events = (await readLog(app.db, session)).slice(2);
      expect(events.map((event) => event.type)).toEqual([
        "turn.cancelled",
        "input.message",
        "output.message.completed",
        "session.idled",
      ]);
      expect(events[0]?.data).toMatchObject({ turn_id: body.turn_id });
      const { body: list } = await app.get(`/sessions/${session}/messages`);
      expect(list.data.slice(1).map((one: { content: { text: string }[] }) => one.content[0]?.text)).toEqual([
        "User requested to cancel the work.",
        "Work was cancelled by user.",
      ]);
      expect(app.published.at(-1)).toMatchObject({ cancelled: [body.turn_id] });
      expect((await send(session, text("next"))).body.delivery).toBe("started");
    });

    test("is a no-op when nothing runs", async () => {
      const session = await open();
      const answer = await app.post(`/sessions/${session}/cancel`);
      expect([answer.status, answer.body.status]).toEqual([200, "no_op"]);
      expect(await readLog(app.db, session)).toHaveLength(0);
    });
  });

  test("the list is the conversation: user, agent and tool results, oldest first", async () => {
    // A database of its own, for the worker that has to find it.
    const database = await testDatabase();
    const own = await testApp({ db: database.db });
    await seedModel(database.db);
    const engine: TestEngine = await startEngine(database);
    const session = await newSession(database.db);
    const script = GOLDEN_SCRIPTS.find((one) => one.name === "bad-calls");
    await own.call("POST", `/sessions/${session}/messages`, text(script?.message ?? ""));
    engine.hint();
    await logOnce(database.db, session, isIdle);
    const { body } = await own.get(`/sessions/${session}/messages`);
    expect(body.messages).toEqual(body.data);
    type Listed = { role: string; sequence: number; id: string; content: { type: string; error?: string }[] };
    const listed = body.data as Listed[];
    expect(listed.map((one) => `${one.role}: ${one.content.map((part) => part.type).join(" ")}`)).toEqual([
      "user: text",
      "agent: tool_call tool_call tool_call",
      "tool_result: tool_result",
      "tool_result: tool_result",
      "tool_result: tool_result",
      "agent: text",
    ]);
    expect(listed.map((one) => one.sequence)).toEqual(
      listed.map((one) => one.sequence).sort((a, b) => a - b),
    );
    expect(new Set(listed.map((one) => one.id)).size).toBe(listed.length);
    for (const one of listed) expect(one.id).toMatch(/^message_[0-9a-f]{32}$/);
    expect(listed.slice(2, 5).every((one) => (one.content[0]?.error ?? "") !== "")).toBe(true);
    await engine.stop();
    await own.close();
    await database.drop();
  });
});
