/**
 * The resource commands, made from the catalog: `everruns <resource> [list|get|…]`. Each verb is a command of its
 * own, with its own flags and help; the resource alone lists. What a verb needs is loaded when it is called.
 */
import { type Command, Option } from "commander";
import { CATALOG, type Resource } from "../../src/client/resources.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { fileOf } from "../examples.ts";
import { addFileCommands } from "./file-commands.ts";
import { FORMATS, flagOf } from "./formats.ts";

import { addImageCommands, addSessionExport } from "./library-commands.ts";
import { addSessionCommands } from "./session-commands.ts";
import type { BodyFlags, CommonFlags, ListFlags } from "./verbs.ts";

/** What the composition root lends. */
export interface CommandTools {
  start: Start;
  /** Makes a command that talks to a server, below the given one. */
  client(parent: Command, name: string, summary: string, isDefault?: boolean): Command;
}

type Start = (command: (context: CommandContext) => Promise<number | undefined>) => Promise<never>;
type Verbs = typeof import("./verbs.ts");

export function addResourceCommands(program: Command, tools: CommandTools): void {
  const { start, client } = tools;
  for (const resource of CATALOG) {
    const parent = program
      .command(resource.name)
      .description(`${capital(resource.summary)}.`)
      .addHelpText("after", examplesOf(resource));
    const verb = (name: string, summary: string, isDefault = false) =>
      client(parent, name, summary, isDefault)
        .addOption(new Option("-o, --output <format>", "how to print").choices(FORMATS).default("table"))
        .option("--verbose", "print the calls of the API to stderr");
    const run = (action: (verbs: Verbs, context: CommandContext) => Promise<unknown>) =>
      start(async (context) => {
        const code = await action(await import("./verbs.ts"), context);
        return typeof code === "number" ? code : undefined;
      });

    // The name alone lists.
    const listing = verb("list", `list ${resource.summary}`, true)
      .option("--watch", "then print what is new or has changed, until Ctrl+C")
      .usage("[options]")
      .argument("[nothing...]");
    if (resource.isPaged) {
      listing
        .option("-n, --limit <n>", "how many, 1 to 100", "20")
        .option("--offset <n>", "leave out the first ones");
    }
    if (resource.isSearchable) listing.option("--search <words>", "that have all of these words");
    for (const [parameter, meaning] of Object.entries(resource.filters ?? {})) {
      listing.option(`--${flagOf(parameter)} <value>`, meaning);
    }
    listing
      .configureHelp({ visibleArguments: () => [] })
      .action((extra: string[], options: ListFlags & Record<string, unknown>) =>
        run((verbs, context) => {
          refuseExtra(resource, parent, extra);
          return verbs.list(context, resource, { ...options, filters: filtersOf(resource, options) });
        }),
      );

    if (resource.isReadable || resource.actions === undefined) {
      verb("get", `print one ${resource.one}`)
        .argument("<id>", resource.key)
        .action((id: string, options: CommonFlags) =>
          run((verbs, context) => verbs.get(context, resource, id, options)),
        );
    }
    if (resource.isCreatable) {
      bodyFlags(verb("create", `make ${article(resource.one)} ${resource.one}, and print its id`)).action(
        (options: BodyFlags) => run((verbs, context) => verbs.create(context, resource, options)),
      );
    }
    if (resource.editable) {
      bodyFlags(verb("update", "change some fields: those that are given"))
        .argument("<id>", resource.key)
        .action((id: string, options: BodyFlags) =>
          run((verbs, context) => verbs.update(context, resource, id, options)),
        );
    }
    if (resource.editable && resource.textField === undefined) {
      verb("edit", "change one in $EDITOR")
        .argument("<id>", resource.key)
        .action((id: string, options: CommonFlags) =>
          run((verbs, context) => verbs.edit(context, resource, id, options)),
        );
    }
    if (resource.deletes) {
      const word = resource.deletes.slice(0, -1);
      verb(
        "delete",
        resource.deletes === "archives" ? "archive them; restore takes them back" : `${word} them`,
      )
        .argument("<ids...>", resource.key)
        .option("-y, --yes", "do not ask")
        .action((ids: string[], options: CommonFlags & { yes?: boolean }) =>
          run((verbs, context) => verbs.remove(context, resource, ids, options)),
        );
    }
    for (const [name, action] of Object.entries(resource.actions ?? {})) {
      const command = verb(name, action.summary);
      (action.fields === undefined ? command : bodyFlags(command))
        .argument("<ids...>", resource.key)
        .option("-y, --yes", "do not ask")
        .action((ids: string[], options: CommonFlags & { yes?: boolean }) =>
          run((verbs, context) => verbs.act(context, resource, { verb: name, action, ids }, options)),
        );
    }
  }
  for (const command of [...program.commands]) {
    if (command.name() === "sessions") addSessionCommands(program, command, tools);
    if (command.name() === "sessions") addSessionExport(command, tools);
    if (command.name() === "images") addImageCommands(command, tools);
    addFileCommands(command, tools);
    const resource = CATALOG.find(({ name }) => name === command.name());
    if (resource === undefined) continue;
    const others = command.commands.map((each) => each.name()).filter((name) => name !== "list");
    command.summary(`list ${resource.summary}${others.length === 0 ? "" : `; ${others.join(", ")}`}`);
  }
}

function bodyFlags(command: Command): Command {
  const collect = (value: string, before: string[] = []) => [...before, value];
  return command
    .option("-f, --file <path>", "JSON or YAML with the fields; - reads it from stdin")
    .option("--set <name=value>", "one field; may be given again, and wins over the file", collect);
}

/** `everruns agents reviewer`: what was meant is one of two things. */
function refuseExtra(resource: Resource, parent: Command, extra: readonly string[]): void {
  const [word] = extra;
  if (word === undefined) return;
  const verbs = parent.commands.map((command) => command.name());
  const isNearly = verbs.find((verb) => verb[0] === word[0] && Math.abs(verb.length - word.length) <= 1);
  throw new UsageError(
    isNearly
      ? `${resource.name} has no "${word}"; did you mean everruns ${resource.name} ${isNearly}?`
      : `list takes no ${resource.key}; did you mean everruns ${resource.name} get ${word}?`,
  );
}

function filtersOf(resource: Resource, options: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.keys(resource.filters ?? {}).flatMap((parameter) => {
      const value = options[camelOf(parameter)];
      return typeof value === "string" ? [[parameter, value]] : [];
    }),
  );
}

const camelOf = (parameter: string) =>
  flagOf(parameter).replace(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());

function examplesOf(resource: Resource): string {
  const lines = [`  everruns ${resource.name}`, `  everruns ${resource.name} -o json | jq`];
  if (resource.isReadable) lines.push(`  everruns ${resource.name} get <${resource.key}> -o yaml`);
  if (resource.isCreatable) lines.push(`  everruns ${resource.name} create -f ${fileOf(resource)}`);
  return `\nExamples:\n${lines.join("\n")}`;
}

const capital = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
const article = (word: string) => (/^(?:[aeiou]|MCP)/.test(word) ? "an" : "a");
