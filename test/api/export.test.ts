/** A session to take away: message by message, and as a trajectory. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { GOLDEN_SCRIPTS } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, send } from "../support/sessions.ts";

interface Step {
  step_id: number;
  source: string;
  message: string;
  tool_calls?: { tool_call_id: string; function_name: string; arguments: object }[];
  observation?: { results: { source_call_id: string; content: string; extra: { status: string } }[] };
  metrics?: Record<string, number>;
  llm_call_count?: number;
  extra: Record<string, unknown>;
}
interface Trajectory {
  schema_version: string;
  session_id: string;
  trajectory_id: string;
  agent: Record<string, string>;
  steps: Step[];
  final_metrics: Record<string, number>;
  continued_trajectory_ref?: string;
  extra: { turns: Record<string, unknown>[]; segment_index?: number };
}

describe("a session's export", () => {
  let app: TestApp;
  let engine: TestEngine;
  let session: string;
  beforeAll(async () => {
    app = await testApp();
    await seedModel(app.db);
    engine = await startEngine({ address: app.db.address });
    session = await newSession(app.db);
    for (const name of ["thinking", "parallel-tools", "bad-calls", "provider-refuses"]) {
      await send(app.db, session, GOLDEN_SCRIPTS.find((script) => script.name === name)?.message ?? "");
      engine.hint();
      await logOnce(app.db, session, isIdle);
    }
  });
  afterAll(async () => {
    await engine.stop();
    await app.close();
  });
  const get = (query = "", id = session) => app.get(`/sessions/${id}/export${query}`);
  const trajectory = async (query = "", id = session): Promise<Trajectory> =>
    (await get(`?format=atif${query}`, id)).body;
  /** Messages of a session without a turn, one each of many bytes. */
  const large = async (count: number, chars: number) => {
    const id = await newSession(app.db);
    await app.db.sql`
      with grown as (update sessions set last_sequence = ${count} where id = ${id} returning id)
      insert into events (session_id, sequence, id, type, context, data)
      select id, n, 'event_' || lpad(to_hex(n), 32, '0'), 'input.message', jsonb_build_object('turn_id', 't' || n),
             jsonb_build_object('message', jsonb_build_object('id', 'message_' || lpad(to_hex(n), 32, '0'), 'role', 'user',
               'content', jsonb_build_array(jsonb_build_object('type', 'text', 'text', n || repeat('x', ${chars}))),
               'created_at', '2026-01-01T00:00:00.000Z'))
        from grown, generate_series(1, ${count}) n`;
    return id;
  };

  test("is the messages line by line, as they are listed", async () => {
    const { status, headers, body } = await get();
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe("application/x-ndjson");
    expect(headers.get("content-disposition")).toBe(`attachment; filename="${session}.jsonl"`);
    const lines = (body as string).split("\n");
    expect(lines.pop()).toBe("");
    const listed = (await app.get(`/sessions/${session}/messages`)).body.data;
    expect(lines.map((line) => JSON.parse(line))).toEqual(listed);
    expect((await get("?format=jsonl")).body).toBe(body);
  });

  test("is complete over many pages, and of a fork what it inherited, too", async () => {
    const id = await large(450, 10);
    const lines = ((await get("", id)).body as string).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).sequence)).toEqual(
      Array.from({ length: 450 }, (_, n) => n + 1),
    );
    const fork = (await app.post(`/sessions/${id}/fork`, { at_sequence: 300 })).body.id;
    const inherited = ((await get("", fork)).body as string).trimEnd().split("\n");
    expect(inherited).toHaveLength(300);
    expect(JSON.parse(inherited[0] ?? "").session_id).toBe(fork);
  });

  test("of a session without messages is empty", async () => {
    const id = await newSession(app.db);
    expect([(await get("", id)).status, (await get("", id)).body]).toEqual([200, null]);
    expect((await trajectory("", id)).steps).toEqual([]);
  });

  test("as a trajectory has a step for each message and each model call", async () => {
    const { status, headers, body } = await get("?format=atif");
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe("application/json");
    expect(headers.get("content-disposition")).toBe(`attachment; filename="${session}.atif.json"`);
    const { steps, ...root } = body as Trajectory;
    expect(root).toMatchObject({
      schema_version: "ATIF-v1.7",
      session_id: session,
      agent: { name: "everruns", version: "0.0.0-test", model_name: "llmsim" },
    });
    expect(steps.map((step) => step.step_id)).toEqual(steps.map((_, index) => index + 1));
    expect(steps.map((step) => step.source)).toEqual([
      ...["user", "agent"],
      ...["user", "agent", "agent", "agent"],
      ...["user", "agent", "agent"],
      ...["user", "agent"],
    ]);
    expect(steps[1]).toMatchObject({ message: "Thought and done.", reasoning_content: "Hm, let me see." });
    expect(root.extra.turns.map(({ status: ending }) => ending)).toEqual([
      "completed",
      "completed",
      "completed",
      "failed",
    ]);
  });

  test("as a trajectory keeps calls with their results, also those that failed", async () => {
    const { steps } = await trajectory();
    const parallel = steps[3];
    expect(parallel?.tool_calls?.map(({ function_name }) => function_name)).toEqual([
      "write_file",
      "write_file",
    ]);
    expect(parallel?.observation?.results.map((result) => result.source_call_id).sort()).toEqual(
      parallel?.tool_calls?.map((call) => call.tool_call_id).sort() as string[],
    );
    const bad = steps[7];
    expect(bad?.observation?.results.map(({ extra }) => extra.status)).toEqual(["error", "error", "error"]);
    expect(bad?.tool_calls?.map((call) => typeof call.arguments)).toEqual(["object", "object", "object"]);
  });

  test("as a trajectory counts tokens as the format does; what no model said is told apart", async () => {
    const { steps, final_metrics } = await trajectory();
    const sum = (name: string) => steps.reduce((total, step) => total + (step.metrics?.[name] ?? 0), 0);
    expect(final_metrics).toMatchObject({
      total_prompt_tokens: sum("prompt_tokens"),
      total_completion_tokens: sum("completion_tokens"),
      total_steps: steps.length,
    });
    expect(sum("prompt_tokens")).toBeGreaterThan(0);
    expect(steps.at(-1)).toMatchObject({ llm_call_count: 0, extra: { error: "provider_misconfigured" } });
    expect(steps.at(-1)?.metrics).toBeUndefined();
  });

  test("as a trajectory leaves pictures out and counts them", async () => {
    const { id } = (await app.post("/sessions")).body;
    const image = { type: "image", url: "https://example.com/a.png" };
    await app.post(`/sessions/${id}/messages`, {
      message: { content: [{ type: "text", text: "Look" }, image] },
    });
    const { headers, body } = await get("?format=atif", id);
    expect([headers.get("x-atif-images-omitted"), body.steps[0].message]).toEqual(["1", "Look\n\n[image]"]);
  });

  test("that is too large for one document is 413, and comes in segments that follow each other", async () => {
    const megabyte = 1024 * 1024;
    const count = Math.ceil(limits.exportBytesMax / megabyte) + 1;
    const id = await large(count, megabyte);
    const refused = await get("?format=atif", id);
    expect([refused.status, refused.body.code]).toEqual([413, "export_too_large"]);
    const texts: string[] = [];
    const ids = new Set<string>();
    let query: string | null = "&segmented=true";
    for (let index = 0; query !== null; index += 1) {
      const { headers, body } = await get(`?format=atif${query}`, id);
      const segment = body as Trajectory;
      expect(headers.get("x-atif-segment-index")).toBe(String(index));
      expect(segment.extra.segment_index).toBe(index);
      expect(segment.steps[0]?.step_id).toBe(1);
      texts.push(...segment.steps.map((step) => step.message.replace(/x+$/, "")));
      ids.add(segment.trajectory_id);
      const cursor = headers.get("x-atif-next-cursor");
      query = cursor === null ? null : `&segmented=true&cursor=${cursor}`;
      const next = query === null ? undefined : `/v1/sessions/${id}/export?format=atif${query}`;
      expect(segment.continued_trajectory_ref).toBe(next as string);
    }
    expect(texts).toEqual(Array.from({ length: count }, (_, n) => String(n + 1)));
    expect(ids.size).toBeGreaterThan(5);
  }, 60_000);

  describe("is refused", () => {
    const foreign = Buffer.from(JSON.stringify([newId("session"), 0, 1, 0])).toString("base64url");
    const beyond = (id: string) => Buffer.from(JSON.stringify([id, 0, 1_000_000, 1])).toString("base64url");
    const cases: [string, () => string, number, string][] = [
      ["an unknown format", () => "?format=xml", 400, "invalid_request"],
      ["segments of lines", () => "?segmented=true", 400, "invalid_request"],
      ["a cursor without segments", () => `?format=atif&cursor=${foreign}`, 400, "invalid_request"],
      ["a cursor that is none", () => "?format=atif&segmented=true&cursor=abc", 400, "invalid_cursor"],
      [
        "another session's cursor",
        () => `?format=atif&segmented=true&cursor=${foreign}`,
        400,
        "invalid_cursor",
      ],
      [
        "a cursor beyond the end",
        () => `?format=atif&segmented=true&cursor=${beyond(session)}`,
        400,
        "invalid_cursor",
      ],
    ];
    for (const [name, query, status, code] of cases) {
      test(name, async () => {
        const answer = await get(query());
        expect([answer.status, answer.body.code]).toEqual([status, code]);
      });
    }

    test("a session that does not exist", async () => {
      expect((await get("", newId("session"))).status).toBe(404);
      expect((await get("", "session_1")).status).toBe(400);
    });
  });
});
