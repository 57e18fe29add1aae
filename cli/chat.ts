import { describeError, UserError } from "../src/base/errors.ts";
import type { Client } from "../src/client/client.ts";
import { ClientError } from "../src/client/errors.ts";
import type { CommandContext } from "./action.ts";
import { UsageError } from "./action.ts";
import { clientOf, createSession, findAgent, findModel } from "./api.ts";
import { localFiles, typedHistory } from "./chat-files.ts";
import { hasColour } from "./terminal.ts";

export interface ChatCommandOptions {
  session?: string | undefined;
  agent?: string;
  model?: string;
  apiUrl?: string;
}

/** The chat, from a look at the server to the line that says how to come back. */
export async function chat(context: CommandContext, options: ChatCommandOptions): Promise<number> {
  const { out, env, signal } = context;
  if (!out.isTty || !process.stdin.isTTY) {
    throw new UsageError('chat needs a terminal; in a script use: everruns run "your message"');
  }
  if (options.session && (options.agent || options.model)) {
    throw new UsageError("a session keeps its agent and its model; leave --agent and --model out");
  }
  const client = clientOf(context, options);
  // Before the screen is ours: whatever is wrong with the server, the agent, the model or the session is one line.
  const session = options.session ? await client.getSession(options.session) : null;
  const agent = options.agent ? await findAgent(client, options.agent) : null;
  if (options.model) await requireModel(client, options.model);
  if (!session && !agent && !options.model) await client.health();

  const { openChat } = await import("../src/tui/chat.tsx");
  const { sessionId, isTurnActive } = await openChat({
    client,
    session,
    createSession: (agentId) => createSession(client, { ...options, agent: agentId ?? options.agent }),
    files: localFiles(env),
    history: typedHistory(env),
    agent: agent?.name ?? null,
    model: options.model ?? null,
    isColoured: hasColour(true, env),
    signal,
  });
  if (sessionId === null) return 0;
  if (await isDeleted(client, sessionId)) {
    out.line(`\n${out.paint.dim("The session has been deleted: there is nothing to come back to.")}`);
    return 0;
  }
  const what = isTurnActive ? "The turn goes on at the server" : "The session stays";
  out.line(`\n${out.paint.dim(`${what}. Come back with:`)}\n  everruns chat ${sessionId}`);
  return 0;
}

/** Not with the first message, when somebody has thought about it. @throws UsageError */
async function requireModel(client: Client, wanted: string): Promise<void> {
  try {
    await findModel(client, wanted);
  } catch (error) {
    throw error instanceof UserError ? new UsageError(describeError(error)) : error;
  }
}

/** Whoever leaves does not wait: a server that does not say at once that the session is gone has it still. */
async function isDeleted(client: Client, sessionId: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(LOOK_MS);
    await client.request("GET", `/sessions/${encodeURIComponent(sessionId)}`, { signal });
    return false;
  } catch (error) {
    return error instanceof ClientError && error.status === 404;
  }
}
const LOOK_MS = 1_000;
