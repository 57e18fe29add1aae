/** Calls that wait for a person, decided in the chat: the real API, a real worker, a drawn screen. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { type LiveServer, startServer } from "../support/live.ts";
import { isIdle, logOnce } from "../support/sessions.ts";
import { clientTool, completedCalls, startWaiting, type Waiting } from "../support/waiting.ts";
import { openChatScreen } from "./support/chat-screen.tsx";

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
async function openWaiting(
  calls: { name: string; arguments: object }[],
  layer: Parameters<Waiting["waiting"]>[1] = { capabilities },
) {
  const { session } = await it.waiting(calls, layer);
  const screen = await openChatScreen(server.url, { session });
  close = screen.close;
  return { session, ...screen };
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

  test("e edits its arguments, and it runs with those", async () => {
    const chat = await openWaiting([charge(6)]);
    await chat.until("? Run charge(amount: 6)");
    chat.press("e");
    await chat.until("? Arguments of charge; Enter lets it run with them");
    chat.press(`\u007f\u007f\u007f`);
    chat.press("7}");
    await chat.until('"amount": 7}');
    chat.press("\r");
    await chat.until("allowed with other arguments: charge");
    await logOnce(it.app.db, chat.session, isIdle);
    expect(ran()).toEqual([{ amount: 7 }]);
  });
});

describe("a call of a tool that is the client's", () => {
  const ask = { name: "ask_user", arguments: { question: "Which colour?", options: ["red", "green"] } };
  const open = (call: typeof ask | { name: string; arguments: object } = ask) =>
    openWaiting([call], { tools: [clientTool(call.name)] });
  const outcome = async (session: string) => {
    const [call] = completedCalls(await logOnce(it.app.db, session, isIdle));
    return JSON.stringify([call?.status, call?.result, call?.error]);
  };

  test("is answered with one of its options", async () => {
    const chat = await open();
    await chat.until("  Which colour?");
    await chat.until("1-2 choose · r answer · d refuse");
    chat.press("3");
    await chat.until("❯ 3");
    chat.press("\u007f");
    chat.press("2");
    await chat.until("answered ask_user");
    expect(await outcome(chat.session)).toContain("green");
  });

  test("is answered with a text, or with what JSON says", async () => {
    const chat = await open({ name: "locate", arguments: { city: "Kyiv" } });
    await chat.until('? Answer locate(city: "Kyiv")');
    chat.press("r");
    await chat.until("? Result of locate: text or JSON");
    chat.press('{"broken');
    chat.press("\r");
    await chat.until("not answered: ");
    await chat.shows("? Answer locate");
    chat.press("r");
    await chat.shows("? Result of locate");
    chat.press('{"lat": 50.45}');
    chat.press("\r");
    await chat.until("answered locate");
    expect(await outcome(chat.session)).toContain("50.45");
  });

  test("is refused; the model is told why", async () => {
    const chat = await open();
    await chat.until("? Answer ask_user");
    chat.press("/deny nobody is here\r");
    await chat.until("refused ask_user");
    expect(await outcome(chat.session)).toContain("nobody is here");
  });
});
