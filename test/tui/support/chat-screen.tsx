/** The chat as it is drawn, without a terminal: keys go in, frames come out. */
import { render } from "ink-testing-library";
import { createClient } from "../../../src/client/client.ts";
import type { Session } from "../../../src/contract/session.ts";
import { ChatApp } from "../../../src/tui/chat.tsx";
import { ChatSession } from "../../../src/tui/chat-session.ts";
import type { LocalFiles, TypedHistory } from "../../../src/tui/local.ts";
import { paintWith } from "../../../src/tui/theme.ts";
import { memoryFiles, memoryHistory } from "./local.ts";

export interface ChatScreen {
  /** Keys as the terminal sends them, each as a piece of its own. */
  press(...keys: string[]): void;
  /** Waits until the text has been drawn, in this frame or an earlier one: printed lines leave the frame. */
  until(text: string): Promise<void>;
  /** Waits until the text is in the frame. */
  shows(text: string): Promise<void>;
  frame(): string;
  close(): void;
}

/** @param options.session  id of the one to come back to; without it the first message begins one */
export async function openChatScreen(
  url: string,
  options: { session?: string; files?: LocalFiles; history?: TypedHistory } = {},
): Promise<ChatScreen> {
  const { session, files = memoryFiles(), history = memoryHistory() } = options;
  const client = createClient({ baseUrl: url, apiKey: null });
  const chat = new ChatSession({
    client,
    createSession: (): Promise<Session> => client.createSession({}),
    agent: null,
    model: null,
    files,
    history,
  });
  if (session !== undefined) await chat.open(await client.getSession(session));
  const signal = new AbortController().signal;
  const app = render(
    <ChatApp chat={chat} client={client} files={files} paint={paintWith(false)} signal={signal} />,
  );
  const frame = () => Bun.stripANSI(app.lastFrame() ?? "");
  const appears = async (text: string, look: () => string) => {
    while (!look().includes(text)) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    press(...keys) {
      for (const key of keys) app.stdin.write(key);
    },
    until: (text) => appears(text, () => Bun.stripANSI(app.frames.join("\n"))),
    shows: (text) => appears(text, frame),
    frame,
    close() {
      chat.close();
      app.unmount();
    },
  };
}
