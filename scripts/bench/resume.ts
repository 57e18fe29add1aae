/** A message to a session with a long past: how soon is the model called? */
import { newEventIdHead } from "../../src/base/id.ts";
import { madeUpDriver, startEngine } from "./engine.ts";
import { type Meter, startMeter } from "./meter.ts";
import { count, latencyText, quantile } from "./report.ts";
import { newSessions, seedModel, send } from "./rows.ts";
import { type BenchDatabase, type Stage, until } from "./stage.ts";

const GOAL_EVENTS = 100_000;

export async function measureResume(stage: Stage): Promise<void> {
  stage.report.part("A session with a past");
  const database = await stage.database();
  try {
    const { db } = database;
    await seedModel(db);
    let calledAt = 0;
    const engine = await startEngine(database.address, {
      concurrency: 4,
      driver: madeUpDriver(() => {
        calledAt = performance.now();
        return [{ kind: "text", text: "ok" }];
      }),
    });
    const tries = stage.pick(11, 3);
    for (const { events, perTurn } of stage.pick(
      [
        { events: 1_000, perTurn: 10 },
        { events: 10_000, perTurn: 10 },
        { events: GOAL_EVENTS, perTurn: 10 },
        // Long streamed answers whose deltas are not pruned yet.
        { events: GOAL_EVENTS, perTurn: 500 },
      ],
      [{ events: 1_000, perTurn: 10 }],
    )) {
      const [session = ""] = await newSessions(db, 1);
      await fillSession(database, session, { events, perTurn });
      const times: number[] = [];
      let meter: Meter | null = null;
      for (let n = 0; n < tries; n += 1) {
        // The first one finds nothing cached: it is the warm-up.
        if (n === 1) meter = await startMeter(stage, db, { bench: process.pid });
        calledAt = 0;
        const start = performance.now();
        await send(db, session, "go on");
        engine.hints.publish({ isQueued: true });
        await until("the model was called", () => calledAt > 0);
        if (n > 0) times.push(calledAt - start);
        await until("the session is at rest", async () => {
          const rows = await db.sql`select from sessions where id = ${session} and active_run_id is null`;
          return rows.length > 0;
        });
      }
      const bound = (await meter?.each({ name: "message with its turn", count: tries - 1 })) ?? null;
      stage.report.add({
        what: `message to the model's call in a session with ${count(events)} events, ${count(events / perTurn)} turns of ${perTurn}`,
        measured: latencyText(times),
        ...(events === GOAL_EVENTS
          ? { goal: "≤ 50 ms", isMet: quantile(times, 0.5) <= 50, elsewhere: "unpublished" }
          : { goal: null, isMet: null }),
        bound,
        note: `${tries - 1} messages; ${count((events / perTurn) * 2)} messages are history, of which the model gets what fits its window`,
      });
    }
    await engine.stop();
  } finally {
    await database.drop();
  }
}

/** A turn of n events: message, announcements, deltas, the answer. */
async function fillSession(
  { db }: BenchDatabase,
  session: string,
  { events, perTurn }: { events: number; perTurn: number },
): Promise<void> {
  await db.sql`
    insert into events (session_id, sequence, id, type, context, data)
    select ${session}, n, ${newEventIdHead()} || lpad(to_hex(n), 10, '0'),
           case n % ${perTurn} when 1 then 'input.message' when 2 then 'turn.started' when 3 then 'reason.started'
             when 4 then 'output.message.started' when 0 then 'output.message.completed' else 'output.message.delta' end,
           jsonb_build_object('turn_id', 'turn_' || n / ${perTurn}),
           case n % ${perTurn}
             when 1 then jsonb_build_object('message', jsonb_build_object('id', 'message_' || lpad(to_hex(n), 32, '0'), 'role', 'user',
               'created_at', now(), 'content', jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'What is ' || n || '?'))))
             when 0 then jsonb_build_object('message', jsonb_build_object('id', 'message_' || lpad(to_hex(n), 32, '0'), 'role', 'agent',
               'created_at', now(), 'content', jsonb_build_array(jsonb_build_object('type', 'text', 'text', repeat('It is a number. ', 12)))))
             else jsonb_build_object('delta', 'It is a number. ') end
      from generate_series(1, ${events}::bigint) n`;
  await db.sql`update sessions set last_sequence = ${events}, last_input_sequence = ${events - perTurn + 1} where id = ${session}`;
  await db.sql.unsafe("vacuum analyze events");
}
