import { UserError } from "../src/base/errors.ts";
import type { Client } from "../src/client/client.ts";
import { createClient } from "../src/client/client.ts";
import { ClientError } from "../src/client/errors.ts";
import type { Agent } from "../src/contract/agent.ts";
import type { Session } from "../src/contract/session.ts";
import type { CommandContext } from "./action.ts";
import { type ServerFlags, serverOf } from "./contexts.ts";

/** The server that the client commands talk to: see contexts.ts. */
export function clientOf(
  context: CommandContext,
  options: ServerFlags & { verbose?: boolean | undefined },
): Client {
  const { baseUrl, apiKey, organizationId } = serverOf(context.env, options);
  return createClient({
    baseUrl,
    apiKey,
    organizationId,
    ...(options.verbose ? { fetch: tellingFetch(context) } : {}),
  });
}

/** Prints each call of the API and its answer's status to stderr: never headers, which hold the key, or bodies. */
function tellingFetch({ err }: CommandContext) {
  return async (url: string, init: RequestInit): Promise<Response> => {
    const start = performance.now();
    const call = `${init.method ?? "GET"} ${url}`;
    const took = () => `${Math.round(performance.now() - start)} ms`;
    try {
      const response = await fetch(url, init);
      err.line(err.paint.dim(`${call} → ${response.status}, ${took()}`));
      return response;
    } catch (error) {
      err.line(err.paint.dim(`${call} → no answer, ${took()}`));
      throw error;
    }
  };
}

/**
 * Finds a model by its id, the name its vendor gave it, or its display name.
 *
 * @returns the id of the model
 * @throws UserError model_not_found, with the names there are
 */
export async function findModel(client: Client, wanted: string): Promise<string> {
  const { data } = await client.listModels();
  const found =
    data.find((model) => model.id === wanted) ??
    data.find((model) => model.model_id === wanted) ??
    data.find((model) => model.display_name.toLowerCase() === wanted.toLowerCase());
  if (found) return found.id;
  const names = data.map((model) => model.model_id).slice(0, NAMES_SHOWN);
  const rest = data.length > names.length ? ` and ${data.length - names.length} more` : "";
  const known = names.length === 0 ? "the server has none" : `there are ${names.join(", ")}${rest}`;
  throw new UserError("model_not_found", `no model ${wanted}; ${known}`);
}
const NAMES_SHOWN = 8;

/** An agent by id or name. @throws UserError agent_not_found */
export async function findAgent(client: Client, wanted: string): Promise<Agent> {
  try {
    return await client.getAgent(wanted);
  } catch (error) {
    if (!(error instanceof ClientError) || error.status !== 404) throw error;
    throw new UserError("agent_not_found", `no agent ${wanted}; \`everruns agents\` lists them`);
  }
}

/** Begins a session. @throws ClientError, UserError for an agent or a model that does not exist */
export async function createSession(
  client: Client,
  options: { agent?: string | undefined; model?: string | undefined },
): Promise<Session> {
  const { agent, model } = options;
  return client.createSession({
    ...(agent === undefined ? {} : { agent_id: (await findAgent(client, agent)).id }),
    ...(model === undefined ? {} : { model_id: await findModel(client, model) }),
  });
}
