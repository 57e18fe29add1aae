/** Harnesses from examples, and what one would amount to before it is made. */

import { UserError } from "../../base/errors.ts";
import { declarativeNames, withDefinitions } from "../../capabilities/declarative.ts";
import { mergeCapabilities, mergePrompts } from "../../capabilities/layers.ts";
import { toolDefinitionOf } from "../../capabilities/registry.ts";
import { skillIds, withSkills } from "../../capabilities/skills.ts";
import {
  HarnessExample,
  HarnessPreviewResponse,
  HarnessWithUrls,
  PreviewHarnessRequest,
} from "../../contract/harness.ts";
import { limits } from "../../contract/limits.ts";
import { Type } from "../../contract/schema.ts";
import { readDefinitions } from "../../db/agents/declarative-capabilities.ts";
import { insertHarness } from "../../db/agents/harness-writes.ts";
import { harnessChains } from "../../db/agents/harnesses.ts";
import { readSkillHeads } from "../../db/integrations/skill-library.ts";
import { readLayer, requireBytes } from "../agents/layer.ts";
import type { ApiDeps } from "../deps.ts";
import { created, reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { HARNESS_EXAMPLES, type HarnessExampleFields } from "./harness-examples.ts";
import { readHarnessFields, requireParent } from "./harness-input.ts";
import { writtenHarness } from "./harness-wire.ts";

export function harnessMakingRoutes(deps: Pick<ApiDeps, "db" | "capabilities">): Route[] {
  const { db, capabilities } = deps;
  return [
    defineRoute({
      method: "GET",
      path: "/harness-examples",
      operationId: "list_examples",
      tag: "harnesses",
      summary: "Harnesses to begin with",
      description: "A bare array. The camelCase fields repeat the others for the TypeScript SDK.",
      responses: { 200: Type.Array(HarnessExample) },
      run: async () => reply(200, HARNESS_EXAMPLES.map(exampleToWire)),
    }),
    defineRoute({
      method: "POST",
      path: "/harnesses/import",
      operationId: "import_harness",
      tag: "harnesses",
      summary: "Make a harness from an example",
      description: `A harness of the organization's own, to change at will: ${HARNESS_EXAMPLES.map(({ name }) => name).join(", ")}.`,
      query: Type.Object({ "from-example": Type.String() }),
      responses: { 201: HarnessWithUrls },
      problems: ["not_found", "name_taken", "conflict"],
      async run({ query, caller: { organizationId } }) {
        const { parent_name, ...example } = exampleOf(query["from-example"]);
        const fields = await readHarnessFields(deps, organizationId, {
          ...example,
          parent_harness_id: parent_name,
        });
        const result = await insertHarness(db, { organizationId, fields });
        return created(await writtenHarness(db, organizationId, result, fields.name));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/harnesses/preview",
      operationId: "preview_harness",
      tag: "harnesses",
      summary: "The prompt and the tools that a harness would give",
      description:
        "With those of its parents. Nothing is stored and nobody is called: the tools of MCP servers are not in it.",
      access: "read",
      body: PreviewHarnessRequest,
      responses: { 200: HarnessPreviewResponse },
      problems: ["invalid_id", "limit_exceeded"],
      async run({ body, caller: { organizationId } }) {
        requireBytes("system_prompt", body.system_prompt, limits.systemPromptBytesMax);
        const own = await readLayer(body, { db, capabilities }, organizationId);
        const parent =
          body.parent_harness_id == null
            ? null
            : await requireParent(db, organizationId, body.parent_harness_id);
        const chain =
          parent === null ? [] : ((await harnessChains(db, organizationId, [parent])).get(parent) ?? []);
        const below = chain.toReversed();
        const refs = mergeCapabilities([...below.map((layer) => layer.capabilities), own.capabilities ?? []]);
        const definitions = await readDefinitions(db, organizationId, declarativeNames(refs));
        const resolved = capabilities.resolve(
          withSkills(
            withDefinitions(refs, definitions),
            await readSkillHeads(db, organizationId, skillIds(refs)),
          ),
        );
        return reply(200, {
          system_prompt: mergePrompts([
            ...below.map((layer) => layer.system_prompt),
            body.system_prompt,
            resolved.prompt,
          ]),
          tools: resolved.tools.map(({ tool }) => toolDefinitionOf(tool)),
        });
      },
    }),
  ];
}

function exampleOf(name: string): HarnessExampleFields {
  const example = HARNESS_EXAMPLES.find((each) => each.name === name);
  if (example) return example;
  throw new UserError(
    "not_found",
    `there is no example ${JSON.stringify(name.slice(0, 80))}; there are ${HARNESS_EXAMPLES.map((each) => each.name).join(", ")}`,
  );
}

function exampleToWire(example: HarnessExampleFields): HarnessExample {
  const { name, display_name, description, parent_name, capabilities, tags } = example;
  return {
    name,
    display_name,
    displayName: display_name,
    description,
    dev_only: false,
    devOnly: false,
    parent_name,
    parentName: parent_name,
    capabilities,
    tags,
  };
}
