import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { isIdle, logOnce, turnsEnded } from "../support/sessions.ts";

describe("participants", () => {
  let app: TestApp;
  let agent: string;
  let guest: string;
  let session: string;
  const at = (id = session) => `/sessions/${id}/participants`;
  const add = (body: object) => app.post(at(), body);
  const leave = (id: string) => app.call("DELETE", `${at()}/${id}`);
  const list = async (id = session) => (await app.get(at(id))).body;
  const code = (answer: { status: number; body: { code?: string } }) => [answer.status, answer.body.code];
  beforeAll(async () => {
    app = await testApp();
    agent = (await app.post("/agents", { name: "host", system_prompt: "" })).body.id;
    guest = (await app.post("/agents", { name: "guest", system_prompt: "" })).body.id;
  });
  afterAll(() => app.close());
  beforeEach(async () => {
    session = (await app.post("/sessions", { agent_id: agent })).body.id;
  });

  test("are the agent, who is the host, and the owner from the beginning, with ids that stay", async () => {
    const first = await list();
    expect(first.map(({ kind, role, agent_id }: Record<string, string>) => [kind, role, agent_id])).toEqual([
      ["agent", "host", agent],
      ["user", "member", undefined],
    ]);
    expect(first[0].id).toMatch(/^part_[0-9a-f]{32}$/);
    expect(await list()).toEqual(first);
    const alone = (await app.post("/sessions")).body.id;
    expect((await list(alone)).map(({ kind, role }: Record<string, string>) => [kind, role])).toEqual([
      ["user", "host"],
    ]);
  });

  test("an agent joins once, leaves, and joins again", async () => {
    const joined = await add({ kind: "agent", agentId: guest });
    expect(joined.status).toBe(201);
    expect(joined.body).toMatchObject({
      session_id: session,
      kind: "agent",
      role: "member",
      agent_id: guest,
    });
    expect(code(await add({ kind: "agent", agent_id: guest }))).toEqual([409, "conflict"]);
    const left = await leave(joined.body.id);
    expect([left.status, left.body.id, typeof left.body.left_at]).toEqual([200, joined.body.id, "string"]);
    expect((await leave(joined.body.id)).body).toEqual(left.body);
    const again = await add({ kind: "agent", agent_id: guest });
    expect([again.status, again.body.id === joined.body.id]).toEqual([201, false]);
    expect(await list()).toHaveLength(4);
  });

  test("two requests at once let an agent in once", async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => add({ kind: "agent", agent_id: guest })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409]);
  });

  test("the owner leaves and comes back; who is there is answered with that", async () => {
    const owner = (await list())[1];
    expect((await add({ kind: "user" })).body).toEqual(owner);
    const left = await leave(owner.id);
    expect(left.body).toMatchObject({ id: owner.id, kind: "user" });
    expect((await list()).find(({ id }: { id: string }) => id === owner.id).left_at).toBe(left.body.left_at);
    const back = await add({ kind: "user", role: "member" });
    expect([back.status, back.body.id === owner.id, back.body.left_at]).toEqual([201, false, undefined]);
    expect((await add({ kind: "user" })).body).toEqual(back.body);
  });

  test("the host stays", async () => {
    expect(code(await leave((await list())[0].id))).toEqual([409, "conflict"]);
  });

  test("no more than the limit, those who left too", async () => {
    await app.db.sql`
      insert into session_participants (id, session_id, organization_id, kind, role, principal_id, left_at)
      select 'part_' || md5(n::text), ${session}, 'o', 'user', 'member', 'p', now()
        from generate_series(1, ${limits.participantsMax - 2}) n`;
    await app.db.sql`
      update session_participants set organization_id = s.organization_id from sessions s
       where s.id = session_participants.session_id and s.id = ${session}`;
    expect(code(await add({ kind: "agent", agent_id: guest }))).toEqual([409, "conflict"]);
    expect(await list()).toHaveLength(limits.participantsMax);
  });

  describe("a message addressed to one", () => {
    const send = (participant: string | null, more: object = {}) =>
      app.post(`/sessions/${session}/messages`, {
        message: { content: "hi" },
        addressed_participant_id: participant,
        ...more,
      });
    // A turn that is left behind would be taken up by the worker below.
    afterEach(() => app.post(`/sessions/${session}/cancel`));
    const agentOf = async (turn: string) => (await app.get(`/runs/${turn}`)).body.agent_id;
    const join = async () => (await add({ kind: "agent", agent_id: guest })).body.id;

    test("begins a turn of that agent, whatever way it is taken; to nobody, of the session's own", async () => {
      const participant = await join();
      const started = (await send(participant)).body;
      expect(await agentOf(started.turn_id)).toBe(guest);
      const queued = (await send(participant, { delivery: "queue" })).body;
      await app.post(`/sessions/${session}/cancel`);
      expect(await agentOf(queued.turn_id)).toBe(guest);
      const interrupting = (await send(participant, { delivery: "interrupt", client_message_id: "k" })).body;
      expect(await agentOf(interrupting.turn_id)).toBe(guest);
      const own = (await send(null, { delivery: "interrupt" })).body;
      expect(await agentOf(own.turn_id)).toBe(agent);
      const host = (await send((await list())[0].id, { delivery: "interrupt" })).body;
      expect(await agentOf(host.turn_id)).toBe(agent);
    });

    test("who is a user, has left, or is not there: 400, and nothing is written", async () => {
      const gone = await join();
      await leave(gone);
      for (const [participant, expected] of [
        [(await list())[1].id, "invalid_request"],
        [gone, "invalid_request"],
        [newId("part"), "invalid_request"],
        ["guest", "invalid_id"],
      ]) {
        expect(code(await send(participant))).toEqual([400, expected]);
      }
      expect((await app.get(`/sessions/${session}/messages`)).body.data).toEqual([]);
      session = newId("session");
      expect(code(await send(newId("part")))).toEqual([404, "not_found"]);
    });

    test("is answered with that agent's prompt and tools, in the same conversation", async () => {
      await seedModel(app.db);
      const model = createManualDriver();
      const engine = await startEngine({ address: app.db.address }, { driver: model.driver, drainMs: 0 });
      await app.call("PATCH", `/agents/${guest}`, { system_prompt: "You are the guest." });
      await app.call("PATCH", `/agents/${agent}`, { system_prompt: "You are the host." });
      const prompts: string[] = [];
      const turn = async (participant: string | null) => {
        await send(participant);
        engine.hint();
        const call = await model.nextCall();
        prompts.push(/You are the \w+/.exec(call.request.system ?? "")?.[0] ?? "");
        call.say("Here.");
        call.finish();
        const count = prompts.length;
        await logOnce(app.db, session, (log) => turnsEnded(log) === count && isIdle(log));
        return call.request.messages.length;
      };
      const counts = [await turn(null), await turn(await join()), await turn(null)];
      expect(prompts).toEqual(["You are the host", "You are the guest", "You are the host"]);
      expect(counts).toEqual([1, 3, 5]);
      await engine.stop();
    });
  });

  describe("are refused", () => {
    const bad: [string, object, number, string][] = [
      ["without a kind", {}, 400, "invalid_request"],
      ["an unknown kind", { kind: "robot" }, 400, "invalid_request"],
      ["a host", { kind: "user", role: "host" }, 400, "invalid_request"],
      ["an agent without its id", { kind: "agent" }, 400, "invalid_request"],
      ["a user with an agent's id", { kind: "user", agent_id: newId("agent") }, 400, "invalid_request"],
      ["what is no agent's id", { kind: "agent", agent_id: "guest" }, 400, "invalid_id"],
      ["an agent that does not exist", { kind: "agent", agent_id: newId("agent") }, 404, "not_found"],
    ];
    for (const [name, body, status, expected] of bad) {
      test(name, async () => expect(code(await add(body))).toEqual([status, expected]));
    }

    test("in a session that does not exist, and people who are not in it", async () => {
      const other = (await app.post("/sessions")).body.id;
      const stranger = (await list(other))[0].id;
      session = newId("session");
      expect(code(await app.get(at()))).toEqual([404, "not_found"]);
      expect(code(await add({ kind: "user" }))).toEqual([404, "not_found"]);
      expect(code(await leave(newId("part")))).toEqual([404, "not_found"]);
      expect(code(await leave("part_1"))).toEqual([400, "invalid_id"]);
      session = (await app.post("/sessions")).body.id;
      expect(code(await leave(stranger))).toEqual([404, "not_found"]);
    });
  });
});
