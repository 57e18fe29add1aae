/** `apply` and `export`, of the kinds of objects that are kept as files. */
import { type Command, Option } from "commander";
import type { ApplyFlags } from "./apply.ts";
import type { CommandTools } from "./commands.ts";
import type { ExportFlags } from "./export.ts";

interface Words {
  /** Of the help. */
  forms: string;
  examples: readonly string[];
  hasSecrets: boolean;
  formats: readonly string[];
}

const AGENT_FORMATS = ["markdown", "yaml", "json"];
const OBJECT_FORMATS = ["yaml", "json"];
const SECRETS = `
Keys never stand in a file: api_key: {env: OPENAI_API_KEY} takes the key from the environment of this command. A key
that the server has is left alone, unless --secrets sends it again. An export names a variable and never the key.
`;

/** By the word on the command line. */
const KEPT_AS_FILES: Readonly<Record<string, Words>> = {
  agents: {
    forms: ".md, .yaml, .json",
    examples: [
      "everruns agents apply -f agents/",
      "everruns agents apply -f agents/ --dry-run",
      "everruns agents export triage | everruns agents apply -f - --context prod",
    ],
    hasSecrets: false,
    formats: AGENT_FORMATS,
  },
  harnesses: {
    forms: ".md, .yaml, .json",
    examples: ["everruns harnesses apply -f harnesses/ --dry-run", "everruns harnesses export -d harnesses"],
    hasSecrets: false,
    formats: AGENT_FORMATS,
  },
  providers: {
    forms: ".yaml, .json",
    examples: ["everruns providers export openai > openai.yaml", "everruns providers apply -f openai.yaml"],
    hasSecrets: true,
    formats: OBJECT_FORMATS,
  },
  "mcp-servers": {
    forms: ".yaml, .json",
    examples: ["everruns mcp-servers export -d mcp-servers", "everruns mcp-servers apply -f mcp-servers/"],
    hasSecrets: true,
    formats: OBJECT_FORMATS,
  },
};

/** @param parent  a resource's command, which gets two verbs more where its objects are kept as files */
export function addFileCommands(parent: Command, { start, client }: CommandTools): void {
  const kind = parent.name();
  const words = Object.hasOwn(KEPT_AS_FILES, kind) ? KEPT_AS_FILES[kind] : undefined;
  if (words === undefined) return;
  const collect = (value: string, before: string[] = []) => [...before, value];
  const examplesOf = (verb: string) => words.examples.filter((line) => line.includes(` ${verb} `));
  const applying = client(
    parent,
    "apply",
    `create or change ${kind} from files; what is the same already is left alone`,
  )
    .option(
      "-f, --file <path>",
      `a file or a folder of them (${words.forms}), - for stdin; may be given again`,
      collect,
    )
    .option("--dry-run", "say which fields would change, and change nothing")
    .option("--verbose", "print the calls of the API to stderr");
  if (words.hasSecrets) applying.option("--secrets", "send keys that the server has already, too");
  applying
    .addHelpText(
      "after",
      `\nA file is the whole of it: a field that it leaves out is emptied.\n${words.hasSecrets ? SECRETS : ""}
Examples:\n${examplesOf("apply").map(indented).join("\n")}

Exit codes: 0 all are as their files say · 1 one could not be applied, the others were · 2 wrong usage`,
    )
    .action((flags: ApplyFlags) =>
      start(async (context) => (await import("./apply.ts")).apply(context, kind, flags)),
    );
  client(parent, "export", "print one as a file, or write all of them into a folder")
    .argument("[names...]", "id or name")
    .addOption(
      new Option("--format <format>", "form of the file").choices(words.formats).default(words.formats[0]),
    )
    .option("-d, --directory <path>", "write one file each into it; without names all of them")
    .option("--verbose", "print the calls of the API to stderr")
    .addHelpText("after", `\nExamples:\n${examplesOf("export").map(indented).join("\n")}`)
    .action((names: string[], flags: ExportFlags) =>
      start(
        async (context) =>
          void (await (await import("./export.ts")).exportFiles(context, kind, names, flags)),
      ),
    );
}

const indented = (line: string) => `  ${line}`;
