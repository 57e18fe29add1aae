/** Guardrails on the wire: trying a configuration on a text, and examples to begin with. */
import { z } from "zod";
import { UserError } from "../../base/errors.ts";
import { createGuardrails, GuardrailsConfig } from "../../capabilities/guardrail-checks.ts";
import { GUARDRAIL_EXAMPLES, type GuardrailExampleFields } from "../../capabilities/guardrail-examples.ts";
import {
  type GuardrailExample,
  GuardrailExamplesResponse,
  GuardrailsDryRunRequest,
  GuardrailsDryRunResponse,
} from "../../contract/guardrail.ts";
import { limits } from "../../contract/limits.ts";
import { requireJsonBytes } from "../agents/layer.ts";
import { present, reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

export function guardrailRoutes(): Route[] {
  return [
    defineRoute({
      method: "POST",
      path: "/capabilities/guardrails/dry-run",
      operationId: "dry_run_guardrails",
      tag: "capabilities",
      summary: "Try guardrails on a text",
      description:
        "Nothing is stored and no model is asked. Checks are `regex` (a pattern matches within a line; `(?i)` in front " +
        "makes it blind to case), `blocklist` (a word occurs) and `tool_pattern` (the tool's name matches, stage " +
        "`tool_use`). In the mode `advisory` hits are only logged. In a turn the capability `guardrails` checks answers, " +
        "calls, and results of the server's tools (not those that a client sends); hits go to the server's log. While a " +
        "check may block answers, they come whole and not in deltas.",
      access: "read",
      body: GuardrailsDryRunRequest,
      responses: { 200: GuardrailsDryRunResponse },
      problems: ["limit_exceeded"],
      async run({ body }) {
        requireJsonBytes("config", body.config, limits.guardrailConfigBytesMax);
        const config = GuardrailsConfig.safeParse(body.config);
        if (!config.success) {
          throw new UserError(
            "invalid_request",
            `config: ${z.prettifyError(config.error).replace(/\s*\n\s*/g, " ")}`,
          );
        }
        const hits = createGuardrails(config.data).evaluate({
          stage: body.stage,
          text: body.text,
          toolName: body.tool_name ?? null,
        });
        return reply(200, {
          blocked: hits.some((hit) => hit.action === "block"),
          hits: hits.map((hit) => present(hit)),
        });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/capabilities/guardrails/examples",
      operationId: "list_guardrail_examples",
      tag: "capabilities",
      summary: "Guardrails to begin with",
      description:
        "Put the `config` of one into the capability `guardrails` of an agent, a harness or a session.",
      responses: { 200: GuardrailExamplesResponse },
      run: async () => reply(200, { examples: GUARDRAIL_EXAMPLES.map(exampleToWire) }),
    }),
  ];
}

function exampleToWire(example: GuardrailExampleFields): GuardrailExample {
  const checks = example.config.checks ?? [];
  return {
    ...example,
    check_types: [...new Set(checks.map((check) => check.type))],
    stages: [...new Set(checks.map((check) => check.stage))],
    data_egress: "none",
    config: { ...example.config },
  };
}
