/** POST /cancel while the model is answering: how soon is the connection to the model's server closed? */
import { createDriver, createDriverDeps } from "../../src/llm/registry.ts";
import { startEngine } from "./engine.ts";
import { startMeter } from "./meter.ts";
import { openRawPoster } from "./raw-http.ts";
import { latencyText, quantile } from "./report.ts";
import { newSessions, seedModel, send } from "./rows.ts";
import { type Stage, until } from "./stage.ts";
import { portOf, startServer } from "./streams.ts";

const HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n";

export async function measureCancel(stage: Stage): Promise<void> {
  stage.report.part("Cancelling");
  const database = await stage.database();
  const model = startSlowModel();
  try {
    const { db } = database;
    await seedModel(db);
    const server = await startServer(stage, database);
    const driver = createDriver(
      { providerType: "openai_completions", apiKey: "key", baseUrl: `http://127.0.0.1:${model.port}/v1` },
      createDriverDeps(),
    );
    const engine = await startEngine(database.address, { concurrency: 4, driver });
    const poster = await openRawPoster(portOf(server));
    const tries = stage.pick(100, 5);
    const closed: number[] = [];
    const meter = await startMeter(stage, db, {
      "bench with worker and model": process.pid,
      server: server.pid,
    });
    for (const session of await newSessions(db, tries + 2)) {
      model.reset();
      await send(db, session, "Tell me everything.");
      engine.hints.publish({ isQueued: true });
      await until("the model is answering", () => model.answeringSince() !== null);
      // Cancels come at any moment between two tokens.
      await Bun.sleep(20 + stage.random() * 30);
      const start = performance.now();
      const status = await poster.post(`/v1/sessions/${session}/cancel`, "{}");
      if (status !== 200) throw new Error(`cancel was answered with ${status}`);
      await until("the connection was closed", () => model.closedAt() !== null);
      closed.push((model.closedAt() ?? 0) - start);
    }
    const bound = await meter.each({ name: "cancelled turn", count: tries + 2 });
    poster.close();
    await engine.stop();
    await server.stop();
    // The first two find nothing warm.
    const times = closed.slice(2);
    stage.report.add({
      what: "cancel: POST to the model's connection closed, server and worker in different processes",
      measured: latencyText(times),
      goal: "p50 ≤ 50 ms",
      isMet: quantile(times, 0.5) <= 50,
      bound,
      note: `${times.length} turns of a model that answers over HTTP and never ends`,
    });
  } finally {
    model.stop();
    await database.drop();
  }
}

/** Chat Completions on a bare socket: a token every 20 ms for ever, so that closing is all that ends it. */
function startSlowModel() {
  let answeringSince: number | null = null;
  let closedAt: number | null = null;
  const timers = new Set<ReturnType<typeof setInterval>>();
  const server = Bun.listen<{ timer: ReturnType<typeof setInterval> | null }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { timer: null };
      },
      data(socket) {
        if (socket.data.timer !== null) return;
        socket.write(HEAD);
        const timer = setInterval(() => {
          const chunk = `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta: { content: "word " }, finish_reason: null }] })}\n\n`;
          socket.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
          answeringSince ??= performance.now();
        }, 20);
        socket.data.timer = timer;
        timers.add(timer);
      },
      close(socket) {
        const { timer } = socket.data;
        if (timer === null) return;
        clearInterval(timer);
        timers.delete(timer);
        closedAt = performance.now();
      },
    },
  });
  return {
    port: server.port,
    answeringSince: () => answeringSince,
    closedAt: () => closedAt,
    reset() {
      answeringSince = null;
      closedAt = null;
    },
    stop() {
      for (const timer of timers) clearInterval(timer);
      server.stop(true);
    },
  };
}
