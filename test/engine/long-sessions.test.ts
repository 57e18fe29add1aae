/** Sessions and turns that are longer than what the model can take. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { z } from "zod";
import { defineTool } from "../../src/capabilities/tool.ts";
import type { Event } from "../../src/contract/event.ts";
import { readHistoryPage } from "../../src/db/history.ts";
import { ownLog } from "../../src/db/lineage.ts";
import { INTERRUPTED_RESULT } from "../../src/engine/history.ts";
import { OMITTED_NOTE } from "../../src/engine/history-window.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { createManualDriver, type ModelCallInHand } from "../support/manual-driver.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, send, turnsEnded } from "../support/sessions.ts";

/** Random letters: PostgreSQL cannot compress them, so that pages are as long as they look. */
const noise = (bytes: number) =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes)))
    .toString("hex")
    .slice(0, bytes);

const report = defineTool({
  name: "report",
  displayName: "Report",
  description: "Says a lot.",
  effect: "pure",
  input: z.object({}),
  run: async () => noise(60_000),
});

describe("a conversation longer than the model's window", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
    await seedModel(database.db);
  });
  afterAll(() => database.drop());

  /** Finished turns of three history events each, with texts of so many bytes. */
  const past = async (turns: number, bytes: number) => {
    const { sql } = database.db;
    const session = await newSession(database.db);
    await sql`
      insert into events (session_id, sequence, id, type, context, data)
      select ${session}, n, 'event_' || replace(left(gen_random_uuid()::text, 26), '-', '') || lpad(to_hex(n), 10, '0'),
             (array['input.message', 'reason.started', 'output.message.completed'])[(n - 1) % 3 + 1],
             jsonb_build_object('turn_id', 'turn_' || ((n - 1) / 3)),
             case (n - 1) % 3 when 1 then '{"harness_id": "h"}' else jsonb_build_object(
               'metadata', jsonb_build_object('model', 'llmsim'),
               'message', jsonb_build_object('id', 'm', 'created_at', 'x',
                 'role', case (n - 1) % 3 when 0 then 'user' else 'agent' end, 'content', jsonb_build_array(
                   jsonb_build_object('type', 'text', 'text', rpad(((n - 1) / 3)::text, ${bytes}, ' x'))))) end
        from generate_series(1, ${turns * 3}) n`;
    await sql`update sessions set last_sequence = ${turns * 3}, status = 'idle' where id = ${session}`;
    return session;
  };
  const textOf = (one: ModelCallInHand["request"]["messages"][number] | undefined) =>
    one?.role === "user"
      ? one.content.map((part) => (part.type === "text" ? part.text : "")).join("")
      : one?.role === "assistant"
        ? one.text
        : (one?.content ?? "");
  const generations = (events: readonly Event[]) =>
    events.flatMap((event) => (event.type === "llm.generation" ? event.data.metadata : []));
  const answer = (call: ModelCallInHand, text: string) => {
    call.say(text);
    call.finish();
  };

  test("shows the newest turns that fit, whole, and says that there were others", async () => {
    const model = createManualDriver();
    const engine = await startEngine(database, { driver: model.driver });
    const session = await past(1_000, 1_000);
    await send(database.db, session, "and now?");
    engine.hint();
    const call = await model.nextCall();
    const { messages } = call.request;
    expect(messages[0]).toEqual(OMITTED_NOTE);
    const shown = messages.slice(1, -1);
    expect(shown.map((one) => one.role)).toEqual(shown.map((_, n) => (n % 2 === 0 ? "user" : "assistant")));
    const numbers = shown.map((one) => Number.parseInt(textOf(one), 10));
    const first = numbers[0] ?? 0;
    expect(numbers).toEqual(Array.from({ length: shown.length }, (_, n) => first + Math.floor(n / 2)));
    expect(numbers.at(-1)).toBe(999);
    // 136,000 tokens of three bytes hold about 400 of these; at least half of the window is used.
    expect(shown.length).toBeGreaterThan(190);
    expect(shown.length).toBeLessThan(410);
    expect(textOf(messages.at(-1))).toBe("and now?");
    answer(call, "yes");
    const log = await logOnce(database.db, session, isIdle);
    expect(generations(log)).toMatchObject([{ success: true, history_from_sequence: first * 3 + 1 }]);
    await engine.stop();
  });

  test("one that fits is shown whole, without a note", async () => {
    const model = createManualDriver();
    const engine = await startEngine(database, { driver: model.driver });
    // More events than the first read brings.
    const session = await past(600, 20);
    await send(database.db, session, "and now?");
    engine.hint();
    const call = await model.nextCall();
    expect(call.request.messages).toHaveLength(1_201);
    expect(textOf(call.request.messages[0])).toStartWith("0");
    answer(call, "yes");
    const log = await logOnce(database.db, session, isIdle);
    expect(generations(log).map((one) => "history_from_sequence" in one)).toEqual([false]);
    await engine.stop();
  });

  test("I8: a turn that is too long by itself keeps what the user said and its newest steps, also when it is taken over", async () => {
    const model = createManualDriver();
    const start = () => startEngine(database, { driver: model.driver, tools: [report], drainMs: 10 });
    let engine = await start();
    const session = await newSession(database.db);
    await send(database.db, session, "read the reports");
    engine.hint();
    let cuts = 0;
    for (let step = 1; step <= 14; step += 1) {
      let call = await model.nextCall();
      if (step === 12) {
        // Another worker goes on, which has to read all this for the first time.
        await engine.stop();
        engine = await start();
        engine.hint();
        call = await model.nextCall();
      }
      const { messages } = call.request;
      const isCut = messages[0] === OMITTED_NOTE;
      if (isCut) cuts += 1;
      const rest = isCut ? messages.slice(1) : messages;
      expect(textOf(rest[0])).toBe("read the reports");
      if (step > 4) expect(rest.filter((one) => textOf(one) === "faster")).toHaveLength(1);
      const results = rest.filter((one) => one.role === "tool");
      expect(results.length).toBeGreaterThanOrEqual(Math.min(step - 1, 3));
      expect(results.every((one) => textOf(one) !== INTERRUPTED_RESULT)).toBe(true);
      expect(rest.flatMap((one) => (one.role === "assistant" ? one.toolCalls : []))).toHaveLength(
        results.length,
      );
      expect(rest.reduce((sum, one) => sum + textOf(one).length, 0)).toBeLessThan(136_000 * 3);
      if (step === 3) await send(database.db, session, "faster");
      if (step < 14) call.callTool("report", {});
      else call.say("all read");
      call.finish();
    }
    expect(cuts).toBeGreaterThan(3);
    const log = await logOnce(database.db, session, isIdle);
    expect(turnsEnded(log)).toBe(1);
    expect(log.filter(({ type }) => type === "tool.completed")).toHaveLength(13);
    await engine.stop();
  }, 30_000);

  test("a message that is larger than the whole window is sent once, and the provider has the last word", async () => {
    const model = createManualDriver();
    const engine = await startEngine(database, { driver: model.driver });
    const session = await past(5, 100);
    await send(database.db, session, noise(500_000));
    engine.hint();
    const call = await model.nextCall();
    expect(call.request.messages).toHaveLength(2);
    call.fail({ code: "request_too_large", retryable: false, status: 413, message: "prompt is too long" });
    const log = await logOnce(database.db, session, isIdle);
    expect(log.find(({ type }) => type === "turn.failed")?.data).toMatchObject({
      error_code: "request_too_large",
    });
    expect(model.calls()).toBe(1);
    await engine.stop();
  });

  test("numbered call ids of an answer do not repeat those that were not read", async () => {
    const model = createManualDriver();
    const engine = await startEngine(database, { driver: model.driver, tools: [report] });
    const session = await past(1_000, 1_000);
    await send(database.db, session, "report");
    engine.hint();
    const call = await model.nextCall();
    call.callTool("report", {});
    call.finish();
    answer(await model.nextCall(), "done");
    const log = await logOnce(database.db, session, isIdle);
    const [completed] = log.flatMap((event) => (event.type === "tool.completed" ? event.data : []));
    expect(completed?.tool_call_id).toMatch(/^call_[0-9a-f]{32}$/);
    await engine.stop();
  });

  test("a page of the history ends at its rows or its bytes, and says whether it is the first", async () => {
    const session = await past(20, 50);
    const page = (before: number | null, rowsMax: number, storedBytesMax = 1_000_000) =>
      readHistoryPage(database.db, ownLog(session), { before, rowsMax, storedBytesMax });
    const sequences = async (...args: Parameters<typeof page>) => {
      const { events, isFirst } = await page(...args);
      return [events.map(({ sequence }) => sequence), isFirst];
    };
    expect(await sequences(null, 3)).toEqual([[58, 59, 60], false]);
    expect(await sequences(58, 2)).toEqual([[56, 57], false]);
    expect(await sequences(4, 3)).toEqual([[1, 2, 3], false]);
    expect(await sequences(1, 3)).toEqual([[], true]);
    expect(await sequences(4, 10)).toEqual([[1, 2, 3], true]);
    expect(await sequences(null, 100, 1)).toEqual([[60], false]);
    const { events } = await page(null, 100, 1_000);
    expect(events.length).toBeGreaterThan(1);
    expect(events.length).toBeLessThan(20);
  });
});
