import { emptyAnswer, foldAnswer } from "../../client/answer.ts";
import type { Client } from "../../client/client.ts";
import { followTurn } from "../../client/stream.ts";
import type { Session } from "../../contract/session.ts";
import type { CommandDeps, SlashCommand } from "./command.ts";

const REQUEST =
  "Sum this conversation up for yourself, so that you can go on from the summary alone: what was asked, what was " +
  "done and found out, names, paths and figures that matter, what is decided, what is open. Call no tools.";

/** The conversation goes on in a new session from a summary of it. */
export const compactCommand: SlashCommand = {
  name: "compact",
  summary: "go on in a new session, from a summary of this one",
  run: compact,
};

async function compact({ chat, client }: CommandDeps): Promise<void> {
  const { sessionId, transcript } = chat.snapshot();
  if (sessionId === null || transcript.entries.length === 0) {
    return chat.note("there is nothing to sum up yet", { isError: true });
  }
  if (transcript.status === "active") {
    return chat.note("a turn is running; Esc interrupts it", { isError: true });
  }
  const session = await client.getSession(sessionId);
  const summary = await chat.questions.perform("summing the conversation up", (signal) =>
    summarize(client, sessionId, signal),
  );
  if (summary === null) return chat.note("not compacted: the session stays as it is");
  if (summary.trim() === "") return chat.note("not compacted: the agent said nothing", { isError: true });
  const next = await client.createSession(continuation(session, summary));
  await chat.open(next);
  const words = summary.trim().split(/\s+/).length;
  chat.note(`goes on from a summary of ${words} words, in ${next.id}`);
  chat.note(`the whole conversation stays: /sessions ${sessionId}`);
}

/** Asks in a fork that is removed afterwards: the conversation itself never hears of it. @throws ClientError */
async function summarize(client: Client, sessionId: string, signal: AbortSignal): Promise<string> {
  const fork = await client.forkSession(sessionId, {});
  try {
    const sent = await client.createMessage(fork.id, { message: { content: REQUEST } });
    let answer = emptyAnswer;
    let text = "";
    for await (const event of followTurn(client, fork.id, { turnId: sent.turn_id, signal })) {
      if (event.type === "turn.failed") throw new Error(event.data.error);
      const step = foldAnswer(answer, event);
      answer = step.state;
      text = step.isRestart ? step.text : text + step.text;
    }
    signal.throwIfAborted();
    return text;
  } finally {
    await client.cancelTurn(fork.id).catch(() => {}); // it may have ended: that is what we want
    await client.request("DELETE", `/sessions/${fork.id}`).catch(() => {}); // a fork that is left over harms nobody
  }
}

/** The same in everything but its past: the files are shared. */
function continuation(session: Session, summary: string): Parameters<Client["createSession"]>[0] {
  const intro = "What was said before, in your own summary:";
  const kept = session.system_prompt?.split(`\n\n${intro}`)[0] ?? "";
  const { title, locale, model_id, hints, network_access } = session;
  const { parallel_tool_calls, max_iterations, default_delivery } = session;
  return {
    harness_id: session.harness_id,
    ...(session.agent_id === undefined ? {} : { agent_id: session.agent_id }),
    workspace_id: session.workspace_id,
    ...defined({ title, locale, model_id, hints, network_access }),
    ...defined({ parallel_tool_calls, max_iterations, default_delivery }),
    system_prompt: `${kept}\n\n${intro}\n\n${summary.trim()}`.trim(),
    capabilities: session.capabilities,
    tools: session.tools,
    mcpServers: session.mcpServers,
    tags: session.tags,
  };
}

function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}
