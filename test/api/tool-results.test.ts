import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { type LiveServer, openStream, startServer } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { script } from "../support/scripts.ts";
import { newSession, readLog } from "../support/sessions.ts";
import { clientTool, completedCalls, typesOf } from "../support/waiting.ts";

describe("two servers and a worker on one database", () => {
  let database: TestDatabase;
  let servers: LiveServer[];
  let engine: TestEngine;
  beforeAll(async () => {
    database = await testDatabase();
    await seedModel(database.db);
    servers = [await startServer(database), await startServer(database)];
    engine = await startEngine(database);
  });
  afterAll(async () => {
    for (const server of servers) await server.stop();
    await engine.stop();
    await database.drop();
  });

  test("a result sent to both at once is taken once, and the stream of each shows the turn to its end", async () => {
    const [a, b] = servers as [LiveServer, LiveServer];
    const session = await newSession(database.db, null, { tools: [clientTool("open_page")] });
    const at = (server: LiveServer, path: string) => `${server.url}/v1/sessions/${session}${path}`;
    const post = async (server: LiveServer, path: string, body: object) => {
      const response = await fetch(at(server, path), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
      return { status: response.status, body: (await response.json()) as any };
    };
    const streams = [await openStream(at(a, "/sse")), await openStream(at(b, "/sse"))];
    const [watched, other] = streams as [(typeof streams)[0], (typeof streams)[0]];
    const text = `Go.\n${script([{ tool_calls: [{ name: "open_page" }] }, { text: "Done." }])}`;
    await post(a, "/messages", { message: { content: [{ type: "text", text }] } });
    const asked = (await watched.eventsUntil((event) => event.type === "tool.call_requested")).at(-1);
    const id = asked?.type === "tool.call_requested" ? asked.data.tool_calls[0]?.id : undefined;
    const results = { tool_results: [{ tool_call_id: id, result: { ok: true } }] };
    const answers = await Promise.all([post(a, "/tool-results", results), post(b, "/tool-results", results)]);
    // The second may come when the turn has already ended: then the session waits for nothing.
    expect(answers.filter(({ body }) => body.accepted === 1)).toHaveLength(1);
    for (const { status } of answers) expect([200, 409]).toContain(status);
    const rest = await watched.eventsUntil((event) => event.type === "session.idled");
    const whole = await other.eventsUntil((event) => event.type === "session.idled");
    const log = await readLog(database.db, session);
    expect(typesOf(whole)).toEqual(typesOf(log));
    expect(typesOf(rest)).toEqual(typesOf(log).slice(-rest.length));
    expect(completedCalls(log)).toHaveLength(1);
    // In the conversation it is the value that was sent, not its text.
    const { data } = (await (await fetch(at(a, "/messages"))).json()) as { data: { content: unknown[] }[] };
    expect(data.flatMap(({ content }) => content)).toContainEqual({
      type: "tool_result",
      tool_call_id: id,
      result: { ok: true },
    });
    for (const stream of streams) stream.close();
  });

  test("the streams can be narrowed to what a client has to do", async () => {
    const [a] = servers as [LiveServer];
    const session = await newSession(database.db);
    const stream = await openStream(`${a.url}/v1/sessions/${session}/sse?types=tool.call_requested`);
    expect(stream.status).toBe(200);
    stream.close();
  });
});
