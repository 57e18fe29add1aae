/**
 * A client that knows the wire contract and nothing of ours, with the habits and weaknesses of the official SDKs,
 * against the executable over a real network that breaks: agents, sessions, messages, streams, client tools, files,
 * budgets. Whatever it reads is decoded a second time as strictly as the Python and Rust SDKs do.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { killCluster, workDirectory } from "../embedded/support/clusters.ts";
import { type RunningServer, serveExecutable } from "../support/executable.ts";
import { type ApiError, createSdk, NotFoundError, type Sdk } from "../support/sdk/client.ts";
import { type CuttingProxy, startCuttingProxy } from "../support/sdk/cutting-proxy.ts";
import { newReport, type StreamedEvent, streamEvents } from "../support/sdk/stream.ts";
import { allStrictly, strictly } from "../support/sdk/strict.ts";
import { simScript } from "./support/api.ts";

const work = workDirectory();
const cwd = work.fresh("empty");
const dataDir = work.fresh("data");
let server: RunningServer;
let proxy: CuttingProxy;
let sdk: Sdk;

beforeAll(async () => {
  server = await serveExecutable(["--data-dir", dataDir], { cwd });
  proxy = await startCuttingProxy(server.url);
  // Without authentication any token is as good as another.
  sdk = createSdk({ baseUrl: `${proxy.url}/api/`, token: "evr_pat_of-nobody" });
});
afterAll(async () => {
  await proxy.stop();
  await server.kill();
  killCluster(dataDir);
  work.remove();
});

const ended = (event: StreamedEvent) => /^turn\.(completed|failed|sealed|cancelled)$/.test(event.type);

/** Reads the stream until the session rests; every event must be readable by a strict client. */
async function readTurn(
  sessionId: string,
  options: Parameters<typeof streamEvents>[2] = {},
  onEvent: (event: StreamedEvent) => Promise<void> | void = () => {},
): Promise<StreamedEvent[]> {
  const events: StreamedEvent[] = [];
  for await (const event of streamEvents(sdk, sessionId, options)) {
    events.push(strictly("Event", event));
    await onEvent(event);
    if (event.type === "session.idled") break;
  }
  return events;
}

const textOf = (message: { content: { type: string; text?: string }[] }) =>
  message.content.map((part) => part.text ?? "").join("");

describe("agents", () => {
  test("are made, found by id and by name, listed, changed, copied and archived", async () => {
    const [model] = (await sdk.request("GET", "/models")).data;
    strictly("Model", model);
    const made = strictly(
      "Agent",
      await sdk.agents.create({
        name: "sdk-agent",
        systemPrompt: "You help.",
        model: model.id,
        displayName: "Of the SDK",
        capabilities: [{ ref: "current_time" }, { ref: "web_fetch", config: {} }],
        tools: [{ type: "client_side", name: "ask", description: "Asks.", parameters: { type: "object" } }],
        initialFiles: [{ path: "/hello.txt", content: "hello" }],
        harnessName: "generic",
        parallelToolCalls: true,
      }),
    );
    expect([made.model, made.default_model_id, made.status]).toEqual([model.id, model.id, "active"]);
    expect(strictly("Agent", await sdk.agents.get(made.id))).toMatchObject({ id: made.id });
    expect(await sdk.agents.get("sdk-agent")).toMatchObject({ id: made.id });

    const listed = allStrictly("Agent", await sdk.agents.list());
    expect(listed.map((agent) => agent.id)).toContain(made.id);

    await sdk.agents.update(made.id, { description: "Changed." });
    const applied = strictly("Agent", await sdk.agents.apply({ name: "sdk-agent", systemPrompt: "Again." }));
    expect([applied.id, applied.system_prompt]).toEqual([made.id, "Again."]);

    const copy = strictly("Agent", await sdk.agents.copy(made.id));
    expect(copy.name).toBe("sdk-agent-copy");
    expect(await sdk.agents.delete(copy.id)).toBeUndefined();
    expect((await sdk.agents.get(copy.id)).status).toBe("archived");
    expect((await sdk.agents.list()).map((agent) => agent.id)).not.toContain(copy.id);
  });

  test("that are not there throw what the SDK throws, with a code that it can read", async () => {
    const error = await sdk.agents.get("nobody").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotFoundError);
    expect(JSON.parse((error as ApiError).body).error).toEqual({
      code: "not_found",
      message: expect.stringMatching(/Agent/),
    });
    const refused = await sdk.agents.create({ name: "No Slug", systemPrompt: "" }).catch((thrown) => thrown);
    expect([refused.status, JSON.parse(refused.body).error.code]).toEqual([400, "invalid_name"]);
  });
});

describe("a conversation", () => {
  test("is streamed from the first event, answered, and read back", async () => {
    const session = strictly(
      "Session",
      await sdk.sessions.create({ agentName: "sdk-agent", title: "A talk", tags: ["sdk"], locale: "uk-UA" }),
    );
    expect(session.status).toBe("started");
    const message = strictly(
      "Message",
      await sdk.messages.create(session.id, {
        message: { role: "user", content: [{ type: "text", text: "Hello." }] },
        externalActor: { actorId: "U1", actorName: "Ann", source: "slack", metadata: { team: "a" } },
        controls: { errorDisclosure: "standard" },
      }),
    );
    expect(message.external_actor).toEqual({
      actor_id: "U1",
      actor_name: "Ann",
      source: "slack",
      metadata: { team: "a" },
    });
    const report = newReport();
    const events = await readTurn(session.id, { report });
    expect(report).toMatchObject({ connections: 1, strangers: [] });
    const types = events.map((event) => event.type);
    expect(types[0]).toBe("session.started");
    for (const type of ["input.message", "turn.started", "output.message.completed", "turn.completed"]) {
      expect(types).toContain(type);
    }
    const messages = allStrictly("Message", await sdk.messages.list(session.id));
    expect(messages.map((one) => one.role)).toEqual(["user", "agent"]);
    const deltas = events.filter((event) => event.type === "output.message.delta");
    expect(deltas.map((event) => event.data.delta).join("")).toBe(textOf(messages[1]));
    expect(strictly("Session", await sdk.sessions.get(session.id)).status).toBe("idle");
    allStrictly("Event", await sdk.sessions.events(session.id));
    expect(allStrictly("Session", await sdk.sessions.list("?search=talk")).map((one) => one.id)).toEqual([
      session.id,
    ]);
  });

  test("is renamed, pinned, unpinned and deleted", async () => {
    const session = await sdk.sessions.create();
    expect((await sdk.sessions.update(session.id, { title: "Other" })).title).toBe("Other");
    expect(await sdk.sessions.pin(session.id)).toBeUndefined();
    expect((await sdk.sessions.get(session.id)).is_pinned).toBe(true);
    expect(await sdk.sessions.unpin(session.id)).toBeUndefined();
    expect(await sdk.sessions.delete(session.id)).toBeUndefined();
    expect(await sdk.sessions.get(session.id).catch((error: unknown) => error)).toBeInstanceOf(NotFoundError);
  });

  test("is cancelled, with an answer that is JSON", async () => {
    const session = await sdk.sessions.create();
    expect(await sdk.sessions.cancel(session.id)).toMatchObject({ status: "no_op" });
    await sdk.messages.say(session.id, simScript({ steps: [{ text: "slow ".repeat(500) }], rate: 20 }));
    const events = await readTurn(session.id, {}, async (event) => {
      if (event.type === "output.message.started") {
        expect(await sdk.sessions.cancel(session.id)).toMatchObject({ status: "cancelled" });
      }
    });
    expect(events.filter(ended).map((event) => event.type)).toEqual(["turn.cancelled"]);
  });
});

describe("a stream whose connections break", () => {
  const LONG = Array.from({ length: 300 }, (_none, index) => `word${index}`).join(" ");

  test("at any byte: every event is read once, in order, and the text is whole", async () => {
    const session = await sdk.sessions.create();
    // Odd places: within the headers, within a frame, behind one.
    proxy.cutAfter([100, 700, 1_300, 2_000, 3_333, 5_000, 8_000]);
    const sent = createSdk({ baseUrl: `${server.url}/api`, token: "x" });
    await sent.messages.say(session.id, simScript({ steps: [{ text: LONG }], rate: 400 }));
    const report = newReport();
    const cutsBefore = proxy.cuts();
    const events = await readTurn(session.id, { report });
    proxy.cutAfter([]);
    expect(proxy.cuts() - cutsBefore).toBeGreaterThan(3);
    expect(new Set(events.map((event) => event.id)).size).toBe(events.length);
    const stored = await sdk.sessions.events(session.id, "?exclude=output.message.delta");
    expect(events.filter((event) => event.type !== "output.message.delta").map((event) => event.id)).toEqual(
      stored.map((event) => event.id),
    );
    const deltas = events.filter((event) => event.type === "output.message.delta");
    // Deltas that came while nobody listened are gone once the message stands; `accumulated` bridges the gap.
    expect(deltas.length).toBeGreaterThan(0);
    expect(deltas.filter((event) => !LONG.startsWith(event.data.accumulated))).toEqual([]);
    expect(textOf((await sdk.messages.list(session.id)).at(-1))).toBe(LONG);
  });

  test("again and again while it reads: nothing is lost", async () => {
    const session = await sdk.sessions.create();
    const sent = createSdk({ baseUrl: `${server.url}/api`, token: "x" });
    await sent.messages.say(session.id, simScript({ steps: [{ text: LONG }], rate: 600 }));
    const events = await readTurn(session.id, {}, (event) => {
      if (event.type === "output.message.delta" && (event.sequence ?? 0) % 3 === 0) proxy.cutAll();
    });
    const stored = await sdk.sessions.events(session.id, "?exclude=output.message.delta");
    expect(events.filter((event) => event.type !== "output.message.delta").map((event) => event.id)).toEqual(
      stored.map((event) => event.id),
    );
  });

  test("because the server goes and comes back: the goodbye costs no event", async () => {
    const session = await sdk.sessions.create();
    await sdk.messages.say(session.id, simScript({ steps: [{ text: LONG }], rate: 300 }));
    const report = newReport();
    let restarted: Promise<void> | null = null;
    const restart = async () => {
      await server.stop();
      server = await serveExecutable(["--data-dir", dataDir], { cwd });
      proxy.leadTo(server.url);
    };
    const events = await readTurn(session.id, { report }, (event) => {
      if (event.type === "output.message.started") restarted ??= restart();
    });
    await restarted;
    expect(report.goodbyes).toContain("server_maintenance");
    const stored = await sdk.sessions.events(session.id, "?exclude=output.message.delta");
    expect(events.filter((event) => event.type !== "output.message.delta").map((event) => event.id)).toEqual(
      stored.map((event) => event.id),
    );
    expect(textOf((await sdk.messages.list(session.id)).at(-1))).toBe(LONG);
  });

  test("is resumed by a reader who knows the last event only", async () => {
    const session = await sdk.sessions.create();
    await sdk.messages.say(session.id, "First.");
    const first = await readTurn(session.id);
    await sdk.messages.say(session.id, "Second.");
    const second = await readTurn(session.id, { sinceId: first.at(-1)?.id ?? "" });
    expect(second[0]?.type).toBe("input.message");
    expect(second.filter(ended)).toHaveLength(1);
    const turns = await readTurn(session.id, { types: ["input.message", "session.idled"] });
    expect(turns.map((event) => event.type)).toEqual(["input.message", "session.idled"]);
  });
});

describe("client-side tools", () => {
  test("are called, answered, also too early, and the turn goes on", async () => {
    const session = await sdk.sessions.create({
      tools: [
        {
          type: "client_side",
          name: "open_page",
          description: "Opens a page.",
          parameters: { type: "object", properties: { url: { type: "string" } } },
        },
      ],
    });
    const early = await sdk
      .request("POST", `/sessions/${session.id}/tool-results`, {
        tool_results: [{ tool_call_id: "x", result: 1 }],
      })
      .catch((error: ApiError) => error);
    expect([early.status, early.body]).toEqual([
      409,
      expect.stringContaining("not waiting for tool results"),
    ]);
    await sdk.messages.say(
      session.id,
      simScript({
        steps: [{ tool_calls: [{ name: "open_page", arguments: { url: "/a" } }] }, { text: "Opened." }],
      }),
    );
    const accepted: unknown[] = [];
    const events = await readTurn(session.id, {}, async (event) => {
      if (event.type !== "tool.call_requested") return;
      expect(event.data.tool_calls[0]).toMatchObject({ name: "open_page", arguments: { url: "/a" } });
      accepted.push(
        await sdk.messages.submitToolResults(
          session.id,
          event.data.tool_calls.map((call: { id: string }) => ({
            tool_call_id: call.id,
            result: { ok: true },
          })),
        ),
      );
    });
    expect(accepted).toEqual([{ accepted: 1, status: "active" }]);
    expect(events.filter(ended).map((event) => event.type)).toEqual(["turn.completed"]);
    const messages = allStrictly("Message", await sdk.messages.list(session.id));
    expect(messages.map((message) => message.role)).toEqual(["user", "agent", "tool_result", "agent"]);
  });
});

describe("budgets", () => {
  test("are set, spent, read, topped up and taken away", async () => {
    const session = await sdk.sessions.create();
    const budget = strictly(
      "Budget",
      await sdk.budgets.create({
        subject_type: "session",
        subject_id: session.id,
        currency: "tokens",
        limit: 100_000,
        soft_limit: 90_000,
      }),
    );
    await sdk.messages.say(session.id, "Spend a little.");
    await readTurn(session.id);
    const spent = strictly("Budget", await sdk.budgets.get(budget.id));
    expect(spent.balance).toBeLessThan(100_000);
    const ledger = allStrictly("LedgerEntry", await sdk.budgets.ledger(budget.id));
    expect(ledger.length).toBeGreaterThan(0);
    expect(strictly("BudgetCheck", await sdk.budgets.check(budget.id)).action).toBe("continue");
    expect(strictly("BudgetCheck", await sdk.budgets.checkSession(session.id)).action).toBe("continue");
    expect(allStrictly("Budget", await sdk.budgets.ofSession(session.id)).map(({ id }) => id)).toEqual([
      budget.id,
    ]);
    expect(allStrictly("Budget", await sdk.budgets.list("session", session.id))).toHaveLength(1);
    const topped = strictly("Budget", await sdk.budgets.topUp(budget.id, 50, "More."));
    expect(topped.balance).toBe(spent.balance + 50);
    expect(await sdk.budgets.resume(session.id)).toMatchObject({ session_id: session.id });
    expect(await sdk.budgets.delete(budget.id)).toBeUndefined();
  });
});

describe("files of a session", () => {
  test("are written, read, listed, found, moved and removed, by the old address and by the new one", async () => {
    const session = await sdk.sessions.create({ initialFiles: [{ path: "/seed.txt", content: "seed" }] });
    for (const files of [
      sdk.files(`workspaces/${session.workspace_id}`),
      sdk.files(`sessions/${session.id}`),
    ]) {
      const made = strictly("File", await files.create("/notes/a.md", { content: "# A\nfind me" }));
      expect(made).toMatchObject({ path: "/notes/a.md", is_directory: false });
      expect(
        await files.create("/notes/a.md", { content: "x" }).catch((error: ApiError) => error.status),
      ).toBe(409);
      expect(strictly("File", await files.write("/notes/a.md", { content: "find me again" }))).toMatchObject({
        size_bytes: 13,
      });
      expect((await files.read("/notes/a.md")).content).toBe("find me again");
      const listed = allStrictly("File", await files.list());
      expect(listed.map(({ path }) => path)).toEqual(expect.arrayContaining(["/notes", "/seed.txt"]));
      expect(strictly("FileStat", await files.stat("/notes/a.md")).size_bytes).toBe(13);
      expect((await files.grep("find m.", "*.md")).map(({ path }: { path: string }) => path)).toEqual([
        "/notes/a.md",
      ]);
      strictly("File", await files.copy("/notes/a.md", "/notes/b.md"));
      strictly("File", await files.move("/notes/b.md", "/c.md"));
      expect(await files.delete("/c.md")).toEqual({ deleted: true });
      expect(await files.delete("/notes", true)).toEqual({ deleted: true });
      expect(await files.read("/notes/a.md").catch((error: unknown) => error)).toBeInstanceOf(NotFoundError);
    }
  });
});
