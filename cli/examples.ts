/** Examples at the end of the help of commands that have none where they are defined. */
import type { EventEmitter } from "node:events";
import type { Command } from "commander";
import { CATALOG, type Resource } from "../src/client/resources.ts";

/** By the words of the command. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  monitor: ["everruns monitor", "everruns monitor --readonly --context prod"],
  logout: ["everruns logout", "everruns logout --context prod"],
  whoami: ["everruns whoami", "everruns whoami --json | jq -r .email"],
  contexts: ["everruns contexts", "everruns contexts use prod", "everruns contexts remove test"],
  doctor: ["everruns doctor", "everruns doctor --probe", "everruns doctor --json | jq -r .next"],
  config: ["everruns config", "everruns config --port 9100 --json"],
  version: ["everruns version"],
  "events list": [
    "everruns events list session_0198…",
    "everruns events list session_0198… -t 'tool.*' -o json",
  ],
  "events tail": [
    "everruns events tail session_0198… --all -o json | jq -r .type",
    "everruns events tail session_0198… -x output.message.delta",
  ],
  "messages list": [
    "everruns messages list session_0198…",
    "everruns messages list session_0198… -o json | jq '.[-1]'",
  ],
  "messages send": [
    'everruns messages send session_0198… "Go on."',
    "git diff | everruns messages send session_0198… --delivery queue",
  ],
  "files list": ["everruns files list session_0198… -r", "everruns files list mem_0198… /notes"],
  "files get": ["everruns files get session_0198… /report.md > report.md"],
  "files put": ["everruns files put session_0198… /data.csv -f data.csv"],
  "files delete": ["everruns files delete session_0198… /notes -r --yes"],
  "sessions create": ["everruns sessions create --set agent_id=agent_0198… --set title=Triage"],
  "sessions fork": ["everruns sessions fork session_0198… --at 12"],
  "sessions diff": ["everruns sessions diff session_0198… session_0199…"],
  "runs list": [
    "everruns runs",
    "everruns runs --status failed -o id | xargs everruns runs retry",
    "everruns runs --watch -o json | jq -r .status",
  ],
  "approvals approve": [
    "everruns approvals approve approval_0198…",
    "everruns approvals --status pending -o id | xargs everruns approvals approve",
  ],
  "budgets create": [
    "everruns budgets create --set subject_type=agent --set subject_id=agent_0198… --set currency=usd --set limit=5",
  ],
  "budgets top-up": ["everruns budgets top-up budget_0198… --set amount=5"],
  "skills create": ["everruns skills create -f release-notes/SKILL.md"],
  "skills update": ["everruns skills update skill_0198… -f release-notes/SKILL.md"],
};

/** To every command below this one whose help shows none yet. */
export function addExamples(command: Command, path: readonly string[] = []): void {
  for (const child of command.commands) {
    const words = [...path, child.name()];
    addExamples(child, words);
    const own = EXAMPLES[words.join(" ")];
    // What commander keeps of addHelpText.
    const isTold = (child as unknown as EventEmitter).listenerCount("afterHelp") > 0;
    const lines = own ?? (isTold ? [] : generalExample(words));
    if (lines.length === 0) continue;
    child.addHelpText("after", `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`);
  }
}

/** What one may be called. */
const NAMES: Readonly<Record<string, string>> = {
  agents: "triage",
  harnesses: "house",
  providers: "openai",
  skills: "release-notes",
  "mcp-servers": "search",
  memories: "house-rules",
  schedules: "nightly",
};

/** Of a verb that many kinds have. */
function generalExample([name = "", verb = ""]: readonly string[]): string[] {
  const resource = CATALOG.find((each) => each.name === name);
  if (resource === undefined || verb === "") return [];
  const call = `everruns ${name} ${verb}`;
  const which = NAMES[name] ?? "<id>";
  const [field = "name"] = resource.editable ?? [];
  switch (verb) {
    case "list":
      return [call, `${call} -o id`, `${call} --watch`];
    case "get":
      return [`${call} ${which} -o yaml`];
    case "create":
      return [`${call} -f ${fileOf(resource)}`];
    case "update":
      return [`${call} ${which} -f ${fileOf(resource)}`, `${call} ${which} --set ${field}=…`];
    case "delete":
      return [`${call} ${which}${resource.deletes === "archives" ? "" : " --yes"}`];
    default:
      return [`${call} ${which}`];
  }
}

/** What a file with one is called. */
export const fileOf = ({ one, textField }: Resource): string =>
  textField === undefined ? `${one.toLowerCase().replaceAll(" ", "-")}.yaml` : "SKILL.md";
