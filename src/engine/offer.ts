/**
 * PURE: what a turn's configuration brings to each of its model calls, the conversation aside: the system prompt and
 * the tools. The engine calls models with it, and the context report counts it.
 */
import type { ToolDefinition } from "../contract/common.ts";
import type { TurnPlan } from "./plan.ts";
import type { EngineDeps, OfferedTool } from "./scope.ts";

export interface Offer {
  systemPrompt: string;
  /** Server tools by name; none that a client-side tool stands in for. */
  tools: ReadonlyMap<string, OfferedTool>;
  clientTools: ReadonlyMap<string, ToolDefinition>;
}

/** @param locale  of the turn, else of the session */
export const localePrompt = (locale: string): string =>
  `The user's locale is ${locale}. Answer in its language, unless you are asked for another.`;

export function offerOf(
  plan: TurnPlan,
  capabilities: Pick<ReturnType<EngineDeps["resolveCapabilities"]>, "prompt" | "tools">,
  locale: string | null,
): Offer {
  const clientTools = new Map(plan.clientTools.map((tool) => [tool.name, tool]));
  return {
    systemPrompt: [plan.systemPrompt, capabilities.prompt, locale === null ? "" : localePrompt(locale)]
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
