/** `everruns sessions export`: a session taken away, as its messages or as a trajectory. */
import { join } from "node:path";
import type { Client } from "../../src/client/client.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import { progressBar } from "../progress.ts";
import { eachOf } from "./verbs.ts";
import { makeFolder, writeOutput } from "./write-files.ts";

export interface SessionExportFlags {
  apiUrl?: string;
  verbose?: boolean;
  format: "jsonl" | "atif";
  /** Writes files into it, instead of to stdout. */
  directory?: string;
}

export async function exportSessions(
  context: CommandContext,
  ids: readonly string[],
  flags: SessionExportFlags,
): Promise<number> {
  const client = clientOf(context, flags);
  const { format, directory } = flags;
  if (directory === undefined) {
    const [id = ""] = ids;
    if (ids.length > 1) {
      throw new UsageError(
        "several sessions need a folder: everruns sessions export --directory <path> <ids>",
      );
    }
    context.out.write(await client.requestText("GET", addressOf(id), { query: { format } }));
    return 0;
  }
  makeFolder(directory);
  const bar = progressBar(context.err, { total: ids.length, what: "sessions" });
  try {
    const write = async (id: string) => {
      for await (const { name, text } of filesOf(client, id, format)) {
        const path = join(directory, name);
        writeOutput(path, text);
        bar.around(() => context.out.line(path));
      }
      bar.step();
    };
    return await eachOf(context, ids, write, (line) => bar.around(() => context.err.line(line)));
  } finally {
    bar.end();
  }
}

interface ExportedFile {
  name: string;
  text: string;
}

/** One, unless a trajectory is so long that it comes in segments: each stands for itself and names the next. */
async function* filesOf(client: Client, id: string, format: "jsonl" | "atif"): AsyncGenerator<ExportedFile> {
  if (format === "jsonl") {
    yield {
      name: `${id}.jsonl`,
      text: await client.requestText("GET", addressOf(id), { query: { format } }),
    };
    return;
  }
  let cursor: string | undefined;
  for (let segment = 1; ; segment += 1) {
    const query = { format, segmented: "true", cursor };
    const text = await client.requestText("GET", addressOf(id), { query });
    yield { name: segment === 1 ? `${id}.atif.json` : `${id}.atif-${segment}.json`, text };
    const { continued_trajectory_ref: next } = JSON.parse(text) as {
      continued_trajectory_ref?: string | null;
    };
    cursor = next ? (new URL(next, "http://server").searchParams.get("cursor") ?? undefined) : undefined;
    if (cursor === undefined) return;
  }
}

const addressOf = (id: string) => `/sessions/${encodeURIComponent(id)}/export`;
