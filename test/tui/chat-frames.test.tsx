/** What is drawn while an answer comes: the newest, and nothing of what was printed before. */
import { afterEach, expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import { render } from "ink";
import { createClient } from "../../src/client/client.ts";
import { ChatApp } from "../../src/tui/chat.tsx";
import { ChatSession } from "../../src/tui/chat-session.ts";
import { type Paint, paintWith } from "../../src/tui/theme.ts";
import { turnEvents, turnIdOf } from "../client/support/events.ts";
import { startContractServer } from "../client/support/server.ts";
import { memoryFiles, memoryHistory } from "./support/local.ts";

const DELTAS = 30;
let close = async () => {};
afterEach(() => close());

/** A terminal that keeps what is written to it. */
class Screen extends EventEmitter {
  readonly isTTY = true;
  readonly columns = 80;
  readonly rows = 24;
  written = "";
  write(text: string, done?: () => void): boolean {
    this.written += text;
    done?.();
    return true;
  }
}
class Keys extends EventEmitter {
  readonly isTTY = true;
  setEncoding() {}
  setRawMode() {}
  ref() {}
  unref() {}
  read() {
    return null;
  }
}

/** What is painted and written while an answer streams into a session with so many turns before it. */
async function streamAfter(turns: number) {
  const server = startContractServer();
  const client = createClient({ baseUrl: server.url, apiKey: null });
  const chat = new ChatSession({
    client,
    createSession: () => client.createSession({}),
    agent: null,
    model: null,
    files: memoryFiles(),
    history: memoryHistory(),
  });
  const painted: string[] = [];
  const plain = paintWith(false);
  const paint: Paint = {
    ...plain,
    bold(text) {
      painted.push(text);
      return plain.bold(text);
    },
  };
  const screen = new Screen();
  const app = render(
    <ChatApp
      chat={chat}
      client={client}
      files={memoryFiles()}
      paint={paint}
      signal={new AbortController().signal}
    />,
    {
      stdout: screen as unknown as NodeJS.WriteStream,
      stdin: new Keys() as unknown as NodeJS.ReadStream,
      interactive: true,
      incrementalRendering: true,
      patchConsole: false,
    },
  );
  close = async () => {
    app.unmount();
    chat.close();
    await server.stop();
  };
  const shown = async (text: string) => {
    while (!screen.written.includes(text)) await new Promise((resolve) => setImmediate(resolve));
  };
  const session = server.createSession();
  const past = Array.from({ length: turns }, (_, at) =>
    turnEvents({ turnId: turnIdOf(at + 1), input: `past-${at}`, reasons: [{ chunks: [`old-${at}`] }] }),
  );
  server.append(session, past.flat());
  await chat.open(await client.getSession(session));
  await shown(`old-${turns - 1}`);
  const chunks = Array.from({ length: DELTAS }, (_, at) => `w${at}. `);
  const answer = turnEvents({ turnId: turnIdOf(turns + 1), input: "now", reasons: [{ chunks }] });
  const from = answer.findIndex(({ type }) => type === "output.message.delta");
  server.append(session, answer.slice(0, from + 1));
  await shown("w0.");
  screen.written = "";
  painted.length = 0;
  for (let at = 1; at < DELTAS; at += 1) {
    server.append(session, answer.slice(from + at, from + at + 1));
    await shown(`w${at}.`);
  }
  const seen = { painted: [...painted], written: screen.written };
  await close();
  close = async () => {};
  return seen;
}

for (const turns of [2, 90, 900]) {
  test(`a delta after ${turns} turns draws none of them again`, async () => {
    const { painted, written } = await streamAfter(turns);
    expect(written).toContain(`w${DELTAS - 1}.`);
    expect(painted.filter((text) => text.startsWith("past-"))).toEqual([]);
    expect(written).not.toMatch(/past-|old-/);
    // The window is never cleared, and every frame is one update for the terminal.
    expect(written).not.toContain("\u001b[2J");
  }, 30_000);
}
