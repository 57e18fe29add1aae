/**
 * What the next model call of a session would carry, counted as the engine counts it: the same configuration, the
 * same prompt and tools, the same part of the conversation.
 */

import { localePrompt, type Offer, offerOf } from "../capabilities/offer.ts";
import type { Event } from "../contract/event.ts";
import { modelProfile } from "../contract/model-profile.ts";
import type { ContextReport, ContextReportContribution } from "../contract/session-view.ts";
import { readNewestPage } from "../db/history.ts";
import { toLineage } from "../db/lineage.ts";
import { loadTurnConfig, type TurnConfig } from "../db/sessions.ts";
import { toolSpecs } from "./answer.ts";
import { readWindow } from "./conversation.ts";
import { modelMessages } from "./history.ts";
import { eventTokens, historyTokensMax, OMITTED_NOTE, tokensOf } from "./history-window.ts";
import { planTurn } from "./plan.ts";
import type { EngineDeps } from "./scope.ts";

type Deps = Pick<EngineDeps, "db" | "resolveCapabilities">;

/** @returns null when there is no such session */
export async function reportContext(
  { db, resolveCapabilities }: Deps,
  session: { organizationId: string; sessionId: string },
): Promise<ContextReport | null> {
  const config = await loadTurnConfig(db, { ...session, controlsModelId: null });
  if (config === null) return null;
  const plan = planTurn(config);
  const capabilities = resolveCapabilities(plan.capabilities);
  const offer = offerOf(plan, capabilities, config.session.locale);
  const model = config.model?.model.model_id ?? config.requestedModelId ?? "none";
  const newest = await readNewestPage(db, session.sessionId);
  const log = { id: session.sessionId, lineage: toLineage(config.session) };
  const shown = await readWindow(db, log, newest, {
    tokensMax: historyTokensMax(model, {
      system: offer.systemPrompt,
      tools: toolSpecs(offer).map((tool) => JSON.stringify(tool)),
    }),
    inputSequence: newest.upTo + 1,
  });
  const messages = modelMessages(shown.events);
  const sections = [
    section("system_prompt", "System prompt", promptParts(config, capabilities.prompts)),
    section("tools", "Tools", toolParts(offer)),
    { ...section("messages", "Conversation", messageParts(shown)), items: messages.length },
  ];
  const context = modelProfile(model)?.limits?.context ?? null;
  return {
    model,
    ...(context === null ? {} : { context_window_tokens: context }),
    estimated_input_tokens: sections.reduce((sum, one) => sum + one.tokens, 0),
    sections: sections.map(({ parts: _, ...rest }) => rest),
    contributions: sections.flatMap(({ parts }) => parts),
  };
}

interface Part {
  source_id: string;
  label: string;
  tokens: number;
}

function section(key: string, label: string, parts: readonly Part[]) {
  const contributions: ContextReportContribution[] = parts
    .filter((part) => part.tokens > 0)
    .map((part) => ({ section_key: key, ...part }));
  return {
    key,
    label,
    tokens: contributions.reduce((sum, part) => sum + part.tokens, 0),
    items: contributions.length,
    parts: contributions,
  };
}

/** Farthest layer first, as the prompt is joined; then the capabilities. */
function promptParts(
  { session, agent, harnesses }: TurnConfig,
  capabilities: readonly { capabilityId: string; capabilityName: string; text: string }[],
): Part[] {
  const layers = [
    ...harnesses
      .map(({ id, name, system_prompt }) => ({ id, label: `Harness ${name}`, system_prompt }))
      .reverse(),
    ...(agent ? [{ id: agent.id, label: `Agent ${agent.name}`, system_prompt: agent.system_prompt }] : []),
    { id: session.id, label: "Session", system_prompt: session.system_prompt },
  ];
  return [
    ...layers.map(({ id, label, system_prompt }) => ({
      source_id: id,
      label,
      tokens: tokensOf(system_prompt?.trim() ?? ""),
    })),
    ...capabilities.map(({ capabilityId, capabilityName, text }) => ({
      source_id: capabilityId,
      label: capabilityName,
      tokens: tokensOf(text),
    })),
    ...(session.locale === null
      ? []
      : [{ source_id: "locale", label: "Locale", tokens: tokensOf(localePrompt(session.locale)) }]),
  ];
}

function toolParts(offer: Offer): Part[] {
  return toolSpecs(offer).map((spec) => {
    const owner = offer.clientTools.has(spec.name)
      ? "client-side"
      : (offer.tools.get(spec.name)?.capabilityName ?? "");
    return { source_id: spec.name, label: `${spec.name} (${owner})`, tokens: tokensOf(JSON.stringify(spec)) };
  });
}

function messageParts({ events, isCut }: { events: readonly Event[]; isCut: boolean }): Part[] {
  const parts = new Map<string, Part>();
  const add = (source_id: string, label: string, tokens: number) => {
    const part = parts.get(source_id) ?? { source_id, label, tokens: 0 };
    parts.set(source_id, { ...part, tokens: part.tokens + tokens });
  };
  if (isCut) add("omitted", "Note that older messages are left out", tokensOf(JSON.stringify(OMITTED_NOTE)));
  for (const event of events) {
    const tokens = eventTokens(event);
    if (event.type === "input.message") add("user", "Messages of users", tokens);
    else if (event.type === "tool.completed") {
      add(`tool:${event.data.tool_name}`, `Results of ${event.data.tool_name}`, tokens);
    } else if (event.type === "reason.item") add("reasoning", "Reasoning", tokens);
    // What was said in a model's place about an error is not shown to it.
    else if (event.type === "output.message.completed" && event.data.error_code === undefined) {
      add("agent", "Answers and calls of the model", tokens);
    }
  }
  return [...parts.values()];
}
