#!/usr/bin/env bun
/**
 * The composition root: the only room that reads the environment, builds things and ends the program. This file
 * knows the words of the command line and nothing else; what a command needs is loaded when it is called, so that
 * `everruns --version` loads nothing.
 */
import { Command, Option } from "commander";
import { type CommandContext, runCommand } from "./action.ts";
import type { Shell } from "./completion.ts";
import { addExamples } from "./examples.ts";
import type { KeysAction } from "./keys/keys.ts";
import { nearestOf } from "./nearest.ts";
import { addResourceCommands } from "./resources/commands.ts";
import { versionText } from "./version.ts";

const program = new Command("everruns")
  .description("Durable AI agents: one server, one PostgreSQL, sessions that survive a crash.")
  .version(versionText(), "-V, --version", "print the version")
  .helpOption("-h, --help", "print help for a command")
  .usage("<command> [options]")
  .showSuggestionAfterError(true)
  .configureHelp({ showGlobalOptions: false })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

program.commandsGroup("Talk to an agent:");

clientCommand("run", "send one message and stream the answer to stdout")
  .argument(
    "[prompt...]",
    "the message; - reads it from stdin, which is also the default when stdin is a pipe",
  )
  .option("-a, --agent <agent>", "agent of the new session, by name or id")
  .option("-m, --model <model>", "model, by name or id, instead of the agent's or the server's default")
  .addOption(
    new Option("-s, --session <id>", "go on with this session instead of a new one").conflicts("agent"),
  )
  .option("--json", "print the turn's events instead, one JSON object a line")
  .option("-v, --verbose", "print tool calls and status to stderr even when it is not a terminal")
  .addHelpText(
    "after",
    `
The answer goes to stdout and nothing else does. Ctrl+C cancels the turn on the server.

Examples:
  everruns run "What time is it in Kyiv?"
  git diff | everruns run --agent reviewer -
  everruns run --session session_0198… "And in Lviv?"
  everruns run --json "hello" | jq -r .type

Exit codes: 0 the turn completed · 1 it failed, was sealed or cancelled · 2 wrong usage`,
  )
  .action((prompt: string[], options) =>
    start(async (context) => (await import("./run.ts")).runPrompt(context, { prompt, ...options })),
  );

clientCommand("chat", "talk with an agent in the terminal")
  .argument("[session]", "id of the session to come back to; without it a new one begins")
  .addOption(new Option("-a, --agent <agent>", "agent of the new session, by name or id"))
  .option("-m, --model <model>", "model of the new session, by name or id")
  .addHelpText(
    "after",
    `
Keys: Enter sends · Esc interrupts the turn · Ctrl+C leaves, the session goes on · /help lists the rest

Examples:
  everruns chat
  everruns chat --agent reviewer
  everruns chat session_0198…      come back to a session`,
  )
  .action((session: string | undefined, options) =>
    start(async (context) => (await import("./chat.ts")).chat(context, { session, ...options })),
  );

program.commandsGroup("Run the platform:");

serverCommand("serve", "run the API and workers, with an embedded PostgreSQL unless --database-url is given")
  .option("-p, --port <port>", "port to listen on, 0 picks a free one (PORT; 9000)")
  .option("--host <address>", "address to listen on (HOST; 127.0.0.1)")
  .option("--workers <n>", "worker loops in this process, 0 for none (EVERRUNS_WORKERS; 1)")
  .option("--concurrency <n>", "turns that each worker runs at once (EVERRUNS_CONCURRENCY; 50)")
  .addHelpText(
    "after",
    `
Keys of model providers: OPENAI_API_KEY and ANTHROPIC_API_KEY are read on the first start. Without any, the
simulated model llmsim answers.

Examples:
  everruns serve
  everruns serve --port 0 --data-dir ./data
  DATABASE_URL=postgres://user:secret@host/db everruns serve --workers 0

Ctrl+C stops: running turns are handed back and go on at the next start.`,
  )
  .action((options) => start(async (context) => (await import("./serve.ts")).serveCommand(options, context)));

serverCommand("worker", "run workers only, beside a server or on another machine")
  .option("--concurrency <n>", "turns that the worker runs at once (EVERRUNS_CONCURRENCY; 50)")
  .addHelpText(
    "after",
    `
Without --database-url it finds the embedded database of a server on this machine.

Examples:
  everruns worker --concurrency 20
  DATABASE_URL=postgres://user:secret@host/db everruns worker

Ctrl+C or SIGTERM drains: finished steps are kept, other workers go on from there.`,
  )
  .action((options) =>
    start(async (context) => (await import("./worker.ts")).workerCommand(options, context)),
  );

serverCommand("migrate", "bring the database's schema up to date")
  .addArgument(
    program
      .createArgument("[action]", "apply what is missing, or print what is there")
      .choices(["apply", "status"])
      .default("apply"),
  )
  .addHelpText(
    "after",
    `
\`everruns serve\` migrates its embedded database by itself; an external one is migrated by this command.

Examples:
  DATABASE_URL=postgres://user:secret@host/db everruns migrate
  everruns migrate status`,
  )
  .action((action: "apply" | "status", options) =>
    start(async (context) => (await import("./migrate.ts")).migrateCommand(action, options, context)),
  );

program.commandsGroup("Say who may call:");

serverCommand("keys", "make, list and revoke access tokens")
  .addArgument(program.createArgument("[action]").choices(["create", "list", "revoke"]).default("list"))
  .argument("[ids...]", "for revoke: ids of the tokens")
  .option("--user <email>", "whose token; by default the admin's, or the only user's")
  .option("--name <name>", "what it is for", "cli")
  .option("--scopes <scopes>", "read, write, admin, separated by commas", "read,write")
  .option("--org <id>", "organization that it opens; several, separated by commas (the user's own)")
  .option("--expires-days <n>", "days until it expires; without it, never")
  .option("--api-url <url>", "your tokens at this server (EVERRUNS_API_URL)")
  .option("--context <name>", "your tokens at this server, by its name (EVERRUNS_CONTEXT)")
  .addOption(
    new Option("-o, --output <format>", "how to print")
      .choices(["table", "json", "yaml", "id"])
      .default("table"),
  )
  .option("--json", "the same as -o json")
  .option("-y, --yes", "for revoke: do not ask")
  .addHelpText(
    "after",
    `
A token is shown once, on stdout. Programs send it in the Authorization header; the client commands read it from
EVERRUNS_API_KEY. With a server that is named (a flag, the environment, or a context in use) the tokens are
your own there; otherwise, and with --user, --data-dir or --database-url, those of this machine's database.

Examples:
  everruns keys create --name ci --expires-days 90
  everruns keys create --user ada@example.com --scopes read
  everruns keys -o json
  everruns keys revoke pat_0198… --yes`,
  )
  .action((action: KeysAction, ids: string[], options) =>
    start(async (context) =>
      (await import("./keys/keys.ts")).keysCommand(action, { ...options, ids }, context),
    ),
  );

serverCommand("users", "make and list users")
  .addArgument(program.createArgument("<action>").choices(["create", "list"]))
  .option("--email <address>", "for create: with what the user signs in")
  .option("--name <name>", "for create: how the user is called")
  .option("--role <role>", "for create: owner, admin, member or viewer of the organization", "member")
  .option("--org <id>", "the organization (the first one)")
  .option(
    "--password-stdin",
    "for create: read the password from stdin; without it there is none to sign in with",
  )
  .option("--json", "print JSON")
  .addHelpText(
    "after",
    `
Who exists already is made a member, keeps their name, and gets the password when there is one.

Examples:
  everruns users create --email ada@example.com --role owner --password-stdin < password.txt
  everruns users create --email bot@example.com && everruns keys create --user bot@example.com
  everruns users list`,
  )
  .action((action: "create" | "list", options) =>
    start(async (context) => (await import("./users.ts")).usersCommand(action, options, context)),
  );

program.commandsGroup("Look at things:");

clientCommand("monitor", "watch everything live, full screen")
  .option("--readonly", "only look: no key changes anything")
  .addHelpText(
    "after",
    `
Keys: 1 to 9 and : go to lists (:runs failed, :workers) · / filters · Enter opens · Esc back · ? all keys
What can be done with a row is in the last line; space marks rows, Ctrl+A all that the filter shows.`,
  )
  .action((options) => start(async (context) => (await import("./monitor.ts")).monitor(context, options)));

addResourceCommands(program, { start, client: clientCommandOf });

program.commandsGroup("Servers and who we are there:");

clientCommand("login", "keep a server under a name, with the token for it")
  .option("--email <address>", "sign in with a password, which is asked for; without it a token is")
  .option("--name <name>", "name of the context (the server's host)")
  .option("--org <id>", "organization, for those who belong to several")
  .option("--scopes <list>", "with --email: what the token may do, of read,write,admin (all that you may)")
  .addHelpText(
    "after",
    `
Contexts are kept in ~/.config/everruns/config.json (EVERRUNS_CONFIG), which only you can read.

Examples:
  everruns login --api-url https://everruns.example.com --name prod --email ada@example.com
  everruns keys create | everruns login --api-url http://127.0.0.1:9000`,
  )
  .action((options) =>
    start(async (context) => void (await (await import("./login.ts")).login(context, options))),
  );
clientCommand("logout", "forget the token of a context").action((options) =>
  start(async (context) => void (await (await import("./login.ts")).logout(context, options))),
);
clientCommand("whoami", "print the server, and who we are there")
  .option("--json", "print JSON")
  .action((options) =>
    start(async (context) => void (await (await import("./login.ts")).whoami(context, options))),
  );
program
  .command("contexts")
  .summary("list the servers that have a name; use, remove")
  .description("Servers that have a name.")
  .addArgument(program.createArgument("[action]").choices(["list", "use", "remove"]).default("list"))
  .argument("[name]", "of the context")
  .action((action: "list" | "use" | "remove", name?: string) =>
    start(async (context) => void (await (await import("./login.ts")).contexts(context, { action, name }))),
  );

program.commandsGroup("Look after it:").helpCommand("help [command]", "print help for a command");

serverOptions(clientCommand("doctor", "say what is wrong and what to type next"))
  .option("--json", "print the findings as JSON")
  .option("--probe [model]", "ask one model of each provider, or this one: streaming, tools, usage")
  .addHelpText(
    "after",
    "\nStarts nothing and changes nothing; a probe makes a session and deletes it.\n\nExit codes: 0 all well · 1 something is wrong",
  )
  .action((options) =>
    start(async (context) => (await import("./doctor/doctor.ts")).doctor(context, options)),
  );

serverCommand("config", "print the configuration in force and where each value comes from")
  .option("-p, --port <port>", "as for serve (PORT)")
  .option("--host <address>", "as for serve (HOST)")
  .option("--workers <n>", "as for serve (EVERRUNS_WORKERS)")
  .option("--concurrency <n>", "as for serve and worker (EVERRUNS_CONCURRENCY)")
  .option("--api-url <url>", "as for the client commands (EVERRUNS_API_URL)")
  .option("--json", "print it as JSON")
  .addHelpText(
    "after",
    "\nFlags win over the environment, the environment over defaults. Secrets are not printed.",
  )
  .action((options) => start(async (context) => (await import("./config.ts")).printConfig(context, options)));

program
  .command("completion")
  .description("Print what makes a shell complete the commands.")
  .summary("print shell completions")
  .addArgument(program.createArgument("<shell>").choices(["bash", "zsh", "fish"]))
  .addHelpText(
    "after",
    `
Examples:
  everruns completion bash >> ~/.bashrc
  everruns completion zsh > ~/.zsh/_everruns     a directory in $fpath
  everruns completion fish > ~/.config/fish/completions/everruns.fish`,
  )
  .action((shell: Shell) =>
    start(async ({ out }) => void out.line((await import("./completion.ts")).completionScript(shell))),
  );
program.command("__sql", { hidden: true }).action(async () => {
  await (await import("./sql-child.ts")).sqlChild();
});

program
  .command("version")
  .description("print the version")
  .action(() => start(async ({ out }) => void out.line(versionText())));

program.addHelpText(
  "after",
  `
Environment:
  EVERRUNS_API_URL    server of the client commands (http://127.0.0.1:9000)
  EVERRUNS_API_KEY    key for it, when it asks for one
  EVERRUNS_CONTEXT    server by its name: see everruns contexts
  DATABASE_URL        PostgreSQL 15 or newer instead of the embedded one
  EVERRUNS_DATA_DIR   where the embedded database and the encryption key live
  NO_COLOR            no colours

Start here:
  everruns serve
  everruns run "hello"     in another terminal

Exit codes: 0 done · 1 failed · 2 wrong usage or configuration`,
);

addExamples(program);
tellErrorsInOneLine(program, "everruns");
if (process.argv.length <= 2) program.help();
// Not a command: its words may be flags of ours, which are not meant for us.
if (process.argv[2] === "__complete") await start(complete);
refuseHelpOfNothing();
await program.parseAsync();

/** A command that talks to a server over HTTP. */
function clientCommand(name: string, summary: string): Command {
  return clientCommandOf(program, name, summary);
}

function clientCommandOf(parent: Command, name: string, summary: string, isDefault = false): Command {
  return parent
    .command(name, { isDefault })
    .summary(summary)
    .description(sentence(summary))
    .option("--api-url <url>", "server to talk to (EVERRUNS_API_URL; the current context's)")
    .option("--context <name>", "server by its name (EVERRUNS_CONTEXT)");
}

/** A command that works on the database itself. */
function serverCommand(name: string, summary: string): Command {
  return serverOptions(program.command(name).summary(summary).description(sentence(summary)));
}

function serverOptions(command: Command): Command {
  return command
    .option("--database-url <url>", "PostgreSQL 15 or newer (DATABASE_URL; the embedded one)")
    .option("--data-dir <path>", "home of the embedded database and the key (EVERRUNS_DATA_DIR)")
    .addOption(
      new Option(
        "--log-format <format>",
        "pretty or json (EVERRUNS_LOG_FORMAT; pretty on a terminal)",
      ).choices(["pretty", "json"]),
    )
    .addOption(
      new Option("--log-level <level>", "debug, info, warn or error (EVERRUNS_LOG_LEVEL; info)").choices([
        "debug",
        "info",
        "warn",
        "error",
      ]),
    );
}

function start(command: (context: CommandContext) => Promise<number | undefined>): Promise<never> {
  return runCommand(command);
}

/** What a shell asks with every Tab. */
async function complete(context: CommandContext): Promise<undefined> {
  const { candidates, placeOf } = await import("./completion.ts");
  const place = placeOf(program, process.argv.slice(3));
  const known = candidates(place);
  const isOpen = known.length === 0 && (place.option !== null || place.argument !== null);
  const found = isOpen ? await (await import("./completion-values.ts")).valuesAt(context, place) : known;
  for (const { word, about = "" } of found) context.out.line(about === "" ? word : `${word}\t${about}`);
}

/** Commander answers `help nope` with the help of all, as if it had been asked for. */
function refuseHelpOfNothing(): void {
  const [, , word, name] = process.argv;
  if (word !== "help" || name === undefined || name.startsWith("-")) return;
  const names = program.commands.flatMap((command) => [command.name(), ...command.aliases()]);
  if (names.includes(name) || name === "help") return;
  const near = nearestOf(name, names);
  const suggestion = near === null ? "" : `\n(Did you mean ${near}?)`;
  program.error(`error: unknown command '${name}'${suggestion}`, { exitCode: 2 });
}

function tellErrorsInOneLine(command: Command, path: string): void {
  command.configureOutput({ outputError: (text, write) => write(oneLine(text, `${path} --help`)) });
  for (const child of command.commands) tellErrorsInOneLine(child, `${path} ${child.name()}`);
}

/** `error: unknown option '--prot'\n(Did you mean --port?)` → one line that begins with our name. */
function oneLine(text: string, help: string): string {
  const [problem = "", suggestion] = text
    .trim()
    .replace(/^error: /, "")
    .split(/\s*\n\s*/);
  const similar = /^\(Did you mean (.*)\)$/.exec(suggestion ?? "")?.[1];
  const advice = similar ? `did you mean ${similar}` : `see ${help}`;
  return `everruns: ${problem.replace(/\.$/, "").replace("command-argument value", "the value")}; ${advice}\n`;
}

function sentence(summary: string): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
}
