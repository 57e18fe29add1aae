import type { CreateHarnessRequest } from "../../contract/harness.ts";

/** A harness to begin with; `parent_name` is that of a built-in one. */
export interface HarnessExampleFields extends CreateHarnessRequest {
  display_name: string;
  description: string;
  system_prompt: string;
  parent_name: string;
  capabilities: { ref: string; config?: unknown }[];
  tags: string[];
}

/** `POST /v1/harnesses/import?from-example=<name>`. */
export const HARNESS_EXAMPLES: readonly HarnessExampleFields[] = [
  {
    name: "table-analyst",
    display_name: "Table analyst",
    description: "Answers questions from tables and text in files, and shows how it came to the answer.",
    parent_name: "generic",
    tags: ["example", "data"],
    capabilities: [{ ref: "session_file_system" }],
    initial_files: [
      {
        path: "/analysis/README.md",
        content:
          "# Analysis\n\nOne file for each question: what was asked, which rows it rests on, the result.\n",
      },
    ],
    system_prompt:
      "You answer questions from data in files. Look at the columns and at some rows before you draw conclusions, and " +
      "say what looks wrong in them. Write each question, the rows that its answer rests on and the result into a file " +
      "below /analysis. Never invent a number: what the data does not say, you say it does not.",
  },
  {
    name: "careful-worker",
    display_name: "Careful worker",
    description: "Works by itself, and waits for a person before whatever cannot be taken back.",
    parent_name: "worker",
    tags: ["example"],
    capabilities: [{ ref: "tool_approval", config: { mode: "normal" } }],
    system_prompt:
      "Calls that destroy something or reach beyond the session wait for a person's approval: say beforehand what you " +
      "are about to do and why. When one is refused, do not try it in another way.",
  },
  {
    name: "offline-notes",
    display_name: "Offline notes",
    description: "Files and the clock only; nothing leaves the session.",
    parent_name: "base",
    tags: ["example"],
    capabilities: [{ ref: "session_file_system" }, { ref: "current_time" }],
    network_access: { allowed: ["nothing.invalid"] },
    system_prompt:
      "You keep notes in files, one for each subject, with the date before each entry. Before you answer, look into them.",
  },
];
