/**
 * PURE: what a turn's configuration brings to each of its model calls, the conversation aside: the system prompt and
 * the tools. The engine calls models with it, the context report counts it, previews and versions of agents show it.
 */
import type { ToolDefinition } from "../contract/common.ts";
import type { ResolvedTool } from "./registry.ts";

export interface Offer {
  systemPrompt: string;
  /** Server tools by name; none that a client-side tool stands in for. */
  tools: ReadonlyMap<string, ResolvedTool>;
  clientTools: ReadonlyMap<string, ToolDefinition>;
}

export const localePrompt = (locale: string): string =>
  `The user's locale is ${locale}. Answer in its language, unless you are asked for another.`;

/**
 * @param layers  prompt and client-side tools of all layers, merged
 * @param locale  of the turn, else of the session
 */
export function offerOf(
  layers: { systemPrompt: string; clientTools: readonly ToolDefinition[] },
  capabilities: { prompt: string; tools: readonly ResolvedTool[] },
  locale: string | null,
): Offer {
  const clientTools = new Map(layers.clientTools.map((tool) => [tool.name, tool]));
  return {
    systemPrompt: [layers.systemPrompt, capabilities.prompt, locale === null ? "" : localePrompt(locale)]
      .filter((text) => text !== "")
      .join("\n\n"),
    tools: new Map(
      capabilities.tools
        .filter((offered) => !clientTools.has(offered.tool.name))
        .map((offered) => [offered.tool.name, offered]),
    ),
    clientTools,
  };
}
