/**
 * Shell completion. What a shell gets is a few lines that ask this program with every Tab; the answers come from the
 * commands themselves, so that there is no list to keep, and from the server where a word names one of its objects.
 */
import type { Argument, Command, Option } from "commander";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** One answer: a line of `word`, or of `word<tab>what it is`. */
export interface Candidate {
  word: string;
  about?: string;
}

/** The answer where a file of this machine is meant: the shell offers its own. Nowhere else does it. */
const FILES: Candidate = { word: ":files" };

/**
 * The lines for a shell's own start-up file, or for its directory of completions. No shell may evaluate a candidate:
 * some come from a server.
 */
export function completionScript(shell: Shell): string {
  switch (shell) {
    case "bash":
      // bash takes words apart at every colon, and replaces only what stands behind the last one.
      return `_everruns() {
  local word line tab=$'\\t' before=""
  local -a words=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if [[ \${#words[@]} -gt 0 && $COMP_WORDBREAKS == *:* && ( $word == :* || \${words[-1]} == *: ) ]]; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
  done
  [[ $COMP_WORDBREAKS == *:* && \${words[-1]} == *:* ]] && before=\${words[-1]%:*}:
  COMPREPLY=()
  while IFS= read -r line; do
    line=\${line%%"$tab"*}
    [[ $line == ${FILES.word} ]] && { compopt -o default; continue; }
    COMPREPLY+=("\${line#"$before"}")
  done < <(everruns __complete "\${words[@]}" 2>/dev/null)
}
complete -F _everruns everruns`;
    case "zsh":
      return `#compdef everruns
_everruns() {
  local word about text
  local -a found shown
  while IFS=$'\\t' read -r word about; do
    if [[ $word == ${FILES.word} ]]; then
      compset -P '--*='
      _files
      return
    fi
    found+=("$word")
    printf -v text '%-20s  %s' "$word" "$about"
    shown+=("$text")
  done < <(everruns __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( \${#found} )) && compadd -l -d shown -a found
}
if [ "\${funcstack[1]}" = _everruns ]; then _everruns "$@"; else compdef _everruns everruns; fi`;
    case "fish":
      return `function __everruns_complete
    set -l found (everruns __complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)
    if test "$found" = ${FILES.word}
        __fish_complete_path (commandline -ct)
    else if test (count $found) -gt 0
        printf '%s\\n' $found
    end
end
complete -c everruns -f -a '(__everruns_complete)'`;
  }
}

/** Where a word is being typed. */
export interface Place {
  command: Command;
  /** The beginning of the word, without `--flag=`. */
  typed: string;
  /** `--flag=`, when the word begins with it. */
  prefix: string;
  /** The flag whose value the word is. */
  option: Option | null;
  /** The argument that the word is; null where there is none. */
  argument: Argument | null;
  /** The arguments before it. */
  before: readonly string[];
  /** Values of the flags before it, by their long names. */
  flags: Readonly<Record<string, string>>;
}

/**
 * PURE: reads a line that is being typed.
 *
 * @param words  those after the program's name; the last one is being typed and may be empty
 */
export function placeOf(program: Command, words: readonly string[]): Place {
  let command = program;
  let option: Option | null = null;
  const before: string[] = [];
  const flags: Record<string, string> = {};
  // bash hands over --flag=value as three words.
  const whole = words.slice(0, -1).filter((word) => word !== "=");
  for (const word of whole) {
    if (option !== null) {
      flags[option.long ?? ""] = word;
      option = null;
      continue;
    }
    if (word.startsWith("-") && word !== "-") {
      const [name = "", value] = splitFlag(word);
      const found = optionNamed(command, name);
      if (found !== undefined && value !== undefined) flags[found.long ?? ""] = value;
      else if (found !== undefined && (found.required || found.optional)) option = found;
      continue;
    }
    const child = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (child) command = child;
    else before.push(word);
  }
  const last = words.at(-1) ?? "";
  const [name = "", value] = splitFlag(last);
  const own = value === undefined ? undefined : optionNamed(command, name);
  const place = { command, before, flags, prefix: "", typed: last === "=" ? "" : last, option };
  if (own !== undefined) {
    return { ...place, typed: value ?? "", prefix: `${name}=`, option: own, argument: null };
  }
  const known = command.registeredArguments;
  const at = known[before.length] ?? (known.at(-1)?.variadic ? known.at(-1) : undefined);
  return { ...place, argument: option === null && !last.startsWith("-") ? (at ?? null) : null };
}

/** PURE: what the commands themselves offer at a place. */
export function candidates({ command, option, argument, typed, prefix }: Place): Candidate[] {
  if (isOfFiles(option, argument)) return [FILES];
  return offered({ command, option, argument, typed })
    .filter(({ word }) => word.startsWith(typed))
    .map((each) => ({ ...each, word: prefix + each.word }));
}

function offered({
  command,
  option,
  argument,
  typed,
}: Pick<Place, "command" | "option" | "argument" | "typed">): Candidate[] {
  if (option !== null) return (option.argChoices ?? []).map((word) => ({ word }));
  if (typed.startsWith("-")) {
    return optionsOf(command).map(({ long, short, description }) => ({
      word: long ?? short ?? "",
      about: description,
    }));
  }
  const children = command.commands
    .filter((each) => !each.name().startsWith("__"))
    .map((each) => ({ word: each.name(), about: each.summary() || each.description() }));
  return [...children, ...(argument?.argChoices ?? []).map((word) => ({ word }))];
}

/** `--file <path>`, `<files...>`; a `<path>` that is an argument is one of the server's. */
const isOfFiles = (option: Option | null, argument: Argument | null): boolean =>
  option === null ? argument?.name() === "files" : /[<[]path[>\]]/.test(option.flags);

/** Of a command, and of the one that it stands for when its verb is left out: `agents -o` is `agents list -o`. */
function optionsOf(command: Command): readonly Option[] {
  const byDefault = command.commands.find((each) => each.name() === "list");
  return [...command.options, ...(byDefault?.options ?? [])];
}

const optionNamed = (command: Command, name: string): Option | undefined =>
  optionsOf(command).find(({ short, long }) => name === short || name === long);

/** `--output=js` → `--output`, `js`; no value for anything else. */
function splitFlag(word: string): [string, string?] {
  const [, name, value] = /^(--[\w-]+)=(.*)$/s.exec(word) ?? [];
  return name === undefined ? [word] : [name, value ?? ""];
}
