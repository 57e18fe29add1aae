/**
 * A platform in which every list of the monitor has something to show: runs in every state, a call that waits for a
 * person, a queue behind a worker whose one slot is taken, a schedule, a breaker that is open.
 */
import { hostname } from "node:os";
import { trimmed } from "./terminals.ts";
import { startWorld, type World } from "./world.ts";

export interface MonitorWorld extends World {
  /** Sends a message to a new session. @returns the session's id */
  say(title: string, script: object, capabilities?: readonly unknown[]): Promise<string>;
  /** Waits until the newest run of the session has this status. */
  reaches(sessionId: string, status: string): Promise<void>;
}

const APPROVED = ["session_file_system", { ref: "tool_approval", config: { mode: "protective" } }];
const WRITE = { name: "write_file", arguments: { path: "/old.log", content: "x" } };
const FOREVER_MS = 600_000;

export async function startMonitorWorld(): Promise<MonitorWorld> {
  const base = await startWorld({ concurrency: 1 });
  const { app, engine } = base;
  const world: MonitorWorld = {
    ...base,
    async say(title, script, capabilities = []) {
      const made = await app.post("/sessions", { title, capabilities });
      const id: string = made.body.id;
      const text = `${title}, please.\n\`\`\`llmsim\n${JSON.stringify({ rate: 0, ...script })}\n\`\`\``;
      const said = await app.post(`/sessions/${id}/messages`, {
        message: { content: [{ type: "text", text }] },
      });
      if (said.status !== 201) throw new Error(JSON.stringify(said.body));
      engine.hint();
      return id;
    },
    async reaches(sessionId, status) {
      for (;;) {
        const { body } = await app.get(`/runs?session_id=${sessionId}&limit=1`);
        if (body.data[0]?.status === status) return;
        await Bun.sleep(5);
      }
    },
  };
  const answered = await world.say("Where the invoices went", {
    steps: [{ text: "I found **all twelve**." }],
  });
  await world.reaches(answered, "completed");
  const wide = await world.say("日本語のタイトル and 👩‍💻 emoji", { steps: [{ text: "はい" }] });
  await world.reaches(wide, "completed");
  const noted = await world.say(
    "Keep a note",
    {
      steps: [
        {
          text: "One moment.",
          tool_calls: [{ ...WRITE, arguments: { path: "/note.md", content: "# A note\n\nKept." } }],
        },
        { text: "Kept." },
      ],
    },
    ["session_file_system"],
  );
  await world.reaches(noted, "completed");
  const failed = await world.say("Translate the docs", {
    steps: [{ error: { code: "provider_quota_exhausted", times: 9 } }],
  });
  await world.reaches(failed, "failed");
  const waiting = await world.say(
    "Clean up",
    { steps: [{ tool_calls: [WRITE] }, { text: "Done." }] },
    APPROVED,
  );
  await world.reaches(waiting, "waiting");
  const running = await world.say("Nightly report", {
    steps: [{ text: "At last.", latency_ms: FOREVER_MS }],
  });
  await world.reaches(running, "running");
  const queued = await world.say("Next in line", { steps: [{ text: "My turn." }] });
  await app.db.sql`update runs set queued_at = now() - interval '1 hour' where session_id = ${queued}`;
  const { body: agent } = await app.post("/agents", { name: "night-owl", system_prompt: "You report." });
  const schedule = await app.post("/durable/schedules", {
    name: "nightly-report",
    cron_expression: "0 3 * * *",
    enabled: false,
    target: { type: "workflow", name: "agent.run", input: { agent_id: agent.id, message: "Report." } },
  });
  if (schedule.status !== 201) throw new Error(JSON.stringify(schedule.body));
  await app.db.sql`
    insert into circuit_breakers (provider_id, model_id, organization_id, state, reason, failure_count, opened_at)
    select id, 'old-model', organization_id, 'open', 'failures', 5, now() from providers limit 1`;
  return world;
}

/** More calls that wait for a person. @returns the sessions */
export async function addWaiting(world: MonitorWorld, count: number): Promise<string[]> {
  const sessions: string[] = [];
  for (let at = 0; at < count; at += 1) {
    sessions.push(await world.say(`Bulk ${at}`, { steps: [{ tool_calls: [WRITE] }] }, APPROVED));
  }
  return sessions;
}

/** A screen in which what differs from run to run is masked, in as many columns as before. */
export function masked(screen: string): string {
  return trimmed(
    screen
      .replaceAll(hostname(), "host")
      .replace(/…[0-9a-f]{8}\b/g, "…xxxxxxxx")
      .replace(/\bworker-[0-9a-f-]+…?/g, "worker-xxx")
      .replace(/_[0-9a-f]{32}\b/g, "_xxx")
      .replace(/_[0-9a-f]{8,31}…/g, "_xxx…")
      .replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:port")
      .replace(/\d\d:\d\d:\d\dZ/g, "hh:mm:ssZ")
      // How long the number is decides where the line is cut.
      .replace(/_ms=\d+.*$/gm, "_ms=N…")
      .replace(/_(ms|tokens)(=|": )\d+/g, "_$1$2N")
      // What stands in a column to the right keeps its end, everything else its beginning.
      .replace(/ {2,}\d+(\.\d+)?( ms| s|ms|s|m|h|d)\b/g, (text) => "N".padStart(text.length))
      .replace(/(?<![\w.$])\d+(\.\d+)?( ms| s|ms|s|m|h|d)\b */g, (text) => "N".padEnd(text.length))
      .replace(/ *\d+(\.\d+)?k\b/g, (text) => "k".padStart(text.length)),
  );
}
