import type { Client } from "../client/client.ts";
import { plainText } from "../client/plain-text.ts";
import type { Session } from "../contract/session.ts";
import { type ChatSession, sentenceOf } from "./chat-session.ts";

export interface CommandDeps {
  chat: ChatSession;
  client: Client;
  leave(): void;
  toggleExpanded(): boolean;
}

interface SlashCommand {
  name: string;
  argument?: string;
  summary: string;
  run(deps: CommandDeps, argument: string): Promise<void> | void;
}

const SESSIONS_SHOWN = 10;

export const slashCommands: readonly SlashCommand[] = [
  { name: "help", summary: "this list", run: ({ chat }) => chat.note(helpText()) },
  {
    name: "new",
    summary: "begin a new session; the old one goes on by itself",
    run({ chat }) {
      chat.reset();
      chat.note("a new session begins with your next message");
    },
  },
  {
    name: "sessions",
    summary: "list recent sessions",
    async run({ chat, client }) {
      const { data, total } = await client.listSessions({ limit: SESSIONS_SHOWN });
      const lines = data.map(
        (session, at) => `${at + 1}. ${session.id}  ${session.status}  ${titleOf(session)}`,
      );
      if (total > data.length) lines.push(`and ${total - data.length} more: everruns sessions`);
      chat.note(
        lines.length === 0 ? "no sessions yet" : `${lines.join("\n")}\n/open <number or id> goes to one`,
      );
    },
  },
  {
    name: "open",
    argument: "<number or id>",
    summary: "go to another session",
    async run({ chat, client }, argument) {
      const session = await findSession(client, argument);
      if (session === null) return chat.note("which session? /sessions lists them", { isError: true });
      chat.note(`session ${session.id}  ${titleOf(session)}`);
      await chat.open(session);
    },
  },
  {
    name: "expand",
    summary: "switch between full and folded thinking and output (Ctrl+O)",
    run({ chat, toggleExpanded }) {
      chat.note(toggleExpanded() ? "thinking and tool output in full" : "thinking and tool output folded");
    },
  },
  { name: "exit", summary: "leave; the session goes on (Ctrl+C)", run: ({ leave }) => leave() },
];

/** `/open 3` → the command and its argument; null when the text is no command. */
export async function runSlashCommand(text: string, deps: CommandDeps): Promise<void> {
  const [word = "", ...rest] = text.slice(1).trim().split(/\s+/);
  const command = slashCommands.find(({ name }) => name === word);
  if (!command) return deps.chat.note(`there is no /${word}; /help lists the commands`, { isError: true });
  try {
    await command.run(deps, rest.join(" "));
  } catch (error) {
    deps.chat.note(sentenceOf(error), { isError: true });
  }
}

/** `/help` and the like; a path such as `/etc/hosts is odd` is a message. */
export function isSlashCommand(text: string): boolean {
  return /^\/[a-z]*(\s|$)/.test(text);
}

/** The one command that the text can still become, or null. */
export function completeSlashCommand(text: string): string | null {
  if (!/^\/[a-z]+$/.test(text)) return null;
  const found = slashCommands.filter(({ name }) => name.startsWith(text.slice(1)));
  return found.length === 1 && found[0] ? `/${found[0].name}${found[0].argument ? " " : ""}` : null;
}

function helpText(): string {
  const names = slashCommands.map(({ name, argument }) => `/${name}${argument ? ` ${argument}` : ""}`);
  const width = Math.max(...names.map((name) => name.length));
  const commands = slashCommands.map(({ summary }, at) => `${(names[at] ?? "").padEnd(width)}  ${summary}`);
  return [
    ...commands,
    "",
    "Enter sends · Alt+Enter or Ctrl+J: new line · Up and Down: what you typed before",
    "Esc interrupts the turn · a message sent while it runs joins it",
  ].join("\n");
}

async function findSession(client: Client, argument: string): Promise<Session | null> {
  if (argument === "") return null;
  if (!/^[0-9]+$/.test(argument)) return client.getSession(argument);
  const { data } = await client.listSessions({ limit: SESSIONS_SHOWN });
  return data[Number(argument) - 1] ?? null;
}

function titleOf(session: Session): string {
  const text = plainText(session.title ?? session.preview ?? "").replace(/\s+/g, " ");
  return Bun.sliceAnsi(text, 0, 50, "…");
}
