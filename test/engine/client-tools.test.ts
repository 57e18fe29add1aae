import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SENT_A_MESSAGE } from "../../src/db/waits.ts";
import { isIdle, logOnce, readLog, send } from "../support/sessions.ts";
import { clientTool, completedCalls, startWaiting, typesOf, type Waiting } from "../support/waiting.ts";

describe("a call of a client-side tool", () => {
  let it: Waiting;
  const tools = [clientTool("open_page"), clientTool("click", { display_name: "Click" })];
  beforeAll(async () => {
    it = await startWaiting();
  });
  afterAll(() => it.close());

  test("parks the run: no slot, no lease, and the client is asked", async () => {
    const { session, callIds } = await it.waiting([{ name: "open_page", arguments: { url: "/a" } }], {
      tools,
    });
    expect(await it.status(session)).toBe("waitingfortoolresults");
    expect(await it.run(session)).toMatchObject({
      state: "waiting",
      waiting_on: "client_tools",
      lease_owner: null,
      lease_expires_at: null,
    });
    const events = await readLog(it.app.db, session);
    expect(events.at(-1)).toMatchObject({
      type: "tool.call_requested",
      data: { tool_calls: [{ id: callIds[0], name: "open_page", arguments: { url: "/a" } }] },
    });
    const answer = await it.results(session, [{ tool_call_id: callIds[0], result: { title: "A" } }]);
    expect([answer.status, answer.body]).toEqual([200, { accepted: 1, status: "active" }]);
    const log = await logOnce(it.app.db, session, isIdle);
    expect(completedCalls(log)).toMatchObject([
      { tool_call_id: callIds[0], success: true, result: [{ type: "text", text: '{"title":"A"}' }] },
    ]);
    expect(typesOf(log).filter((type) => type === "act.completed")).toHaveLength(1);
    expect(log.map((event) => event.sequence)).toEqual(log.map((_, index) => index + 1));
    expect(log.find((event) => event.type === "turn.completed")?.data).toMatchObject({
      iterations: 2,
      tool_call_count: 1,
    });
    expect(await it.run(session)).toMatchObject({ state: "completed", attempt: 1 });
  });

  test("a message instead of the result cancels the call, and the turn goes on with the message", async () => {
    const { session, turnId } = await it.waiting([{ name: "open_page" }], { tools });
    expect(await send(it.app.db, session, "Never mind.")).toMatchObject({ outcome: "resumed", turnId });
    it.engine.hint();
    const log = await logOnce(it.app.db, session, isIdle);
    expect(completedCalls(log)).toMatchObject([
      { success: false, status: "cancelled", error: SENT_A_MESSAGE },
    ]);
    expect(typesOf(log).filter((type) => /^(act|turn)\.completed/.test(type))).toEqual([
      "act.completed",
      "turn.completed",
    ]);
  });
});
