/** A worker that is lost in the middle of an answer, and what becomes of what it had streamed. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { accumulatePage, createAccumulator } from "../../src/api/events/accumulate.ts";
import type { AssistantEntry } from "../../src/client/entries.ts";
import { emptyTranscript, foldTranscript } from "../../src/client/transcript.ts";
import { DELTA_TYPES, type Event, type EventOf, type EventType } from "../../src/contract/event.ts";
import { ownLog } from "../../src/db/lineage.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver, type ManualDriver, type ModelCallInHand } from "../support/manual-driver.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, readLog, send, turnsEnded } from "../support/sessions.ts";

describe("an answer whose worker is lost", () => {
  let database: TestDatabase;
  const engines: TestEngine[] = [];
  beforeEach(async () => {
    database = await testDatabase();
    await seedModel(database.db);
  });
  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.stop();
    await database.drop();
  });

  const start = async (model: ManualDriver) => {
    const engine = await startEngine(database, { driver: model.driver, drainMs: 0 });
    engines.push(engine);
    return engine;
  };
  const all = <T extends EventType>(events: readonly Event[], type: T) =>
    events.filter((event): event is EventOf<T> => event.type === type);
  const streamed = (text: string) => (events: readonly Event[]) =>
    all(events, "output.message.delta")
      .map((event) => event.data.delta)
      .join("")
      .endsWith(text);
  /** The first worker has streamed this, and holds its run no more; the call of the next is in hand. */
  const takenOver = async (
    model: ManualDriver,
    say: (call: ModelCallInHand) => void,
    seen: (events: readonly Event[]) => boolean,
  ) => {
    const session = await newSession(database.db);
    await send(database.db, session, "go");
    await start(model);
    const first = await model.nextCall();
    say(first);
    await logOnce(database.db, session, seen);
    return { session, first, call: await loseWorker(session, model) };
  };
  const loseWorker = async (session: string, model: ManualDriver) => {
    const next = await start(model);
    await database.db.sql`
      update runs set lease_expires_at = now() where session_id = ${session} and state = 'running'`;
    next.hint();
    return model.nextCall();
  };
  const assistant = (events: readonly Event[]) =>
    foldTranscript(emptyTranscript, events).entries.filter(
      (entry): entry is AssistantEntry => entry.kind === "assistant",
    );

  /** I7: every reader of this log ends with the same, wherever and however often he begins. */
  const expectOneTranscript = async (session: string, events: readonly Event[]) => {
    const whole = foldTranscript(emptyTranscript, events);
    const shown = [...(await createAccumulator(database.db, ownLog(session)).add(events))];
    const pruned = events.filter((event) => !(DELTA_TYPES as readonly string[]).includes(event.type));
    expect(foldTranscript(emptyTranscript, pruned).entries).toEqual(whole.entries);
    expect(foldTranscript(emptyTranscript, shown).entries).toEqual(whole.entries);
    expect(await accumulatePage(database.db, ownLog(session), events)).toEqual(shown);
    for (let cursor = 0; cursor <= events.length; cursor += 1) {
      const [before, after] = [events.slice(0, cursor), events.slice(cursor)];
      const resumed = foldTranscript(foldTranscript(emptyTranscript, before), after);
      expect(resumed.entries).toEqual(whole.entries);
      expect(await createAccumulator(database.db, ownLog(session)).add(after)).toEqual(shown.slice(cursor));
    }
  };

  test("goes on from what was streamed when the model can: one message, nothing twice, nothing lost (I7)", async () => {
    const model = createManualDriver({ canContinue: true });
    const { session, call } = await takenOver(model, (first) => first.say("half an "), streamed("half an "));
    expect(call.request.prefix).toBe("half an ");
    call.say("answer ");
    await logOnce(database.db, session, streamed("answer "));
    call.say("in two");
    call.finish();
    const events = await logOnce(database.db, session, isIdle);

    expect(all(events, "reason.recovered").map((event) => event.data)).toMatchObject([
      { mode: "finalize", accumulated_len: "half an ".length },
    ]);
    expect(all(events, "output.message.started")).toHaveLength(1);
    expect(all(events, "reason.started")).toHaveLength(1);
    const [completed] = all(events, "output.message.completed");
    expect(completed?.data.message.content).toEqual([{ type: "text", text: "half an answer in two" }]);
    const uuid = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(completed?.data.metadata).toEqual({
      model: expect.any(String),
      model_id: uuid,
      provider_id: uuid,
    });
    const ids = all(events, "output.message.delta").map((event) => event.data.message_id);
    expect(new Set(ids)).toEqual(new Set([completed?.data.message.id]));
    expect(streamed("half an answer in two")(events)).toBe(true);
    expect(all(events, "llm.generation")[0]?.data.metadata.recovered).toEqual({ accumulated_len: 8 });
    expect(turnsEnded(events)).toBe(1);
    await expectOneTranscript(session, events);
  });

  test("goes on from the whole of it when two workers are lost", async () => {
    const model = createManualDriver({ canContinue: true });
    const { session, call } = await takenOver(model, (first) => first.say("one "), streamed("one "));
    call.say("two ");
    await logOnce(database.db, session, streamed("two "));
    const third = await loseWorker(session, model);
    expect(third.request.prefix).toBe("one two ");
    third.say("three");
    third.finish();
    const events = await logOnce(database.db, session, isIdle);
    expect(assistant(events).map((entry) => entry.text)).toEqual(["one two three"]);
    await expectOneTranscript(session, events);
  });

  test("is begun anew when the model cannot: readers are told to discard, and only the second stands (I7)", async () => {
    const model = createManualDriver();
    const { session, call } = await takenOver(
      model,
      (first) => first.say("dead words"),
      streamed("dead words"),
    );
    expect(call.request.prefix).toBeUndefined();
    call.say("fresh words");
    call.finish();
    const events = await logOnce(database.db, session, isIdle);
    expect(all(events, "reason.recovered").map((event) => event.data)).toMatchObject([
      { mode: "restart", accumulated_len: "dead words".length },
    ]);
    const order = events.map((event) => event.type);
    expect(order.indexOf("reason.recovered")).toBeLessThan(order.lastIndexOf("output.message.started"));
    expect(all(events, "output.message.started").map((event) => event.data.iteration)).toEqual([1, 1]);
    expect(assistant(events).map((entry) => entry.text)).toEqual(["fresh words"]);
    expect(JSON.stringify(assistant(events))).not.toContain("dead");
    await expectOneTranscript(session, events);
  });

  test("is begun anew when the model had thought before it spoke", async () => {
    const model = createManualDriver({ canContinue: true });
    const { session, call } = await takenOver(
      model,
      (first) => {
        first.think("hm");
        first.say("so");
      },
      streamed("so"),
    );
    expect(call.request.prefix).toBeUndefined();
    call.say("anew");
    call.finish();
    const events = await logOnce(database.db, session, isIdle);
    expect(all(events, "reason.recovered")[0]?.data.mode).toBe("restart");
    await expectOneTranscript(session, events);
  });

  test("is nothing to recover when nothing was streamed", async () => {
    const model = createManualDriver({ canContinue: true });
    const { session, call } = await takenOver(
      model,
      () => {},
      (events) => all(events, "output.message.started").length > 0,
    );
    call.say("whole");
    call.finish();
    expect(all(await logOnce(database.db, session, isIdle), "reason.recovered")).toEqual([]);
  });

  test("does not know what was said to it meanwhile: that is the next step's", async () => {
    const model = createManualDriver({ canContinue: true });
    const session = await newSession(database.db);
    await send(database.db, session, "go");
    await start(model);
    (await model.nextCall()).say("half an ");
    await logOnce(database.db, session, streamed("half an "));
    await send(database.db, session, "and another thing");
    const call = await loseWorker(session, model);
    expect(JSON.stringify(call.request.messages)).not.toContain("another thing");
    call.say("answer");
    call.finish();
    const next = await model.nextCall();
    expect(next.request.messages.map((message) => message.role)).toEqual(["user", "assistant", "user"]);
    expect(next.request.prefix).toBeUndefined();
    next.say("noted");
    next.finish();
    const events = await logOnce(database.db, session, isIdle);
    expect(assistant(events).map((entry) => entry.text)).toEqual(["half an answer", "noted"]);
    await expectOneTranscript(session, events);
  });

  test("is asked for anew when the provider refuses a begun answer", async () => {
    const model = createManualDriver({ canContinue: true });
    const { session, call } = await takenOver(model, (first) => first.say("half"), streamed("half"));
    call.fail({ code: "processing_error", message: "400: no prefill", retryable: false, status: 400 });
    const third = await model.nextCall();
    expect(third.request.prefix).toBeUndefined();
    third.say("whole");
    third.finish();
    const events = await logOnce(database.db, session, isIdle);
    expect(assistant(events).map((entry) => entry.text)).toEqual(["whole"]);
    await expectOneTranscript(session, events);
  });

  test("the lost worker that wakes up adds nothing (I5)", async () => {
    const model = createManualDriver({ canContinue: true });
    const { session, first, call } = await takenOver(
      model,
      (one) => one.say("half an "),
      streamed("half an "),
    );
    first.say("nonsense");
    first.finish();
    call.say("answer");
    call.finish();
    const events = await logOnce(database.db, session, isIdle);
    for (const engine of engines.splice(0)) await engine.stop();
    expect(await readLog(database.db, session)).toEqual(events);
    expect(JSON.stringify(events)).not.toContain("nonsense");
  });
});
