import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { approvalReason } from "../../src/capabilities/tool-approval.ts";
import { REJECTED_ALWAYS } from "../../src/engine/gate.ts";
import { script } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, readLog, send } from "../support/sessions.ts";
import { clientTool, completedCalls, startWaiting, typesOf, type Waiting } from "../support/waiting.ts";

describe("what needs approval", () => {
  const cases: [string, Parameters<typeof approvalReason>[1], normal: boolean, protective: boolean][] = [
    ["a pure tool", { effect: "pure" }, false, false],
    ["a pure tool that reaches outside", { effect: "pure", hints: { open_world: true } }, false, false],
    ["an idempotent tool", { effect: "idempotent" }, false, true],
    [
      "an idempotent tool that reaches outside",
      { effect: "idempotent", hints: { open_world: true } },
      true,
      true,
    ],
    ["an idempotent tool that destroys", { effect: "idempotent", hints: { destructive: true } }, true, true],
    ["a tool that declares nothing (at_most_once)", { effect: "at_most_once" }, true, true],
    [
      "a tool that says it is pure and destroys",
      { effect: "pure", hints: { destructive: true } },
      true,
      true,
    ],
  ];
  for (const [name, tool, normal, protective] of cases) {
    test(`${name}: normal ${normal}, protective ${protective}, off never`, () => {
      expect(approvalReason("off", tool)).toBeNull();
      expect([approvalReason("normal", tool) !== null, approvalReason("protective", tool) !== null]).toEqual([
        normal,
        protective,
      ]);
    });
  }
});

describe("a call that needs approval", () => {
  let it: Waiting;
  const capabilities = [{ ref: "tool_approval", config: { mode: "normal", timeout_seconds: 60 } }];
  beforeAll(async () => {
    it = await startWaiting();
  });
  afterAll(() => it.close());

  const charge = (amount: number) => ({ name: "charge", arguments: { amount } });
  const ending = (session: string) => logOnce(it.app.db, session, isIdle);
  const approvals = async (session: string, status = "pending") =>
    (await it.app.get(`/approvals?session_id=${session}&status=${status}`)).body;
  const decide = (id: string, body: object) => it.app.post(`/approvals/${id}`, body);
  const ran = () => it.ran.splice(0).map(({ input }) => input);
  const one = async (amount: number) => {
    const waiting = await it.waiting([charge(amount)], { capabilities });
    const [approval] = (await approvals(waiting.session)).data;
    return { ...waiting, approval };
  };

  test("waits for a person: what it is, why, and until when can be seen; allowed, it runs once (I11)", async () => {
    const { session, turnId, callIds, approval } = await one(3);
    expect(await it.run(session)).toMatchObject({ state: "waiting", waiting_on: "approval" });
    expect(await it.status(session)).toBe("waitingfortoolresults");
    expect(approval).toMatchObject({
      session_id: session,
      turn_id: turnId,
      tool_call_id: callIds[0],
      tool_name: "charge",
      arguments: { amount: 3 },
      reason: "it cannot safely be repeated or undone",
      status: "pending",
    });
    expect(Date.parse(approval.expires_at) - Date.parse(approval.requested_at)).toBe(60_000);
    expect((await readLog(it.app.db, session)).at(-1)).toMatchObject({
      type: "tool.call_requested",
      data: {
        tool_calls: [
          {
            id: `tool_approval_${callIds[0]}`,
            name: "approve_tool_call",
            arguments: { tool_call_id: callIds[0], tool_name: "charge", arguments: { amount: 3 } },
          },
        ],
      },
    });
    expect(ran()).toEqual([]);
    const { arguments_hash } = approval;
    const answer = await decide(approval.id, { decision: "allow", arguments_hash, comment: "fine" });
    expect([answer.status, answer.body]).toMatchObject([
      200,
      {
        status: "decided",
        decision: "allow",
        comment: "fine",
        decided_by: expect.stringMatching(/^principal_/),
      },
    ]);
    const log = await ending(session);
    expect(ran()).toEqual([{ amount: 3 }]);
    expect(completedCalls(log)).toMatchObject([{ success: true, tool_call_id: callIds[0] }]);
    expect(typesOf(log).filter((type) => type === "act.completed")).toHaveLength(1);
    expect(typesOf(log)).toContain("tool.progress");
    expect((await approvals(session, "decided")).total).toBe(1);
    const again = await decide(approval.id, { decision: "reject" });
    expect([again.status, again.body.code]).toEqual([409, "approval_decided"]);
  });

  test("runs with the arguments that the person changed", async () => {
    const { session, approval } = await one(300);
    await decide(approval.id, { decision: "allow", arguments: { amount: 3 } });
    const log = await ending(session);
    expect(ran()).toEqual([{ amount: 3 }]);
    expect((await approvals(session, "decided")).data[0]).toMatchObject({
      arguments: { amount: 300 },
      edited_arguments: { amount: 3 },
    });
    // The model must not believe that its own arguments were used.
    expect(completedCalls(log)[0]?.result).toEqual([
      { type: "text", text: 'The user changed the arguments of this call to {"amount":3}.\ncharge ran' },
    ]);
  });

  test("is rejected with a word to the model, and does not run", async () => {
    const { session, approval } = await one(3);
    await decide(approval.id, { decision: "reject", comment: "too dear" });
    const log = await ending(session);
    expect(ran()).toEqual([]);
    expect(completedCalls(log)).toMatchObject([
      {
        success: false,
        status: "error",
        error: "The user rejected this call. It did not run. They say: too dear",
      },
    ]);
    expect(log.find((event) => event.type === "act.completed")?.data).toMatchObject({ error_count: 1 });
  });

  test("is given up when nobody decides in time", async () => {
    const { session, approval } = await one(3);
    await it.app.db.sql`update waits set expires_at = now() where session_id = ${session}`;
    const log = await ending(session);
    expect(ran()).toEqual([]);
    expect(completedCalls(log)).toMatchObject(
      [{ status: "timeout", error: /^Nobody decided within/ }].map(({ status }) => ({ status })),
    );
    const late = await decide(approval.id, { decision: "allow" });
    expect([late.status, late.body.code]).toEqual([409, "approval_expired"]);
    expect((await approvals(session, "expired")).total).toBe(1);
  });

  test("is cancelled by a message of the user, and by a cancel", async () => {
    for (const end of [
      (session: string) => send(it.app.db, session, "Leave it.").then(() => it.engine.hint()),
      (session: string) => it.app.post(`/sessions/${session}/cancel`),
    ]) {
      const { session, approval } = await one(3);
      await end(session);
      await ending(session);
      expect(ran()).toEqual([]);
      const late = await decide(approval.id, { decision: "allow" });
      expect([late.status, late.body.code]).toEqual([409, "approval_cancelled"]);
      expect((await approvals(session, "pending")).total).toBe(0);
      expect((await approvals(session, "cancelled")).total).toBe(1);
    }
  });

  test("always: the next calls of this tool in this session are not asked about, in others they are", async () => {
    const session = await newSession(it.app.db, null, { capabilities });
    const turn = async (amount: number) => {
      await send(it.app.db, session, `Go.\n${script([{ tool_calls: [charge(amount)] }, { text: "Done." }])}`);
      it.engine.hint();
    };
    const ends = (count: number) =>
      logOnce(
        it.app.db,
        session,
        (log) => log.filter((event) => event.type === "turn.completed").length >= count,
      );
    await turn(1);
    await logOnce(it.app.db, session, (log) => log.at(-1)?.type === "tool.call_requested");
    const [approval] = (await approvals(session)).data;
    await decide(approval.id, { decision: "allow_always" });
    await ends(1);
    await turn(2);
    await ends(2);
    expect(ran()).toEqual([{ amount: 1 }, { amount: 2 }]);

    const other = await one(3);
    await decide(other.approval.id, { decision: "reject_always" });
    await ending(other.session);
    await send(
      it.app.db,
      other.session,
      `Again.\n${script([{ tool_calls: [charge(4)] }, { text: "Done." }])}`,
    );
    it.engine.hint();
    const log = await logOnce(
      it.app.db,
      other.session,
      (events) => events.filter((event) => event.type === "turn.completed").length >= 2,
    );
    expect(ran()).toEqual([]);
    expect(completedCalls(log).at(-1)?.error).toBe(REJECTED_ALWAYS);
    expect((await approvals(other.session)).total).toBe(0);
  });

  test("a call that could not run is not asked about: the model is told what is wrong with it", async () => {
    const session = await newSession(it.app.db, null, { capabilities });
    const steps = [
      {
        tool_calls: [
          { name: "charge", arguments: '{"amount": ' },
          { name: "charge", arguments: { amount: "x" } },
        ],
      },
      { text: "Done." },
    ];
    await send(it.app.db, session, `Go.\n${script(steps)}`);
    it.engine.hint();
    const log = await ending(session);
    expect(ran()).toEqual([]);
    expect(typesOf(log)).not.toContain("tool.call_requested");
    expect(completedCalls(log).map((call) => call.error)).toEqual([
      expect.stringContaining("not valid JSON"),
      expect.stringContaining("do not fit"),
    ]);
  });

  test("a decision for other arguments, an unknown one and an impossible one are refused", async () => {
    const { session, approval } = await one(3);
    const changed = await decide(approval.id, { decision: "allow", arguments_hash: "0".repeat(64) });
    expect([changed.status, changed.body.code]).toEqual([409, "approval_changed"]);
    const unknown = await decide(newId("approval"), { decision: "allow" });
    expect([unknown.status, unknown.body.code]).toEqual([404, "not_found"]);
    for (const body of [
      { decision: "maybe" },
      { decision: "reject", arguments: { amount: 1 } },
      { decision: "allow_always", arguments: { amount: 1 } },
      { decision: "allow", arguments: "all" },
      {},
    ]) {
      expect([body, (await decide(approval.id, body)).status]).toEqual([body, 400]);
    }
    expect((await decide("approval_1", { decision: "allow" })).body.code).toBe("invalid_id");
    expect((await approvals(session)).total).toBe(1);
    await it.app.post(`/sessions/${session}/cancel`);
  });

  test("what belongs to the other route is sent there; two decisions about one call are refused", async () => {
    const { session, callIds } = await one(1);
    const answer = await it.results(session, [
      { tool_call_id: `tool_approval_${callIds[0]}`, result: "yes" },
    ]);
    expect([answer.status, answer.body.detail]).toEqual([
      400,
      expect.stringContaining("answered at /tool-approvals"),
    ]);
    const twice = await it.app.post(`/sessions/${session}/tool-approvals`, {
      decisions: [
        { tool_call_id: callIds[0], decision: "allow" },
        { tool_call_id: `tool_approval_${callIds[0]}`, decision: "reject" },
      ],
    });
    expect([twice.status, twice.body.detail]).toEqual([400, expect.stringContaining("two about one call")]);
    expect((await approvals(session)).total).toBe(1);
    await it.app.post(`/sessions/${session}/cancel`);
  });

  test("the contract's route decides about all of them: what is left out is rejected", async () => {
    const calls = [charge(1), charge(2), { name: "look" }, charge(3)];
    const { session, callIds } = await it.waiting(calls, { capabilities });
    const [a, b, , c] = callIds as [string, string, string, string];
    expect(ran()).toEqual([{}]);
    const wrong = await it.app.post(`/sessions/${session}/tool-approvals`, {
      decisions: [{ tool_call_id: "call_x", decision: "allow" }],
    });
    expect([wrong.status, wrong.body.pending_tool_call_ids]).toEqual([400, [a, b, c]]);
    const answer = await it.app.post(`/sessions/${session}/tool-approvals`, {
      decisions: [
        { tool_call_id: `tool_approval_${a}`, decision: "allow" },
        { tool_call_id: b, decision: "reject" },
      ],
    });
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        resolved: [
          { tool_call_id: a, tool: "charge", outcome: "allowed" },
          { tool_call_id: b, tool: "charge", outcome: "rejected" },
          { tool_call_id: c, tool: "charge", outcome: "rejected" },
        ],
        status: "active",
      },
    ]);
    const log = await ending(session);
    expect(ran()).toEqual([{ amount: 1 }]);
    expect(log.find((event) => event.type === "act.completed")?.data).toMatchObject({
      success_count: 2,
      error_count: 2,
    });
    const late = await it.app.post(`/sessions/${session}/tool-approvals`, {
      decisions: [{ tool_call_id: a, decision: "allow" }],
    });
    expect([late.status, late.body.detail]).toEqual([
      409,
      "Session is not waiting for tool approvals (current status: idle)",
    ]);
  });

  test("beside a call of the client: the run goes on when both have their answer", async () => {
    const tools = [clientTool("open_page"), clientTool("pay", { policy: "requires_approval" })];
    const calls = [charge(1), { name: "open_page" }, { name: "pay", arguments: { to: "me" } }];
    const { session, callIds } = await it.waiting(calls, { capabilities, tools });
    const page = await approvals(session);
    expect(page.data.map((approval: { tool_name: string }) => approval.tool_name).sort()).toEqual([
      "charge",
      "pay",
    ]);
    await it.results(session, [{ tool_call_id: callIds[1], result: "opened" }]);
    expect(await it.run(session)).toMatchObject({ state: "waiting", waiting_on: "approval" });
    for (const { id, tool_name } of page.data) {
      await decide(id, { decision: "allow", ...(tool_name === "pay" ? { arguments: { to: "you" } } : {}) });
    }
    // Allowed, the client's tool is the client's to run, with the arguments that were allowed.
    const log = await logOnce(it.app.db, session, (events) =>
      events.some(
        (event) =>
          event.type === "tool.call_requested" &&
          event.data.tool_calls.some(
            (call) => call.id === callIds[2] && JSON.stringify(call.arguments) === '{"to":"you"}',
          ),
      ),
    );
    expect(completedCalls(log)).toHaveLength(2);
    await it.results(session, [{ tool_call_id: callIds[2], result: "paid" }]);
    const whole = await ending(session);
    expect(ran()).toEqual([{ amount: 1 }]);
    expect(typesOf(whole).filter((type) => type === "act.completed")).toHaveLength(1);
    expect(whole.find((event) => event.type === "act.completed")?.data).toMatchObject({ success_count: 3 });
  });

  test("I11: a worker that dies while the allowed call runs leaves it unknown, and it is not run again", async () => {
    const { session, approval } = await one(5);
    await it.engine.stop();
    const reached = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const sleeper = await it.startEngine({
      concurrency: 1,
      failpoint(name) {
        if (name !== "tool:before-commit") return;
        reached.resolve();
        return release.promise;
      },
    });
    await decide(approval.id, { decision: "allow" });
    sleeper.hint();
    await reached.promise;
    await it.app.db.sql`update runs set lease_expires_at = now() where session_id = ${session}`;
    it.engine = await it.startEngine();
    const log = await ending(session);
    expect(ran()).toEqual([{ amount: 5 }]);
    expect(completedCalls(log)).toMatchObject([{ success: false }]);
    expect(completedCalls(log)[0]?.error).toContain("not known whether");
    release.resolve();
    await sleeper.stop();
  });

  test("two decisions at once: one counts, the other is told", async () => {
    for (let n = 0; n < 5; n += 1) {
      const { session, approval } = await one(n);
      const answers = await Promise.all([
        decide(approval.id, { decision: "allow" }),
        decide(approval.id, { decision: "reject" }),
      ]);
      expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409]);
      const isAllowed = answers[0]?.status === 200;
      await ending(session);
      expect(ran()).toEqual(isAllowed ? [{ amount: n }] : []);
    }
  });
});
