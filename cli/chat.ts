import type { CommandContext } from "./action.ts";
import { UsageError } from "./action.ts";
import { clientOf, createSession, findAgent } from "./api.ts";
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
  // Before the screen is ours: whatever is wrong with the server, the agent or the session is one line.
  const session = options.session ? await client.getSession(options.session) : null;
  const agent = options.agent ? await findAgent(client, options.agent) : null;
  if (!session && !agent) await client.health();

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
  if (sessionId !== null) {
    const what = isTurnActive ? "The turn goes on at the server" : "The session stays";
    out.line(`\n${out.paint.dim(`${what}. Come back with:`)}\n  everruns chat ${sessionId}`);
  }
  return 0;
}
