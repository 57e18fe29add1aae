/**
 * PURE: what the simulated model answers when nobody has scripted it. It is there to show the house at work
 * without a key: it echoes, and when the words and the tools at hand allow it, it uses a tool and answers from
 * its result.
 */
import type { ModelMessage, ModelRequest, ToolSpec } from "./driver.ts";
import { plainStep, type SimStep, userText } from "./sim-script.ts";

export const SIM_MODELS = ["llmsim", "llmsim-echo", "llmsim-fixed"] as const;
export type SimModel = (typeof SIM_MODELS)[number];

export const FIXED_ANSWER = "This is the fixed answer of the simulated model.";

export function simAnswer(model: SimModel, request: ModelRequest): SimStep {
  if (model === "llmsim-fixed") return plainStep({ text: FIXED_ANSWER });
  const lastUser = request.messages.findLastIndex((message) => message.role === "user");
  const said = userText(request.messages[lastUser]);
  if (model === "llmsim-echo") return plainStep({ text: said });
  const results = request.messages.slice(lastUser + 1).filter((message) => message.role === "tool");
  if (results.length > 0) return plainStep({ text: results.map(answerFrom).join("\n\n") });
  const calls = toolCallsFor(said, request.tools);
  return calls.length > 0
    ? plainStep({ text: "Let me look.", tool_calls: calls })
    : plainStep({ text: echo(request) });
}

function echo(request: ModelRequest): string {
  const message = request.messages.findLast(({ role }) => role === "user");
  const said = userText(message).trim();
  const images = message?.role === "user" ? message.content.filter((part) => part.type !== "text").length : 0;
  const seen = images > 0 ? ` I see ${images} image${images === 1 ? "" : "s"}.` : "";
  const first = !request.messages.some(({ role }) => role === "assistant");
  const hint = first
    ? "\n\nI am llmsim, the simulated model: I repeat what I hear, and I can tell the time or use files when an " +
      "agent has those tools. Add a provider key to talk to a real model."
    : "";
  return `You said: ${said || "(nothing)"}${seen}${hint}`;
}

function answerFrom(message: ModelMessage): string {
  if (message.role !== "tool") return "";
  const name = message.toolName || "the tool";
  if (message.isError) return `${name} failed: ${message.content}`;
  return sentenceFor(name, parsed(message.content)) ?? `${name} says: ${readable(message.content)}`;
}

/** What the tools of the house answer, as a person would say it; null for any other. */
function sentenceFor(tool: string, result: Record<string, unknown>): string | null {
  const { local, weekday, timezone, path, size_bytes } = result;
  if (tool === "get_current_time" && typeof local === "string") {
    return `It is ${local.slice(11, 16)} on ${String(weekday)}, ${local.slice(0, 10)}, in ${String(timezone)}.`;
  }
  if (tool === "write_file" && typeof path === "string")
    return `I wrote ${path} (${String(size_bytes)} bytes).`;
  return null;
}

/** JSON with one telling field reads better as that field. */
function readable(content: string): string {
  const fields = parsed(content);
  for (const field of ["formatted", "local_time", "time", "content", "datetime", "text"]) {
    if (typeof fields[field] === "string") return fields[field];
  }
  return content;
}

function parsed(content: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(content);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

type Calls = SimStep["tool_calls"];

function toolCallsFor(said: string, tools: readonly ToolSpec[]): Calls {
  const tool = (name: string) => tools.find((known) => known.name === name);
  const time = tool("get_current_time");
  if (time && /\b(time|clock|date|today)\b|котра година|який час/i.test(said)) return timeCalls(said, time);
  const url = /https?:\/\/[^\s<>"')\]]+/.exec(said)?.[0];
  const fetch = tool("web_fetch");
  if (fetch && url) return [{ name: fetch.name, arguments: { url } }];
  return fileCalls(said, tool);
}

function timeCalls(said: string, tool: ToolSpec): Calls {
  const zones = CITIES.filter(([city]) => city.test(said)).map(([, zone]) => zone);
  const field = fieldOf(tool, ["timezone", "time_zone", "tz"]);
  if (!field || zones.length === 0) return [{ name: tool.name, arguments: {} }];
  return [...new Set(zones)].map((zone) => ({ name: tool.name, arguments: { [field]: zone } }));
}

function fileCalls(said: string, tool: (name: string) => ToolSpec | undefined): Calls {
  const paths = [...said.matchAll(PATH)].map((found) => String(found[1]));
  const [path] = paths;
  const absolute = path === undefined ? "/note.txt" : placeOf(path, paths);
  const isAboutFiles = path !== undefined || /\bfiles?\b/i.test(said);
  const write = tool("write_file");
  if (write && isAboutFiles && /\b(write|save|create|put|store)\b/i.test(said)) {
    const content = /["“”«]([^"“”«»]+)["“”»]/.exec(said)?.[1] ?? /\bwith\s+(.+)$/i.exec(said)?.[1] ?? said;
    return [{ name: write.name, arguments: { path: absolute, content } }];
  }
  const list = tool("list_directory");
  if (list && /\b(list|which|what)\b.*\bfiles\b/i.test(said))
    return [{ name: list.name, arguments: { path: "/" } }];
  const read = tool("read_file");
  if (read && isAboutFiles && /\b(read|show|open|print|see)\b/i.test(said)) {
    return [{ name: read.name, arguments: { path: absolute } }];
  }
  return [];
}

const PATH = /(?:^|\s|["'`(])(\/?[\w.-]+(?:\/[\w.-]+)*\.[A-Za-z]\w{1,7})\b/g;

/** A file that is called by its name, and whose whole path is said as well ("note.md is at /attachments/note.md"). */
function placeOf(path: string, said: readonly string[]): string {
  if (path.startsWith("/")) return path;
  return said.find((other) => other.startsWith("/") && other.endsWith(`/${path}`)) ?? `/${path}`;
}

function fieldOf(tool: ToolSpec, names: readonly string[]): string | null {
  const properties = tool.parameters.properties;
  if (typeof properties !== "object" || properties === null) return null;
  return names.find((name) => Object.hasOwn(properties, name)) ?? null;
}

const CITIES: readonly (readonly [RegExp, string])[] = [
  [/\b(kyiv|kiev)\b|ки[єї]в/i, "Europe/Kyiv"],
  [/\blondon\b/i, "Europe/London"],
  [/\bparis\b/i, "Europe/Paris"],
  [/\bberlin\b/i, "Europe/Berlin"],
  [/\bwarsaw\b/i, "Europe/Warsaw"],
  [/\bnew york\b/i, "America/New_York"],
  [/\bchicago\b/i, "America/Chicago"],
  [/\b(los angeles|san francisco|seattle)\b/i, "America/Los_Angeles"],
  [/\btokyo\b/i, "Asia/Tokyo"],
  [/\bsingapore\b/i, "Asia/Singapore"],
  [/\b(delhi|mumbai|bangalore)\b/i, "Asia/Kolkata"],
  [/\bsydney\b/i, "Australia/Sydney"],
  [/\butc\b|\bgmt\b/i, "UTC"],
];
