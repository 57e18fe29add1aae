/** `subagents`: lets the agent hand work to a session of its own, and go on with what came of it. */
import { z } from "zod";
import { limits } from "../contract/limits.ts";
import { defineCapability } from "./capability.ts";
import { defineTool, ToolError, waitFor } from "./tool.ts";

const Config = z.object({
  agents: z
    .array(z.string().min(1).max(100))
    .max(50)
    .default([])
    .describe(
      "Names or ids of other agents that work may be handed to; without any, only to one like itself",
    ),
});

const spawnAgent = (agents: readonly string[]) =>
  defineTool({
    name: "spawn_agent",
    displayName: "Hand work to a subagent",
    description:
      "Hands a piece of work to a subagent, which works on it in a conversation of its own with the same files, and " +
      "gives you its answer. It knows nothing of this conversation: write down everything that it needs to know. " +
      `Several calls at once work side by side. ${
        agents.length === 0
          ? "It is an agent like you."
          : `Without \`agent\` it is one like you; others: ${agents.join(", ")}.`
      }`,
    effect: "idempotent",
    hints: { long_running: true },
    input: z.object({
      task: z.string().trim().min(1).max(100_000).describe("What it is to do, and what it must know for it"),
      title: z.string().trim().min(1).max(200).describe("The work in a few words, for people"),
      agent: z.string().max(100).optional().describe("Another agent, by its name"),
    }),
    async run({ task, title, agent }, { tasks, network, turnId, toolCallId, idempotencyKey }) {
      if (agent !== undefined && !agents.includes(agent)) {
        throw new ToolError(`Work cannot be handed to ${agent}; leave \`agent\` out or choose another.`);
      }
      const spawned = await tasks.spawnAgent({
        ...{ task, title, network, turnId, toolCallId, idempotencyKey },
        agent: agent ?? null,
      });
      if (spawned.outcome === "running") {
        return waitFor({ kind: "subagent", seconds: limits.subagentSecondsMax });
      }
      if (!spawned.isSuccess) throw new ToolError(spawned.text);
      return spawned.text;
    },
  });

export const subagents = defineCapability({
  id: "subagents",
  name: "Subagents",
  description:
    "Lets the agent hand work to subagents: sessions of their own, with the same files and within the same budgets, " +
    `${limits.subagentDepthMax} levels deep and for at most ${limits.subagentSecondsMax / 3600} hours. The turn that waits for ` +
    "them holds no worker.",
  category: "Work",
  icon: "network",
  config: Config,
  tools: ({ agents }) => [spawnAgent(agents)],
});
