/** Slash commands about files: those of the session, and the session as a file. */
import type { Client } from "../../client/client.ts";
import { transcriptMarkdown } from "../../client/markdown.ts";
import type { CommandDeps, SlashCommand } from "./command.ts";

interface Entry {
  path: string;
  is_directory: boolean;
  size_bytes: number;
}

export const fileCommands: readonly SlashCommand[] = [
  {
    name: "files",
    argument: "[path]",
    summary: "list the files of the session, or print one",
    async choices({ client, sessionId }) {
      if (sessionId === null) return [];
      return (await listFiles(client, sessionId)).map(({ path }) => path);
    },
    async run({ chat, client }, argument) {
      const { sessionId } = chat.snapshot();
      if (sessionId === null) return chat.note("there are no files yet", { isError: true });
      if (argument === "") return chat.note(table(await listFiles(client, sessionId)));
      const path = argument.split("/").filter(Boolean).map(encodeURIComponent).join("/");
      const found = await client.request<{ data?: Entry[]; content?: string | null; encoding?: string }>(
        "GET",
        `/sessions/${sessionId}/fs/${path}`,
      );
      if (found.data) return chat.note(table(found.data));
      if (found.encoding === "base64") {
        return chat.note(
          `${argument} is no text; everruns files get ${sessionId} ${argument} writes it to a file`,
        );
      }
      chat.note(found.content || "(empty)");
    },
  },
  {
    name: "export",
    argument: "[file]",
    summary: "write the session to a file: .md to read, .jsonl its messages, .json a trajectory",
    choices: ({ files }, typed) => (typed === "" ? [] : files.complete(typed)),
    run: exportSession,
  },
];

async function exportSession({ chat, client, files }: CommandDeps, argument: string): Promise<void> {
  const { sessionId } = chat.snapshot();
  if (sessionId === null) return chat.note("there is nothing to export yet", { isError: true });
  const path = argument === "" ? `${sessionId}.md` : argument;
  const extension = /\.(md|jsonl|json)$/.exec(path)?.[1];
  if (extension === undefined) {
    return chat.note("/export takes a file whose name ends in .md, .jsonl or .json", { isError: true });
  }
  if (files.exists(path)) {
    const answer = await chat.questions.ask(`${path} exists. Overwrite it? y and Enter do, Esc leaves it`);
    if (answer?.trim().toLowerCase() !== "y") return chat.note(`${path} stays as it was`);
  }
  const { agent, transcript } = chat.snapshot();
  const text =
    extension === "md"
      ? transcriptMarkdown(transcript, { sessionId, agent })
      : await client.requestText("GET", `/sessions/${sessionId}/export`, {
          query: { format: extension === "json" ? "atif" : "jsonl" },
        });
  chat.note(`written: ${await files.write(path, text)}`);
}

async function listFiles(client: Client, sessionId: string): Promise<Entry[]> {
  const { data } = await client.request<{ data: Entry[] }>("GET", `/sessions/${sessionId}/fs`, {
    query: { recursive: "true" },
  });
  return data;
}

function table(files: readonly Entry[]): string {
  if (files.length === 0) return "there are no files yet";
  return files
    .map(({ path, size_bytes: bytes, is_directory: isDirectory }) =>
      isDirectory ? `${" ".repeat(8)}  ${path}/` : `${String(bytes).padStart(8)}  ${path}`,
    )
    .join("\n");
}
