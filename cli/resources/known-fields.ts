/**
 * Which fields the API takes of a kind of object, from the one definition of their shapes. A field that it does not
 * know it passes over, so a slip would look as if it had worked: it is refused here, before anything is sent.
 */
import type { TSchema } from "../../src/contract/schema.ts";
import { nearestOf } from "../nearest.ts";

export type Use = "create" | "update";

/** Of each use by the resource's name. Read when something is sent: every other command starts without them. */
const BODIES: Readonly<Record<string, (use: Use) => Promise<TSchema>>> = {
  agents: async (use) => {
    const { CreateAgentRequest, UpdateAgentRequest } = await import("../../src/contract/agent.ts");
    return use === "create" ? CreateAgentRequest : UpdateAgentRequest;
  },
  harnesses: async (use) => {
    const { CreateHarnessRequest, UpdateHarnessRequest } = await import("../../src/contract/harness.ts");
    return use === "create" ? CreateHarnessRequest : UpdateHarnessRequest;
  },
  sessions: async (use) => {
    const { CreateSessionRequest, UpdateSessionRequest } = await import("../../src/contract/session.ts");
    return use === "create" ? CreateSessionRequest : UpdateSessionRequest;
  },
  providers: async (use) => {
    const { CreateProviderRequest, UpdateProviderRequest } = await import("../../src/contract/provider.ts");
    return use === "create" ? CreateProviderRequest : UpdateProviderRequest;
  },
  schedules: async (use) => {
    const { CreateScheduleRequest, UpdateScheduleRequest } = await import("../../src/contract/schedule.ts");
    return use === "create" ? CreateScheduleRequest : UpdateScheduleRequest;
  },
  skills: async (use) => {
    const { CreateSkillRequest, UpdateSkillRequest } = await import("../../src/contract/skill.ts");
    return use === "create" ? CreateSkillRequest : UpdateSkillRequest;
  },
  "mcp-servers": async (use) => {
    const { CreateMcpServerRequest, UpdateMcpServerRequest } = await import(
      "../../src/contract/mcp-server.ts"
    );
    return use === "create" ? CreateMcpServerRequest : UpdateMcpServerRequest;
  },
  memories: async (use) => {
    const { CreateMemoryRequest, UpdateMemoryRequest } = await import("../../src/contract/memory.ts");
    return use === "create" ? CreateMemoryRequest : UpdateMemoryRequest;
  },
  budgets: async (use) => {
    const { CreateBudgetRequest, UpdateBudgetRequest } = await import("../../src/contract/budget.ts");
    return use === "create" ? CreateBudgetRequest : UpdateBudgetRequest;
  },
  webhooks: async (use) => {
    const { CreateTaskWebhookRequest, UpdateTaskWebhookRequest } = await import("../../src/contract/task.ts");
    return use === "create" ? CreateTaskWebhookRequest : UpdateTaskWebhookRequest;
  },
};

export interface KnownFields {
  fields: readonly string[];
  /** One can be made without saying anything. */
  isOptional: boolean;
}

/** Of a kind of object, by its word on the command line. null: not known here, what is sent is the server's business. */
export async function knownFields(name: string, use: Use): Promise<KnownFields | null> {
  const schema = await BODIES[name]?.(use);
  if (schema?.properties === undefined) return null;
  return { fields: Object.keys(schema.properties), isOptional: (schema.required ?? []).length === 0 };
}

/**
 * PURE: a sentence for each field that is none. The API takes fields in both spellings: `harness_id` and `harnessId`.
 *
 * @param of  whose fields they are, in the sentence: `agents`
 */
export function unknownFields(body: object, known: readonly string[], of: string): string[] {
  const spellings = new Set(known.flatMap((field) => [field, camelCase(field), snakeCase(field)]));
  return Object.keys(body)
    .filter((field) => !spellings.has(field))
    .map((field) => {
      const near = nearestOf(field, known);
      return `${field}: no field of ${of}; ${near === null ? `there are ${known.join(", ")}` : `did you mean ${near}?`}`;
    });
}

const camelCase = (name: string) =>
  name.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
