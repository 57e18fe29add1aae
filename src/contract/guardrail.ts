/** Guardrails: trying checks on a text, and sets of checks to begin with. */
import { limits } from "./limits.ts";
import { JsonObject, Maybe, OneOf, type Static, Type } from "./schema.ts";

const Stage = OneOf(["output", "tool_use", "tool_output"]);

export const GuardrailsDryRunRequest = Type.Object({
  /** As in the `config` of the capability `guardrails`. */
  config: JsonObject,
  stage: Stage,
  /** An answer, the arguments of a call as JSON, or a tool's result. */
  text: Type.String({ maxLength: limits.guardrailTextCharsMax }),
  tool_name: Maybe(Type.String({ maxLength: limits.displayNameCharsMax })),
});

export const GuardrailsDryRunHit = Type.Object({
  check_id: Type.String(),
  check_index: Type.Integer(),
  rule_type: Type.String(),
  stage: Stage,
  action: OneOf(["block", "log"]),
  reason_code: Type.String(),
  matched: Type.Optional(Type.String()),
  replacement: Type.Optional(Type.String()),
});

export const GuardrailsDryRunResponse = Type.Object({
  blocked: Type.Boolean(),
  hits: Type.Array(GuardrailsDryRunHit),
});

export const GuardrailExample = Type.Object({
  name: Type.String(),
  display_name: Type.String(),
  description: Type.String(),
  tags: Type.Array(Type.String()),
  check_types: Type.Array(Type.String()),
  stages: Type.Array(Type.String()),
  /** Where text goes to be checked; `none`: it stays in the process. */
  data_egress: Type.String(),
  config: JsonObject,
});
export type GuardrailExample = Static<typeof GuardrailExample>;

export const GuardrailExamplesResponse = Type.Object({ examples: Type.Array(GuardrailExample) });
