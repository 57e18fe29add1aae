/**
 * `everruns <kind> apply -f`: objects kept as files. A folder is all files in it, the folders below it too. What
 * changes nothing is told as unchanged; a file that is wrong is told with its name, and does not keep the others.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { describeError, UserError } from "../../src/base/errors.ts";
import type { Client } from "../../src/client/client.ts";
import { ClientError } from "../../src/client/errors.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import { progressBar } from "../progress.ts";
import { agentApplier } from "./apply-agent.ts";
import { objectApplier } from "./apply-object.ts";
import { objectKind } from "./file-kinds.ts";
import { readText } from "./input.ts";

const EXTENSIONS = [".md", ".markdown", ".yaml", ".yml", ".json"];
/** Files that stand beside the others in most repositories, and are none. */
const NOT_OURS = /^(?:readme|license|changelog|contributing)\./i;

export interface ApplyFlags {
  apiUrl?: string;
  verbose?: boolean;
  file?: readonly string[];
  dryRun?: boolean;
  /** Sends keys that the server has already, too. */
  secrets?: boolean;
}

export interface Applied {
  name: string;
  outcome: "created" | "changed" | "unchanged";
  /** Those that changed, where that is known. */
  fields: readonly string[];
}

/** Of one kind of object: what is done with the text of a file. */
export interface Applier {
  /** What the file says that it is; "" when it does not, or cannot be read. */
  nameOf(text: string): string;
  /** Rejects with what is wrong with the file. */
  apply(text: string, options: { isDry: boolean }): Promise<Applied>;
}

/** Everything that is wrong with one file, so that nobody has to find it out one by one. */
export class FileProblems extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join("; "));
    this.problems = problems;
  }
}

/** @returns 1 when a file could not be applied; the others are */
export async function apply(context: CommandContext, kind: string, flags: ApplyFlags): Promise<number> {
  const paths = flags.file ?? [];
  if (paths.length === 0) throw new UsageError(`which files? everruns ${kind} apply -f <file or folder>`);
  const files = paths.flatMap(filesIn);
  if (files.length === 0) {
    throw new UserError(
      "no_files",
      `there are no ${kind} in ${paths.join(", ")}; files end in ${EXTENSIONS.join(", ")}`,
    );
  }
  const isDry = flags.dryRun ?? false;
  const applier = applierOf(context, kind, clientOf(context, flags), flags);
  const counts = { created: 0, changed: 0, unchanged: 0, failed: 0 };
  const bar = progressBar(context.err, { total: files.length, what: kind });
  let pending = await Promise.all(files.map(readFile));
  requireDifferentNames(kind, pending, applier);
  for (;;) {
    const failed: { file: (typeof pending)[number]; error: unknown }[] = [];
    let isAnyNew = false;
    for (const file of pending) {
      if (context.signal.aborted) break;
      try {
        if (file.error !== null) throw file.error;
        const applied = await applier.apply(file.text, { isDry });
        counts[applied.outcome] += 1;
        isAnyNew ||= applied.outcome === "created";
        bar.around(() => context.out.line(lineOf(applied, isDry)));
        bar.step();
      } catch (error) {
        // No file is to blame.
        if (error instanceof ClientError && error.isAboutServer) {
          bar.end();
          throw error;
        }
        failed.push({ file, error });
      }
    }
    // What a file inherits from may have come after it.
    pending = failed.map(({ file }) => file);
    if (isAnyNew && !isDry && failed.length > 0) continue;
    counts.failed = failed.length;
    for (const { file, error } of failed) bar.around(() => tellProblems(context, file.path, error));
    break;
  }
  bar.end();
  const { created, changed, unchanged, failed } = counts;
  const words = isDry ? ["would be created", "would change"] : ["created", "changed"];
  context.err.line(
    `${created} ${words[0]}, ${changed} ${words[1]}, ${unchanged} unchanged${failed > 0 ? `, ${failed} failed` : ""}`,
  );
  return failed > 0 || context.signal.aborted ? 1 : 0;
}

interface File {
  path: string;
  text: string;
  /** Why it could not be read; null when it could. */
  error: unknown;
}

async function readFile(path: string): Promise<File> {
  try {
    return { path, text: await readText(path), error: null };
  } catch (error) {
    return { path, text: "", error };
  }
}

/** Each would undo what the other did, at every apply again. @throws UsageError */
function requireDifferentNames(kind: string, files: readonly File[], { nameOf }: Applier): void {
  const byName = Map.groupBy(files, ({ text }) => nameOf(text));
  for (const [name, same] of byName) {
    if (name === "" || same.length === 1) continue;
    const paths = same.map(({ path }) => path).join(", ");
    throw new UsageError(`${same.length} files have the name ${name}: ${paths}; ${kind} are found by it`);
  }
}

function tellProblems({ err }: CommandContext, path: string, error: unknown): void {
  const problems = error instanceof FileProblems ? error.problems : [describeError(error)];
  for (const problem of problems) {
    err.line(`${err.paint.red("everruns:")} ${path === "-" ? "stdin" : path}: ${problem}`);
  }
}

function applierOf(context: CommandContext, kind: string, client: Client, flags: ApplyFlags): Applier {
  if (kind === "agents") return agentApplier(client);
  return objectApplier(client, objectKind(kind), {
    env: context.env,
    isSendingSecrets: flags.secrets ?? false,
  });
}

function lineOf({ name, outcome, fields }: Applied, isDry: boolean): string {
  if (!isDry || outcome === "unchanged") return `${name} ${outcome}`;
  return outcome === "created" ? `${name} would be created` : `${name} would change: ${fields.join(", ")}`;
}

/** A folder's files in the order of their names; `-` is stdin. */
function filesIn(path: string): string[] {
  if (path === "-") return [path];
  if (!existsSync(path)) throw new UserError("file_unreadable", `${path} is not there`);
  if (!statSync(path).isDirectory()) {
    // Any text would do as a prompt: a slip of the finger should not send it.
    if (EXTENSIONS.includes(extname(path))) return [path];
    throw new UserError(
      "no_files",
      `${path}: files end in ${EXTENSIONS.join(", ")}; - reads any other from stdin`,
    );
  }
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && EXTENSIONS.includes(extname(entry.name)) && !NOT_OURS.test(entry.name),
    )
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((each) => !/(^|\/)(\.[^/]+|node_modules)\//.test(each.slice(path.length)))
    .sort();
}
