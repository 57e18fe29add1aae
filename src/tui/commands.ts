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
    name: "fork",
    argument: "[sequence]",
    summary: "go on in a copy of the conversation, from an event or from here",
    async run({ chat, client }, argument) {
      const { sessionId } = chat.snapshot();
      if (sessionId === null) return chat.note("there is nothing to fork yet", { isError: true });
      if (argument !== "" && !/^[1-9][0-9]*$/.test(argument)) {
        return chat.note("/fork takes the sequence of an event, like /fork 23", { isError: true });
      }
      const fork = await client.forkSession(
        sessionId,
        argument === "" ? {} : { at_sequence: Number(argument) },
      );
      chat.note(`forked: ${fork.id}; the first session stays: ${sessionId}`);
      await chat.open(fork);
    },
  },
  {
    name: "model",
    argument: "[model]",
    summary: "list the models, or use another one for the next messages",
    async run({ chat, client }, argument) {
      const models = (await client.listModels()).data.filter((model) => model.enabled);
      if (argument === "") return chat.note(models.map((model) => model.model_id).join("\n"));
      const found = models.find((model) => [model.id, model.model_id].includes(argument));
      if (!found) return chat.note(`there is no model ${argument}; /model lists them`, { isError: true });
      chat.chooseModel({ id: found.id, name: found.model_id });
      chat.note(`the next messages go to ${found.model_id}`);
    },
  },
  {
    name: "files",
    argument: "[path]",
    summary: "list the files of the session, or print one",
    async run({ chat, client }, argument) {
      const { sessionId } = chat.snapshot();
      if (sessionId === null) return chat.note("there are no files yet", { isError: true });
      const path = argument.split("/").filter(Boolean).map(encodeURIComponent).join("/");
      const found = await client.request<{
        data?: { path: string; size_bytes: number }[];
        content?: string | null;
      }>("GET", `/sessions/${sessionId}/fs${path === "" ? "" : `/${path}`}`, {
        query: { recursive: path === "" ? "true" : undefined },
      });
      if (found.data) {
        const lines = found.data.map((file) => `${String(file.size_bytes).padStart(8)}  ${file.path}`);
        return chat.note(lines.length === 0 ? "there are no files yet" : lines.join("\n"));
      }
      chat.note(found.content ?? "(no text)");
    },
  },
  {
    name: "budget",
    argument: "[dollars]",
    summary: "show what the session may spend, or set it",
    async run({ chat, client }, argument) {
      const { sessionId } = chat.snapshot();
      if (sessionId === null) return chat.note("send a message first", { isError: true });
      const limit = Number(argument);
      if (argument !== "") {
        if (!(limit > 0)) return chat.note("/budget takes dollars, like /budget 2.50", { isError: true });
        await client.request("POST", "/budgets", {
          body: { subject_type: "session", subject_id: sessionId, currency: "usd", limit },
        });
      }
      const budgets = await client.request<
        { currency: string; balance: number; limit: number; status: string }[]
      >("GET", `/sessions/${sessionId}/budgets`);
      const lines = budgets.map(
        ({ currency, balance, limit: most, status }) => `${balance} of ${most} ${currency} left, ${status}`,
      );
      chat.note(lines.length === 0 ? "no budget: nothing is capped" : lines.join("\n"));
    },
  },
  {
    name: "deny",
    argument: "[reason]",
    summary: "refuse the call that waits, and tell the model why",
    async run({ chat }, argument) {
      const call = chat.waitingApproval();
      if (!call) return chat.note("no call waits for you", { isError: true });
      await chat.decide(call, "reject", argument === "" ? undefined : argument);
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
    "A call that waits for you: a allow, A always, d deny, D always deny (in an empty line)",
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
