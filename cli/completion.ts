/**
 * Shell completion. What a shell gets is a few lines that ask this program with every Tab; the answers come from the
 * commands themselves, so that there is no list to keep.
 */
import type { Command, Option } from "commander";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** The lines for a shell's own start-up file, or for its directory of completions. */
export function completionScript(shell: Shell): string {
  switch (shell) {
    case "bash":
      return `_everruns() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(everruns __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _everruns everruns`;
    case "zsh":
      return `#compdef everruns
_everruns() {
  local -a found
  found=(\${(f)"$(everruns __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  (( \${#found} )) && compadd -a found || _files
}
compdef _everruns everruns`;
    case "fish":
      return `complete -c everruns -f -a '(everruns __complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
complete -c everruns -s f -l file -r -F`;
  }
}

/**
 * PURE: what may stand in the place of the last word.
 *
 * @param words  those after the program's name; the last one is being typed and may be empty
 */
export function candidates(program: Command, words: readonly string[]): string[] {
  const typed = words.at(-1) ?? "";
  let command = program;
  let awaiting: Option | undefined;
  let argument = 0;
  for (const word of words.slice(0, -1)) {
    if (awaiting) {
      awaiting = undefined;
      continue;
    }
    if (word.startsWith("-")) {
      const option = optionsOf(command).find(({ short, long }) => word === short || word === long);
      if (option && (option.required || option.optional)) awaiting = option;
      continue;
    }
    const child = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (child) command = child;
    else argument += 1;
  }
  return offered(command, { awaiting, argument, typed }).filter((word) => word.startsWith(typed));
}

function offered(
  command: Command,
  { awaiting, argument, typed }: { awaiting: Option | undefined; argument: number; typed: string },
): string[] {
  if (awaiting) return [...(awaiting.argChoices ?? [])];
  if (typed.startsWith("-")) return optionsOf(command).flatMap(({ long, short }) => long ?? short ?? []);
  const children = command.commands.map((each) => each.name()).filter((name) => !name.startsWith("__"));
  return [...children, ...(command.registeredArguments[argument]?.argChoices ?? [])];
}

/** Of a command, and of the one that it stands for when its verb is left out: `agents -o` is `agents list -o`. */
function optionsOf(command: Command): readonly Option[] {
  const byDefault = command.commands.find((each) => each.name() === "list");
  return [...command.options, ...(byDefault?.options ?? [])];
}
