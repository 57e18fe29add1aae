/** Commands about what belongs to one session: events, messages, forks. */
import { type Command, Option } from "commander";
import type { Delivery } from "../../src/contract/message.ts";
import type { CommandContext } from "../action.ts";
import type { CommandTools } from "./commands.ts";
import type { EventFlags } from "./events.ts";
import type { ForkFlags } from "./forks.ts";
import { FORMATS } from "./formats.ts";
import type { LogsFlags } from "./logs.ts";
import type { RawCallFlags } from "./raw-call.ts";

type FileVerbs = typeof import("./files.ts");

/** Written out: what defines them would be loaded by every call of the program, also by --version. */
const DELIVERIES = ["steer", "queue", "interrupt", "reject"] satisfies Delivery[];

/** @param sessions  the command `sessions`, which gets two verbs more */
export function addSessionCommands(
  program: Command,
  sessions: Command,
  { start, client }: CommandTools,
): void {
  const verb = (parent: Command, name: string, summary: string, isDefault = false) =>
    client(parent, name, summary, isDefault)
      .addOption(new Option("-o, --output <format>", "how to print").choices(FORMATS).default("table"))
      .option("--verbose", "print the calls of the API to stderr")
      .argument("<session>", "id of the session");
  const collect = (value: string, before: string[] = []) => [...before, value];
  const filters = (command: Command) =>
    command
      .option("-t, --type <type>", "only these, tool.* for a family; may be given again", collect)
      .option("-x, --exclude <type>", "not these", collect);

  const events = program
    .command("events")
    .summary("what happened in a session; list, tail")
    .description("The event log of a session.")
    .addHelpText(
      "after",
      "\nExamples:\n  everruns events tail <session>\n  everruns events tail <session> --all -o json | jq .type\n" +
        "  everruns events list <session> -t 'tool.*'",
    );
  filters(verb(events, "list", "print the events of a session, oldest first"))
    .option("-n, --limit <n>", "the last ones, 1 to 1000")
    .action((session: string, flags: EventFlags & { limit?: string }) =>
      start(
        async (context) => void (await (await import("./events.ts")).listEvents(context, session, flags)),
      ),
    );
  filters(verb(events, "tail", "print events as they come, until Ctrl+C"))
    .option("--all", "begin with the first event")
    .option("--since <event>", "begin after this one")
    .action((session: string, flags: EventFlags & { all?: boolean; since?: string }) =>
      start(
        async (context) => void (await (await import("./events.ts")).tailEvents(context, session, flags)),
      ),
    );

  client(program, "logs", "print what happened in a session as lines, and follow it")
    .argument("<session>", "id of the session")
    .option("-f, --follow", "go on with what comes, until Ctrl+C")
    .option("--since <time>", "from then on: 90s, 10m, 2h, 3d, or a time in ISO 8601")
    .option("--tail <n>", "begin with the last n lines")
    .option("--verbose", "print the calls of the API to stderr")
    .addHelpText(
      "after",
      "\nExamples:\n  everruns logs <session> -f\n  everruns logs <session> --since 1h --tail 20\n\n" +
        "For every event, as JSON: everruns events tail <session> -o json",
    )
    .action((session: string, flags: LogsFlags) =>
      start(async (context) => void (await (await import("./logs.ts")).logs(context, session, flags))),
    );

  client(program, "api", "call the API as it is")
    .argument("<method>", "GET, POST, PUT, PATCH or DELETE")
    .argument("<path>", "below /v1: /agents?limit=5")
    .option("-d, --data <body>", "the body; @file takes it from a file, - from stdin")
    .option("--content-type <type>", "of the body (application/json)")
    .option("--verbose", "print the call to stderr")
    .addHelpText(
      "after",
      "\nExamples:\n  everruns api GET /agents | jq .total\n" +
        '  everruns api POST /agents -d \'{"name": "triage", "system_prompt": "You sort."}\'\n' +
        "  everruns api POST /agents/import -d @triage.md --content-type text/markdown\n\n" +
        "A refusal prints its body, too, and ends with 1.",
    )
    .action((method: string, path: string, flags: RawCallFlags) =>
      start(async (context) => (await import("./raw-call.ts")).rawCall(context, { method, path }, flags)),
    );

  const messages = program
    .command("messages")
    .summary("the conversation of a session; list, send")
    .description("The messages of a session.")
    .addHelpText(
      "after",
      '\nExamples:\n  everruns messages list <session>\n  everruns messages send <session> "Go on."',
    );
  verb(messages, "list", "print the conversation").action((session: string, flags: EventFlags) =>
    start(
      async (context) => void (await (await import("./events.ts")).listMessages(context, session, flags)),
    ),
  );
  verb(messages, "send", "send one and do not wait; prints the id of its run")
    .argument("[words...]", "the message; - or nothing reads it from stdin")
    .addOption(new Option("--delivery <how>", "when the session is busy").choices(DELIVERIES))
    .action((session: string, words: string[], flags: EventFlags & { delivery?: Delivery }) =>
      start(async (context) => {
        const { sendMessage } = await import("./events.ts");
        const { delivery, ...rest } = flags;
        await sendMessage(context, { session, words, ...(delivery ? { delivery } : {}) }, rest);
        return undefined;
      }),
    );

  const files = program
    .command("files")
    .summary("the files of a session; list, get, put, delete")
    .description("The files of a session, a workspace (wsp_…) or a memory (mem_…).")
    .addHelpText(
      "after",
      "\nExamples:\n  everruns files list <session> -r\n  everruns files get <session> /report.md > report.md\n" +
        "  everruns files put <session> /data.csv -f data.csv",
    );
  const onFiles = (run: (files: FileVerbs, context: CommandContext) => Promise<void>) =>
    start(async (context) => void (await run(await import("./files.ts"), context)));
  verb(files, "list", "list them")
    .argument("[path]", "a directory", "/")
    .option("-r, --recursive", "what is below, too")
    .action((owner: string, path: string, flags) =>
      onFiles((it, context) => it.listFiles(context, owner, path, flags)),
    );
  verb(files, "get", "print one, byte by byte")
    .argument("<path>", "of the file")
    .option("-f, --file <path>", "write it there instead")
    .action((owner: string, path: string, flags) =>
      onFiles((it, context) => it.getFile(context, owner, path, flags)),
    );
  verb(files, "put", "write one, from stdin or a file")
    .argument("<path>", "of the file")
    .option("-f, --file <path>", "take it from there")
    .action((owner: string, path: string, flags) =>
      onFiles((it, context) => it.putFile(context, owner, path, flags)),
    );
  verb(files, "delete", "delete one")
    .argument("<path>", "of the file or directory")
    .option("-r, --recursive", "a directory with everything in it")
    .option("-y, --yes", "do not ask")
    .action((owner: string, path: string, flags) =>
      onFiles((it, context) => it.deleteFile(context, owner, path, flags)),
    );

  const forkVerb = (name: string, summary: string) =>
    client(sessions, name, summary)
      .addOption(
        new Option("-o, --output <format>", "how to print").choices(["table", "json"]).default("table"),
      )
      .argument("<id>", "id of the session");
  forkVerb("fork", "go on from an event of one, as a session of its own")
    .option("--at <sequence>", "the last event that both have in common; without it the newest")
    .action((id: string, flags: ForkFlags) =>
      start(async (context) => (await import("./forks.ts")).fork(context, { ...flags, id })),
    );
  forkVerb("diff", "what two sessions did since they parted")
    .argument("<other>", "id of the other")
    .action((id: string, other: string, flags: ForkFlags) =>
      start(async (context) => (await import("./forks.ts")).diff(context, { ...flags, id, other })),
    );
}
