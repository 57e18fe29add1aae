/** `everruns <kind> export`: objects as the files that `apply` takes. */
import { join } from "node:path";
import { stringify } from "yaml";
import { UserError } from "../../src/base/errors.ts";
import type { Client, Page } from "../../src/client/client.ts";
import type { Item } from "../../src/client/resources.ts";
import type { Agent } from "../../src/contract/agent.ts";
import { type AgentFileFormat, formatAgentFile } from "../../src/contract/agent-file.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import { progressBar } from "../progress.ts";
import { listAll, named, wordsOf } from "./apply-object.ts";
import { isEmpty, type ObjectKind, objectKind } from "./file-kinds.ts";
import { makeFolder, writeOutput } from "./write-files.ts";

export interface ExportFlags {
  apiUrl?: string;
  verbose?: boolean;
  format: AgentFileFormat;
  /** Writes one file each into it, instead of to stdout. */
  directory?: string;
}

const FILE_ENDINGS: Record<AgentFileFormat, string> = { markdown: "md", yaml: "yaml", json: "json" };

/** Prints one as a file, or writes several (without names: all of them) into a folder. */
export async function exportFiles(
  context: CommandContext,
  kind: string,
  names: readonly string[],
  flags: ExportFlags,
): Promise<void> {
  const client = clientOf(context, flags);
  const { directory, format } = flags;
  const all = kind === "agents" ? [] : await listAll(client, objectKind(kind));
  const read = (name: string) =>
    kind === "agents"
      ? client.requestText("GET", `/agents/${encodeURIComponent(name)}/export`, { query: { format } })
      : objectText(client, objectKind(kind), { all, name, format });
  if (directory === undefined) {
    const [name] = names;
    if (name === undefined || names.length > 1) {
      throw new UsageError(
        `several ${kind} need a folder: everruns ${kind} export --directory <path> [names]`,
      );
    }
    context.out.write(await read(name));
    return;
  }
  const wanted =
    names.length > 0
      ? names
      : kind === "agents"
        ? await agentNames(client)
        : all.map(({ name }) => String(name));
  makeFolder(directory);
  const bar = progressBar(context.err, { total: wanted.length, what: kind });
  try {
    for (const name of wanted) {
      // Names of providers may hold anything.
      const path = join(directory, `${name.replace(/[^\p{L}\p{N}._-]+/gu, "-")}.${FILE_ENDINGS[format]}`);
      writeOutput(path, await read(name));
      bar.around(() => context.out.line(path));
      bar.step();
    }
  } finally {
    bar.end();
  }
}

async function objectText(
  client: Client,
  kind: ObjectKind,
  { all, name, format }: { all: readonly Item[]; name: string; format: AgentFileFormat },
): Promise<string> {
  const item = named(kind, all, name);
  if (item === null) {
    throw new UserError("not_found", `no ${kind.resource.one} of this organization is called ${name}`);
  }
  const words = await wordsOf(client, kind, item);
  if (kind.hasPrompt) return formatAgentFile(words, format);
  const fields = Object.fromEntries(
    kind.fields
      .map((field): [string, unknown] => [field, referenceOf(kind, field, item) ?? words[field]])
      .filter(([field, value]) => !isEmpty(value) && !Bun.deepEquals(value, kind.defaults[field])),
  );
  return format === "json" ? `${JSON.stringify(fields, null, 2)}\n` : stringify(fields, { lineWidth: 0 });
}

/** Where a file takes a secret from that the server has; null for fields without. */
function referenceOf({ key, hidden }: ObjectKind, field: string, item: Item): Item | null {
  const variable = (...words: unknown[]) => ({
    env: words
      .join("_")
      .toUpperCase()
      .replace(/[^A-Z0-9]+/g, "_"),
  });
  if (field === key?.field && item[key.isSet] === true) return variable(item.name, key.field);
  if (field !== hidden) return null;
  return Object.fromEntries(
    Object.keys((item[hidden] ?? {}) as Item).map((header) => [header, variable(item.name, header)]),
  );
}

async function agentNames(client: Client): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const page: Page<Agent> = await client.listAgents({ limit: 100, offset: names.length });
    names.push(...page.data.map((agent) => agent.name));
    if (page.data.length === 0 || names.length >= page.total) return names;
  }
}
