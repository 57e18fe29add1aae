import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { type TestApp, testApp } from "../support/app.ts";

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
