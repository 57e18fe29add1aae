import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { turnEvents } from "../client/support/events.ts";
import { type ContractServer, startContractServer } from "../client/support/server.ts";
import { type ChatScreen, openChatScreen } from "./support/chat-screen.tsx";
import { type MemoryFiles, memoryFiles, memoryHistory } from "./support/local.ts";

let server: ContractServer;
let screen: ChatScreen;
let files: MemoryFiles;
let history: ReturnType<typeof memoryHistory>;
beforeEach(async () => {
  server = startContractServer();
  server.onMessage(({ sessionId, turnId, text }) =>
    server.append(sessionId, turnEvents({ turnId, input: text, reasons: [{ chunks: [`Re: ${text}`] }] })),
  );
  files = memoryFiles();
  history = memoryHistory(["from yesterday"]);
  screen = await openChatScreen(server.url, { files, history });
  await screen.shows("Ask anything");
});
afterEach(async () => {
  screen.close();
  await server.stop();
});

const [ENTER, ESCAPE, UP, DOWN, BACKSPACE] = ["\r", "\u001b", "\u001b[A", "\u001b[B", "\u007f"];

describe("the chat's screen", () => {
  test("invites to type and says where it is", async () => {
    await screen.until("Ask anything, /help for help");
    await screen.shows("new session");
  });

  test("sends with Enter, empties the composer, and shows the answer", async () => {
    screen.press("hello", ENTER);
    await screen.until("● Re: hello");
    await screen.until("idle · llmsim-echo");
    await screen.shows("Ask anything");
  });

  test("takes text and Enter that come as one piece", async () => {
    screen.press(`hello${ENTER}`);
    await screen.until("● Re: hello");
  });

  test("takes keys that come in one piece with letters", async () => {
    screen.press("wrong\u0015rigth\u007f\u007fht\r");
    await screen.until("● Re: right");
  });

  test("takes a line that was typed before the chat had the terminal", async () => {
    screen.press("hello\n");
    await screen.until("● Re: hello");
  });

  test("keeps the lines of a paste together", async () => {
    screen.press("\u001b[200~one\ntwo\u001b[201~");
    await screen.until("  two");
    expect(server.requests).toEqual([]);
    screen.press(ENTER);
    await screen.until("● Re: one\n  two");
  });

  test("breaks the line with a backslash, Alt+Enter or Ctrl+J", async () => {
    screen.press("a\\", ENTER, "b", "\u001b\r", "c", "\n", "d", ENTER);
    await screen.until("● Re: a\n  b\n  c\n  d");
  });

  test("edits where the cursor is", async () => {
    screen.press("helo", "\u001b[D", "l", BACKSPACE, "l", ENTER);
    await screen.until("● Re: hello");
  });

  test("walks through what was typed before and back to the draft", async () => {
    screen.press("first", ENTER);
    await screen.until("● Re: first");
    screen.press("draft", UP);
    await screen.shows("❯ first \n  idle");
    screen.press(DOWN);
    await screen.shows("❯ draft \n  idle");
  });

  test("remembers what was typed in other chats, and keeps what is typed in this one", async () => {
    screen.press(UP);
    await screen.shows("❯ from yesterday");
    screen.press(ENTER);
    await screen.until("● Re: from yesterday");
    expect(history.added).toEqual(["from yesterday"]);
  });

  test("completes a path behind @, and lists them when there are several", async () => {
    files.readable.set("notes.md", { kind: "text", name: "notes.md", text: "n" });
    files.readable.set("notes of old.md", { kind: "text", name: "notes of old.md", text: "o" });
    screen.press("see @no", "\t");
    await screen.shows("notes.md  notes of old.md");
    screen.press(" ", BACKSPACE, ".", "\t");
    await screen.shows("❯ see @notes.md");
  });

  test("clears the composer with Escape when nothing runs", async () => {
    screen.press("never mind");
    await screen.shows("❯ never mind");
    screen.press(ESCAPE);
    await screen.shows("Ask anything");
  });

  test("completes and runs slash commands", async () => {
    screen.press("/he", "\t");
    await screen.shows("❯ /help");
    screen.press(ENTER);
    await screen.until("begin a new session");
    expect(server.requests).toEqual([]);
  });

  test("gives the text back when it could not be sent", async () => {
    await server.stop();
    screen.press("hello", ENTER);
    await screen.until("the message was not sent: no server at");
    await screen.shows("❯ hello \n  new session");
  });

  test("types no control sequences that were pasted", async () => {
    screen.press("\u001b[200~a\u0007b\u001b[201~", ENTER);
    await screen.until("● Re: ab");
  });
});
