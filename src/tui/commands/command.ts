import type { Client } from "../../client/client.ts";
import type { ChatSession } from "../chat-session.ts";
import type { LocalFiles } from "../local.ts";

export interface CommandDeps {
  chat: ChatSession;
  client: Client;
  files: LocalFiles;
  leave(): void;
  /** Folds or unfolds thinking and tool output. @returns whether they are unfolded now */
  toggleExpanded(): boolean;
}

/** What completion may ask. */
export type CompletionDeps = Pick<CommandDeps, "client" | "files"> & { sessionId: string | null };

export interface SlashCommand {
  name: string;
  /** As the help shows it. */
  argument?: string;
  summary: string;
  run(deps: CommandDeps, argument: string): Promise<void> | void;
  /** What the argument can be; those that do not begin with what is typed are left out. */
  choices?(deps: CompletionDeps, typed: string): Promise<readonly string[]> | readonly string[];
}
