/** Guardrails to begin with: whoever adopts one puts its `config` into the capability `guardrails` of an agent. */
import type { z } from "zod";
import type { GuardrailsConfig } from "./guardrail-checks.ts";

export interface GuardrailExampleFields {
  name: string;
  display_name: string;
  description: string;
  tags: string[];
  config: z.input<typeof GuardrailsConfig>;
}

const KEYS = [
  "AKIA[0-9A-Z]{16}",
  "sk-(ant-|proj-)?[A-Za-z0-9_-]{20,}",
  "gh[pousr]_[A-Za-z0-9]{36}",
  "xox[abpr]-[A-Za-z0-9-]{10,}",
  "evr_(pat_)?[A-Za-z0-9]{20,}",
  "-----BEGIN [A-Z ]*PRIVATE KEY-----",
];

export const GUARDRAIL_EXAMPLES: readonly GuardrailExampleFields[] = [
  {
    name: "secrets",
    display_name: "Keys and secrets",
    description: "Blocks answers and tool results that carry API keys or private keys.",
    tags: ["secrets", "security"],
    config: {
      checks: [
        {
          id: "secrets-in-answers",
          type: "regex",
          stage: "output",
          patterns: KEYS,
          replacement: "The answer was held back: it contained what looks like a secret.",
        },
        {
          id: "secrets-in-results",
          type: "regex",
          stage: "tool_output",
          patterns: KEYS,
          replacement: "The result was held back: it contained what looks like a secret.",
        },
      ],
    },
  },
  {
    name: "personal-data",
    display_name: "Personal data",
    description:
      "Notes mail addresses, card and social security numbers in answers; only logs, as numbers look alike.",
    tags: ["privacy"],
    config: {
      checks: [
        {
          id: "email",
          type: "regex",
          stage: "output",
          on_fail: "log",
          patterns: ["[\\w.+-]+@[\\w-]+\\.[\\w.-]+"],
        },
        {
          id: "card-number",
          type: "regex",
          stage: "output",
          on_fail: "log",
          patterns: ["\\b\\d{4}[ -]?\\d{4}[ -]?\\d{4}[ -]?\\d{4}\\b"],
        },
        {
          id: "social-security-number",
          type: "regex",
          stage: "output",
          on_fail: "log",
          patterns: ["\\b\\d{3}-\\d{2}-\\d{4}\\b"],
        },
      ],
    },
  },
  {
    name: "dangerous-commands",
    display_name: "Dangerous commands",
    description:
      "Refuses calls whose arguments would wipe disks, fetch and run scripts, or open everything to everybody.",
    tags: ["security", "shell"],
    config: {
      checks: [
        {
          id: "dangerous-commands",
          type: "regex",
          stage: "tool_use",
          patterns: [
            "rm\\s+-[a-zA-Z]*[rR][a-zA-Z]*\\s+(/|~|\\*)",
            "mkfs\\.",
            "dd\\s+[^|]*of=/dev/",
            "(curl|wget)[^|]*\\|\\s*(sudo\\s+)?(ba|z)?sh",
            "chmod\\s+(-R\\s+)?777",
          ],
          replacement: "This command is not run here. Say what it was meant to achieve instead.",
        },
      ],
    },
  },
  {
    name: "no-shell",
    display_name: "No shell",
    description: "Refuses every call of a shell.",
    tags: ["security", "shell"],
    config: {
      checks: [{ id: "no-shell", type: "tool_pattern", stage: "tool_use", tools: ["bash", "*shell*"] }],
    },
  },
  {
    name: "foreign-instructions",
    display_name: "Instructions in foreign text",
    description: "Notes tool results that try to give the agent orders; only logs, as people write so, too.",
    tags: ["prompt-injection"],
    config: {
      checks: [
        {
          id: "foreign-instructions",
          type: "blocklist",
          stage: "tool_output",
          on_fail: "log",
          words: [
            "ignore previous instructions",
            "ignore all previous instructions",
            "disregard the above",
            "you are now",
            "reveal your system prompt",
          ],
        },
      ],
    },
  },
];
