/**
 * `guardrails`: checks on what an agent says, calls and gets back. What a check is, is in guardrail-checks.ts; the
 * engine asks them where the text passes (engine/guard.ts).
 */
import { defineCapability } from "./capability.ts";
import { createGuardrails, GuardrailsConfig } from "./guardrail-checks.ts";

export const guardrails = defineCapability({
  id: "guardrails",
  name: "Guardrails",
  description:
    "Checks answers, tool calls and tool results against patterns, words and names of tools, and blocks or logs what they find.",
  category: "Safety",
  icon: "shield-alert",
  isGuardrail: true,
  config: GuardrailsConfig,
  tools: () => [],
  guard: (config) => (config.checks.length === 0 ? null : createGuardrails(config)),
});
