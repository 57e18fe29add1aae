/** What the three protocols have in common on the way out. */
import { createHash } from "node:crypto";
import { modelProfile, REASONING_EFFORTS } from "../contract/model-profile.ts";
import type { ModelRequest, UserPart } from "./driver.ts";

/** An inline image as the `data:` URL that the OpenAI protocols take. */
export function imageUrl(part: Exclude<UserPart, { type: "text" }>): string {
  return part.type === "image_url" ? part.url : `data:${part.mediaType};base64,${part.data}`;
}

/**
 * The arguments of an earlier call as an object, to be shown to the model again. What it wrote badly comes back
 * under one name, whole, so that it can see its mistake; vendors refuse a request that carries broken JSON.
 */
export function replayedArguments(json: string): Record<string, unknown> {
  if (json.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Falls through to the same answer as for JSON that is not an object.
  }
  return { malformed_arguments: json };
}

/**
 * The reasoning effort to ask for, or null to ask for none. A known model without reasoning gets none; one that
 * lacks the wanted step gets the nearest that it has, because a session may change its model at any time.
 */
export function effortFor(request: ModelRequest): string | null {
  const wanted = request.reasoningEffort;
  if (wanted === null) return null;
  const profile = modelProfile(request.model);
  if (!profile) return wanted;
  const values = profile.reasoning_effort?.values.map(({ value }) => value) ?? [];
  const rank = (effort: string) => (REASONING_EFFORTS as readonly string[]).indexOf(effort);
  let nearest: string | null = null;
  for (const value of values) {
    const distance = Math.abs(rank(value) - rank(wanted));
    if (nearest === null || distance < Math.abs(rank(nearest) - rank(wanted))) nearest = value;
  }
  return nearest;
}

/** True when the model is known to reason, or is named as the vendor names those that do. */
export function isReasoningModel(model: string): boolean {
  return modelProfile(model)?.reasoning ?? /^(o\d|gpt-([6-9]|5(?!-chat)))/.test(model);
}

/** A tool call id for servers that give none: the same request gets the same ids after a crash. */
export function madeUpCallId(idempotencyKey: string, index: number): string {
  return `call_${shortHash(idempotencyKey)}_${index}`;
}

export function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 24);
}

/** JSON Schema of a tool's input, with the one word that every vendor requires. */
export function inputSchema(
  parameters: Record<string, unknown>,
): Record<string, unknown> & { type: "object" } {
  return { properties: {}, ...parameters, type: "object" };
}
