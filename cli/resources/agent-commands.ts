/** What only agents have: files. */
import { type Command, Option } from "commander";
import type { AgentFileFormat } from "../../src/contract/agent-file.ts";
import type { CommandTools } from "./commands.ts";

/** @param agents  the command `agents`, which gets two verbs more */
export function addAgentCommands(agents: Command, { start, client }: CommandTools): void {
  const collect = (value: string, before: string[] = []) => [...before, value];
  client(agents, "apply", "create or change agents from files; what is the same already is left alone")
    .option(
      "-f, --file <path>",
      "a file or a folder of them (.md, .yaml, .json); may be given again",
      collect,
    )
    .option("--verbose", "print the calls of the API to stderr")
    .addHelpText(
      "after",
      "\nExamples:\n  everruns agents apply -f agents/\n  everruns agents export triage | everruns agents apply -f -",
    )
    .action((flags: { file?: string[] }) =>
      start(async (context) => (await import("./apply.ts")).applyAgents(context, flags)),
    );
  client(agents, "export", "print an agent as a file, or write all of them into a folder")
    .argument("[names...]", "id or name")
    .addOption(
      new Option("--format <format>", "form of the file")
        .choices(["markdown", "yaml", "json"])
        .default("markdown"),
    )
    .option("-d, --directory <path>", "write one file each into it; without names all agents")
    .option("--verbose", "print the calls of the API to stderr")
    .action((names: string[], flags: { format: AgentFileFormat; directory?: string }) =>
      start(async (context) => void (await (await import("./apply.ts")).exportAgents(context, names, flags))),
    );
}
