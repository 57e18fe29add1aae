/** Calls that wait for a person, decided in the chat: the real API, a real worker, a drawn screen. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { render } from "ink-testing-library";
import { createClient } from "../../src/client/client.ts";
import { ChatApp } from "../../src/tui/chat.tsx";
import { ChatSession } from "../../src/tui/chat-session.ts";
import { paintWith } from "../../src/tui/theme.ts";
import { type LiveServer, startServer } from "../support/live.ts";
import { isIdle, logOnce } from "../support/sessions.ts";
import { completedCalls, startWaiting, type Waiting } from "../support/waiting.ts";
import { memoryFiles, memoryHistory } from "./support/local.ts";

const capabilities = [{ ref: "tool_approval", config: { mode: "normal" } }];

let it: Waiting;
let server: LiveServer;
let close = () => {};
beforeAll(async () => {
  it = await startWaiting();
  server = await startServer(it.app.db);
});
afterEach(() => close());
afterAll(async () => {
  await server.stop();
  await it.close();
});

/** The chat on a session whose call waits. */
async function openWaiting(calls: { name: string; arguments: object }[]) {
  const { session } = await it.waiting(calls, { capabilities });
  const client = createClient({ baseUrl: server.url, apiKey: null });
  const chat = new ChatSession({
    client,
    createSession: () => client.createSession({}),
    agent: null,
    model: null,
    files: memoryFiles(),
    history: memoryHistory(),
  });
  await chat.open(await client.getSession(session));
  const signal = new AbortController().signal;
  const app = render(
    <ChatApp chat={chat} client={client} files={memoryFiles()} paint={paintWith(false)} signal={signal} />,
  );
  close = () => {
    chat.close();
    app.unmount();
  };
  const until = async (text: string) => {
    while (!Bun.stripANSI(app.frames.join("\n")).includes(text))
      await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    session,
    press: (keys: string) => app.stdin.write(keys),
    until,
    frame: () => app.lastFrame() ?? "",
  };
}

const charge = (amount: number) => ({ name: "charge", arguments: { amount } });
const ran = () => it.ran.splice(0).map(({ input }) => input);

describe("a call that waits for approval", () => {
  test("is shown with its arguments; a lets it run, once", async () => {
    const chat = await openWaiting([charge(3)]);
    await chat.until("? Run charge(amount: 3)");
    await chat.until("a allow · A always · e edit · d deny");
    chat.press("a");
    await chat.until("allowed charge");
    await logOnce(it.app.db, chat.session, isIdle);
    expect(ran()).toEqual([{ amount: 3 }]);
    await chat.until("idle");
    expect(chat.frame()).not.toContain("? Run");
  });

  test("d refuses it; a reason reaches the model", async () => {
    const chat = await openWaiting([charge(4)]);
    await chat.until("? Run charge(amount: 4)");
    chat.press("/deny too expensive\r");
    await chat.until("refused charge: too expensive");
    const log = await logOnce(it.app.db, chat.session, isIdle);
    expect(ran()).toEqual([]);
    expect(JSON.stringify(completedCalls(log))).toContain("too expensive");
  });

  test("several are asked one after the other; a letter in a text decides nothing", async () => {
    const chat = await openWaiting([charge(1), charge(2)]);
    await chat.until("? Run charge(amount: 1)");
    chat.press("x");
    chat.press("a");
    await chat.until("❯ xa");
    chat.press("\u007f\u007f");
    chat.press("\u0015");
    await chat.until("Ask anything");
    chat.press("d");
    await chat.until("refused charge");
    await chat.until("? Run charge(amount: 2)");
    chat.press("a");
    await logOnce(it.app.db, chat.session, isIdle);
    expect(ran()).toEqual([{ amount: 2 }]);
  });
});
