/**
 * `everruns agents apply -f` and `everruns agents export`: agents kept as files. A file is what an import takes; a
 * folder is all files in it, the folders below it too. The server compares: what changes nothing is told as unchanged.
 */
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { describeError, UserError } from "../../src/base/errors.ts";
import type { Client, Page } from "../../src/client/client.ts";
import { ClientError } from "../../src/client/errors.ts";
import type { Agent } from "../../src/contract/agent.ts";
import { type AgentFileFormat, nameFromTime, parseAgentFile } from "../../src/contract/agent-file.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import { progressBar } from "../progress.ts";
import { readText } from "./input.ts";

const EXTENSIONS = [".md", ".markdown", ".yaml", ".yml", ".json"];
/** Files that stand beside agents in most repositories, and are none. */
const NOT_AGENTS = /^(?:readme|license|changelog|contributing)\./i;

interface ApplyFlags {
  apiUrl?: string;
  verbose?: boolean;
  file?: readonly string[];
}

/** @returns 1 when a file could not be applied; the others are */
export async function applyAgents(context: CommandContext, flags: ApplyFlags): Promise<number> {
  const paths = flags.file ?? [];
  if (paths.length === 0) throw new UsageError("which files? everruns agents apply -f <file or folder>");
  const files = paths.flatMap(filesIn);
  if (files.length === 0) {
    throw new UserError(
      "no_files",
      `there are no agents in ${paths.join(", ")}; files end in ${EXTENSIONS.join(", ")}`,
    );
  }
  const client = clientOf(context, flags);
  const counts = { created: 0, changed: 0, unchanged: 0, failed: 0 };
  const bar = progressBar(context.err, { total: files.length, what: "agents" });
  for (const path of files) {
    try {
      const { name, outcome } = await applyFile(client, path);
      counts[outcome] += 1;
      bar.around(() => context.out.line(`${name} ${outcome}`));
    } catch (error) {
      counts.failed += 1;
      bar.around(() =>
        context.err.line(`${context.err.paint.red("everruns:")} ${path}: ${describeError(error)}`),
      );
    }
    bar.step();
  }
  bar.end();
  const { created, changed, unchanged, failed } = counts;
  context.err.line(
    `${created} created, ${changed} changed, ${unchanged} unchanged${failed > 0 ? `, ${failed} failed` : ""}`,
  );
  return failed > 0 ? 1 : 0;
}

async function applyFile(client: Client, path: string) {
  const text = await readText(path);
  const { id, name } = parseAgentFile(text, nameFromTime(new Date()));
  const before = await findAgent(client, String(id ?? name));
  const after = await client.request<Agent>("POST", "/agents/import", {
    body: text,
    contentType: "text/plain",
  });
  const isSame = before !== null && before.id === after.id && before.updated_at === after.updated_at;
  const outcome = isSame ? "unchanged" : before === null || before.id !== after.id ? "created" : "changed";
  return { name: after.name, outcome } as const;
}

async function findAgent(client: Client, idOrName: string): Promise<Agent | null> {
  try {
    return await client.getAgent(idOrName);
  } catch (error) {
    // A name that is none is told by the import, with its reason.
    if (error instanceof ClientError && (error.status === 404 || error.status === 400)) return null;
    throw error;
  }
}

/** A folder's files in the order of their names; `-` is stdin. */
function filesIn(path: string): string[] {
  if (path === "-") return [path];
  if (!existsSync(path)) throw new UserError("file_unreadable", `${path} is not there`);
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && EXTENSIONS.includes(extname(entry.name)) && !NOT_AGENTS.test(entry.name),
    )
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((each) => !/(^|\/)(\.[^/]+|node_modules)\//.test(each.slice(path.length)))
    .sort();
}

interface ExportFlags {
  apiUrl?: string;
  verbose?: boolean;
  format: AgentFileFormat;
  /** Writes one file each into it, instead of to stdout. */
  directory?: string;
}

const FILE_ENDINGS: Record<AgentFileFormat, string> = { markdown: "md", yaml: "yaml", json: "json" };

/** Prints one agent as a file, or writes several (without names: all of them) into a folder. */
export async function exportAgents(
  context: CommandContext,
  names: readonly string[],
  flags: ExportFlags,
): Promise<void> {
  const client = clientOf(context, flags);
  const read = (name: string) =>
    client.requestText("GET", `/agents/${encodeURIComponent(name)}/export`, {
      query: { format: flags.format },
    });
  if (flags.directory === undefined) {
    const [name] = names;
    if (name === undefined || names.length > 1) {
      throw new UsageError("several agents need a folder: everruns agents export --directory <path> [names]");
    }
    context.out.write(await read(name));
    return;
  }
  const wanted = names.length > 0 ? names : await allNames(client);
  mkdirSync(flags.directory, { recursive: true });
  const bar = progressBar(context.err, { total: wanted.length, what: "agents" });
  for (const name of wanted) {
    const path = join(flags.directory, `${name}.${FILE_ENDINGS[flags.format]}`);
    writeFileSync(path, await read(name));
    bar.around(() => context.out.line(path));
    bar.step();
  }
  bar.end();
}

async function allNames(client: Client): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const page: Page<Agent> = await client.listAgents({ limit: 100, offset: names.length });
    names.push(...page.data.map((agent) => agent.name));
    if (page.data.length === 0 || names.length >= page.total) return names;
  }
}
