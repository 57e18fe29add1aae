/** Slash commands about where the conversation goes on: other sessions, agents and models, forks. */
import type { Client } from "../../client/client.ts";
import { plainText } from "../../client/plain-text.ts";
import type { Session } from "../../contract/session.ts";
import type { SlashCommand } from "./command.ts";

const SESSIONS_SHOWN = 10;
const AGENTS_SHOWN = 100;

export const sessionCommands: readonly SlashCommand[] = [
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
    argument: "[number or id]",
    summary: "list recent sessions, or go to one",
    choices: async ({ client }) =>
      (await client.listSessions({ limit: SESSIONS_SHOWN })).data.map(({ id }) => id),
    async run({ chat, client }, argument) {
      if (argument === "") return chat.note(await sessionList(client, chat.snapshot().sessionId));
      const session = await findSession(client, argument);
      if (session === null) {
        return chat.note(`there is no session ${argument}; /sessions lists them`, { isError: true });
      }
      chat.note(`session ${session.id}  ${titleOf(session)}`.trimEnd());
      await chat.open(session);
    },
  },
  {
    name: "agent",
    argument: "[name]",
    summary: "list the agents, or begin a new session with another one",
    choices: async ({ client }) => (await agents(client)).map(({ name }) => name),
    async run({ chat, client }, argument) {
      const all = await agents(client);
      if (argument === "") {
        const width = Math.max(...all.map(({ name }) => name.length));
        const lines = all.map((agent) => {
          const what = plainText(agent.description ?? "").replace(/\s+/g, " ");
          return `${agent.name.padEnd(width)}  ${Bun.sliceAnsi(what, 0, 60, "…")}`.trimEnd();
        });
        return chat.note(
          lines.length === 0 ? "no agents yet: everruns agents create" : `${lines.join("\n")}\n/agent <name>`,
        );
      }
      const found = all.find(({ id, name }) => [id, name].includes(argument));
      if (!found) return chat.note(`there is no agent ${argument}; /agent lists them`, { isError: true });
      chat.reset({ id: found.id, name: found.name });
      chat.note(`a new session with ${found.name} begins with your next message`);
    },
  },
  {
    name: "model",
    argument: "[model]",
    summary: "list the models, or use another one for the next messages",
    choices: async ({ client }) => (await models(client)).map((model) => model.model_id),
    async run({ chat, client }, argument) {
      const all = await models(client);
      if (argument === "") return chat.note(all.map((model) => model.model_id).join("\n") || "no models yet");
      const found = all.find((model) => [model.id, model.model_id].includes(argument));
      if (!found) return chat.note(`there is no model ${argument}; /model lists them`, { isError: true });
      chat.chooseModel({ id: found.id, name: found.model_id });
      chat.note(`the next messages go to ${found.model_id}`);
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
      const at = argument === "" ? {} : { at_sequence: Number(argument) };
      const fork = await client.forkSession(sessionId, at);
      chat.note(`forked: ${fork.id}; the first session stays: ${sessionId}`);
      await chat.open(fork);
    },
  },
];

async function sessionList(client: Client, current: string | null): Promise<string> {
  const { data, total } = await client.listSessions({ limit: SESSIONS_SHOWN });
  if (data.length === 0) return "no sessions yet";
  const lines = data.map((session, at) => {
    const isHere = session.id === current ? " (here)" : "";
    return (
      `${String(at + 1).padStart(2)}. ${session.id}  ${session.status}  ${titleOf(session)}`.trimEnd() +
      isHere
    );
  });
  if (total > data.length) lines.push(`and ${total - data.length} more: everruns sessions`);
  return `${lines.join("\n")}\n/sessions <number or id> goes to one`;
}

async function findSession(client: Client, argument: string): Promise<Session | null> {
  if (!/^[0-9]+$/.test(argument)) return client.getSession(argument);
  const { data } = await client.listSessions({ limit: SESSIONS_SHOWN });
  return data[Number(argument) - 1] ?? null;
}

function titleOf(session: Session): string {
  const text = plainText(session.title ?? session.preview ?? "").replace(/\s+/g, " ");
  return Bun.sliceAnsi(text, 0, 50, "…");
}

async function agents(client: Client) {
  return (await client.listAgents({ limit: AGENTS_SHOWN })).data;
}

async function models(client: Client) {
  return (await client.listModels()).data.filter((model) => model.enabled);
}
