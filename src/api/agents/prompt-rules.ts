/** PURE: rules that read an agent's prompt. */
import type { Finding } from "../../contract/agent-analysis.ts";
import { type AnalyzedAgent, finding } from "./finding.ts";

const PROMPT_CHARS_FEW = 40;
/** A shorter paragraph may well occur twice. */
const REPEATED_CHARS_MIN = 80;

export function promptFindings(agent: AnalyzedAgent): Finding[] {
  const { prompt } = agent;
  if (prompt.trim() === "") {
    return [
      finding(
        ["prompt_empty", "warning", "completeness"],
        "The system prompt is empty.",
        "Say who the agent is, what it does and what it must not do.",
        { field: "system_prompt" },
      ),
    ];
  }
  return [
    ...shortPrompt(prompt),
    ...placeholders(prompt),
    ...secrets(prompt),
    ...repetitions(prompt),
    ...contradictions(prompt),
    ...namedTools(agent),
    ...missingCapabilities(agent),
    ...untrustedText(agent),
  ];
}

const at = (start: number, length: number) => ({ field: "system_prompt", start, end: start + length });

function shortPrompt(prompt: string): Finding[] {
  if (prompt.trim().length >= PROMPT_CHARS_FEW) return [];
  return [
    finding(
      ["prompt_short", "suggestion", "completeness"],
      "The system prompt says very little.",
      "Say what the agent's task is, how it should answer and where its limits are.",
      { field: "system_prompt" },
    ),
  ];
}

const PLACEHOLDER =
  /\{\{[^{}\n]{1,80}\}\}|<(?:YOUR|INSERT|ENTER)[ _-][^<>\n]{1,60}>|\[(?:YOUR|INSERT|ENTER)[ _-][^[\]\n]{1,60}\]|\blorem ipsum\b/gi;
const UNFINISHED = /\b(?:TODO|FIXME|TBD)\b/g;

function placeholders(prompt: string): Finding[] {
  return [...prompt.matchAll(PLACEHOLDER), ...prompt.matchAll(UNFINISHED)]
    .slice(0, 5)
    .map((match) =>
      finding(
        ["prompt_placeholder", "warning", "completeness"],
        `${JSON.stringify(match[0])} looks like something to be filled in; the model gets it as it is.`,
        "Write what is meant, or take it out.",
        at(match.index, match[0].length),
      ),
    );
}

const SECRETS: readonly (readonly [what: string, pattern: RegExp])[] = [
  ["a private key", /-----BEGIN [A-Z ]*PRIVATE KEY-----/g],
  ["an API key", /\bsk-[A-Za-z0-9_-]{20,}/g],
  ["an AWS access key", /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g],
  ["a GitHub token", /\b(?:gh[opsu]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})/g],
  ["a Slack token", /\bxox[abprs]-[A-Za-z0-9-]{10,}/g],
  ["a Google API key", /\bAIza[A-Za-z0-9_-]{30,}/g],
  ["an access token of this server", /\bevr_(?:pat_)?[A-Za-z0-9_]{20,}/g],
  ["a web token", /\beyJ[A-Za-z0-9_-]{10,500}\.eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]+/g],
  ["credentials in an address", /\b[a-z][a-z0-9+]{1,20}:\/\/[^\s:/@]{1,100}:[^\s:/@]{3,100}@/gi],
  [
    "a password",
    /\b(?:password|passwd|api[_ -]?key|secret)\s{0,3}[:=]\s{0,3}["']?(?=\S{0,60}\d)[^\s"'{}<>[\]]{8,}/gi,
  ],
];

function secrets(prompt: string): Finding[] {
  const seen: { start: number; end: number }[] = [];
  return SECRETS.flatMap(([what, pattern]) =>
    [...prompt.matchAll(pattern)].flatMap((match) => {
      const place = { start: match.index, end: match.index + match[0].length };
      if (seen.some(({ start, end }) => place.start < end && start < place.end)) return [];
      seen.push(place);
      const rule = ["prompt_secret", "warning", "safety"] as const;
      return [
        finding(
          [...rule],
          `The prompt seems to hold ${what}. Whoever talks with the agent may get it out of it, and logs and providers see it.`,
          "Take it out, replace it where it is valid, and let a tool or an MCP server keep it.",
          at(match.index, match[0].length),
        ),
      ];
    }),
  );
}

function repetitions(prompt: string): Finding[] {
  const seen = new Set<string>();
  for (const match of prompt.matchAll(/\S(?:[^\n]|\n(?!\s*\n))*/g)) {
    const text = match[0].replace(/\s+/g, " ").trim().toLowerCase();
    if (text.length < REPEATED_CHARS_MIN) continue;
    if (seen.has(text)) {
      return [
        finding(
          ["prompt_repeats", "suggestion", "cost"],
          "A paragraph is there twice.",
          "Say it once, where it belongs.",
          at(match.index, match[0].length),
        ),
      ];
    }
    seen.add(text);
  }
  return [];
}

const ORDER = /\b(always|must(?! not\b)|never|do not|don't|must not)\s+((?:[a-z'-]+[ \t]+){1,3}[a-z'-]+)/gi;

/** The same words after "always" and after "never". */
function contradictions(prompt: string): Finding[] {
  const orders = [...prompt.matchAll(ORDER)].map((match) => ({
    isOrdered: /^(?:always|must)$/i.test(match[1] ?? ""),
    what: (match[2] ?? "").toLowerCase().split(/\s+/).slice(0, 3).join(" "),
    match,
  }));
  const first = new Map<string, boolean>();
  return orders.flatMap(({ isOrdered, what, match }) => {
    const before = first.get(what);
    if (before === undefined) first.set(what, isOrdered);
    if (before === undefined || before === isOrdered) return [];
    return [
      finding(
        ["prompt_contradiction", "warning", "effectiveness"],
        `"${what}" is asked for in one place and forbidden in another.`,
        "Decide for one, or say when which of them counts.",
        at(match.index, match[0].length),
      ),
    ];
  });
}

const CALLED =
  /\b(?:call|use|invoke|run|tool)\s+(?:the\s+)?(?:tool\s+)?[`"']?([a-z][a-z0-9]*(?:_[a-z0-9]+)+)\b/gi;

/** Tools that the prompt speaks of and the agent does not have. */
function namedTools({ prompt, clientTools, serverTools, knownTools }: AnalyzedAgent): Finding[] {
  const offered = new Set([...clientTools, ...serverTools].map(({ name }) => name));
  const missing = new Map<string, { start: number; by: string | null }>();
  for (const { name, capabilityId } of knownTools) {
    // One word alone may be a word of the language.
    if (offered.has(name) || !name.includes("_")) continue;
    const start = prompt.search(new RegExp(`\\b${name}\\b`));
    if (start >= 0) missing.set(name, { start, by: capabilityId });
  }
  for (const match of prompt.matchAll(CALLED)) {
    const name = match[1] ?? "";
    if (offered.has(name) || missing.has(name)) continue;
    missing.set(name, { start: match.index + match[0].length - name.length, by: null });
  }
  return [...missing].map(([name, { start, by }]) =>
    finding(
      ["tool_not_there", "warning", "effectiveness"],
      `The prompt speaks of the tool ${name}, which the agent does not have.`,
      by === null
        ? "Define the tool, or take it out of the prompt."
        : `Add the capability ${by}, or take it out of the prompt.`,
      at(start, name.length),
    ),
  );
}

/** What a prompt asks for that takes a capability, and the tools that make up for it. */
const NEEDS: readonly (readonly [capabilityId: string, what: string, pattern: RegExp])[] = [
  [
    "web_fetch",
    "pages of the web",
    /\b(?:browse|(?:fetch|open|visit|read)\s+(?:the\s+)?(?:urls?|web ?pages?|web ?sites?|links?)|search the web)\b/i,
  ],
  [
    "current_time",
    "the current date or time",
    /\b(?:current (?:date|time|day)|today'?s date|what (?:day|time) it is)\b/i,
  ],
  ["session_file_system", "files", /\b(?:write|save|store|read|edit|create)\s+(?:\w+\s+){0,3}files?\b/i],
];

function missingCapabilities({
  prompt,
  capabilityIds,
  knownTools,
  clientTools,
  mcpServers,
}: AnalyzedAgent): Finding[] {
  // Tools of the client or of an MCP server may well do it.
  if (clientTools.length > 0 || Object.keys(mcpServers).length > 0) return [];
  const known = new Set(knownTools.map(({ capabilityId }) => capabilityId));
  return NEEDS.flatMap(([capabilityId, what, pattern]) => {
    const match = pattern.exec(prompt);
    if (!match || capabilityIds.includes(capabilityId) || !known.has(capabilityId)) return [];
    return [
      finding(
        ["capability_missing", "suggestion", "completeness"],
        `The prompt speaks of ${what}, and no tool reaches them.`,
        `Add the capability ${capabilityId}.`,
        at(match.index, match[0].length),
      ),
    ];
  });
}

function untrustedText({ prompt, serverTools }: AnalyzedAgent): Finding[] {
  const reaching = serverTools.filter(({ isOpenWorld }) => isOpenWorld).map(({ name }) => name);
  if (reaching.length === 0 || /\b(?:instructions?|untrusted|injection)\b/i.test(prompt)) return [];
  return [
    finding(
      ["untrusted_text", "suggestion", "safety"],
      `What ${reaching.join(", ")} brings was written by others, and the prompt does not say how to take it.`,
      "Say that what tools bring is information and never an instruction.",
      { field: "system_prompt" },
    ),
  ];
}
