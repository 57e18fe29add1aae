/** A message to a session with a long past: how soon is the model called? */
import { newEventIdHead } from "../../src/base/id.ts";
import { madeUpDriver, startEngine } from "./engine.ts";
import { latencyText, quantile } from "./report.ts";
import { newSessions, seedModel, send } from "./rows.ts";
import { type BenchDatabase, type Stage, until } from "./stage.ts";

const EVENTS = 100_000;
const TRIES = 11;

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
    for (const { perTurn, text, hasGoal } of [
      {
        perTurn: 500,
        text: "200 turns of 500 events each (long streamed answers not pruned yet)",
        hasGoal: true,
      },
      {
        perTurn: 10,
        text: "10,000 turns of 10 events each: 30,000 are history, all of it goes to the model",
        hasGoal: false,
      },
    ]) {
      const [session = ""] = await newSessions(db, 1);
      await fillSession(database, session, perTurn);
      const times: number[] = [];
      for (let n = 0; n < TRIES; n += 1) {
        calledAt = 0;
        const start = performance.now();
        await send(db, session, "go on");
        engine.hints.publish({ isQueued: true });
        await until("the model was called", () => calledAt > 0);
        // The first one finds nothing cached: it is the warm-up.
        if (n > 0) times.push(calledAt - start);
        await until("the session is at rest", async () => {
          const rows = await db.sql`select from sessions where id = ${session} and active_run_id is null`;
          return rows.length > 0;
        });
      }
      stage.report.add({
        what: `session with 100,000 events, ${text}: message to the model's call`,
        measured: latencyText(times),
        goal: hasGoal ? "≤ 50 ms" : "≤ 50 ms, whatever the events are",
        isMet: quantile(times, 0.5) <= 50,
        note: `${TRIES - 1} messages; reading the history by its partial index, and building the model's messages from it`,
      });
    }
    await engine.stop();
  } finally {
    await database.drop();
  }
}

/** A turn of n events: message, announcements, deltas, the answer. */
async function fillSession({ db }: BenchDatabase, session: string, perTurn: number): Promise<void> {
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
      from generate_series(1, ${EVENTS}::bigint) n`;
  await db.sql`update sessions set last_sequence = ${EVENTS}, last_input_sequence = ${EVENTS - perTurn + 1} where id = ${session}`;
  await db.sql.unsafe("vacuum analyze events");
}
