/** `/metrics` on a real database. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { newSession, send } from "../support/sessions.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const scrape = async () => {
  const response = await app.app.handle(new Request("http://localhost/metrics"));
  return { response, text: await response.text() };
};
const sampleOf = (text: string, sample: string): number => {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${sample} `));
  if (line === undefined) throw new Error(`no sample ${sample} in\n${text}`);
  return Number(line.slice(sample.length + 1));
};

test("the queue, the waits and the workers are counted as they stand", async () => {
  const before = (await scrape()).text;
  expect(sampleOf(before, 'everruns_runs{state="queued"}')).toBe(0);
  expect(sampleOf(before, "everruns_queue_oldest_seconds")).toBe(0);

  const [due, later, parked] = await Promise.all([1, 2, 3].map(() => newSession(app.db)));
  for (const session of [due, later, parked]) await send(app.db, session as string, "hi");
  const { sql } = app.db;
  await sql`update runs set available_at = now() - interval '1 minute' where session_id = ${due as string}`;
  await sql`update runs set available_at = now() + interval '1 hour' where session_id = ${later as string}`;
  await sql`update runs set state = 'waiting', waiting_on = 'timer' where session_id = ${parked as string}`;
  const worker = `worker-${crypto.randomUUID()}`;
  await sql`insert into workers (id, hostname, pid, version, concurrency, load, runs_completed, lock_key)
            values (${worker}, 'a', 1, 'test', 7, 3, 11, 5)`;

  const { text } = await scrape();
  expect(sampleOf(text, 'everruns_runs{state="queued"}')).toBe(1);
  expect(sampleOf(text, 'everruns_runs{state="delayed"}')).toBe(1);
  expect(sampleOf(text, 'everruns_runs{state="waiting",waiting_on="timer"}')).toBe(1);
  expect(sampleOf(text, "everruns_queue_oldest_seconds")).toBeGreaterThanOrEqual(60);
  expect(sampleOf(text, `everruns_worker_slots{worker_id="${worker}",status="running"}`)).toBe(7);
  expect(sampleOf(text, `everruns_worker_load{worker_id="${worker}",status="running"}`)).toBe(3);
  expect(sampleOf(text, `everruns_worker_runs_total{worker_id="${worker}",outcome="completed"}`)).toBe(11);
  expect(sampleOf(text, "everruns_database_deadlocks_total")).toBe(0);
});

test("requests are counted by method and status", async () => {
  const before = (await scrape()).text;
  await app.get(`/sessions/${newId("session")}`);
  const { text, response } = await scrape();
  const sample = 'everruns_http_requests_total{method="GET",status="404"}';
  const earlier = before.includes(sample) ? sampleOf(before, sample) : 0;
  expect(sampleOf(text, sample)).toBe(earlier + 1);
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
});

test("every line is in the exposition format, every metric is explained once, and no tenant is named", async () => {
  const { text } = await scrape();
  const lines = text.trimEnd().split("\n");
  for (const line of lines) {
    expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? -?[0-9.e+-]+)$/);
  }
  const explained = lines.filter((line) => line.startsWith("# HELP")).map((line) => line.split(" ")[2]);
  expect(new Set(explained).size).toBe(explained.length);
  expect(text).not.toMatch(/org_|session_[0-9a-f]/);
});

test("a foreign host name is refused, as by every route", async () => {
  const response = await app.app.handle(
    new Request("http://localhost/metrics", { headers: { host: "evil.example" } }),
  );
  expect(response.status).toBe(403);
});
