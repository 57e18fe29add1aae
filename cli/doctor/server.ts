/** What the doctor sees of a server, over its API. */
import type { Client } from "../../src/client/client.ts";
import { ClientError } from "../../src/client/errors.ts";
import type { CircuitBreakersListResponse } from "../../src/contract/run.ts";
import { type CommandContext, explain } from "../action.ts";
import { versionText } from "../version.ts";
import { bad, type Finding, ok, warn } from "./finding.ts";

export async function* checkServer(client: Client, context: CommandContext): AsyncGenerator<Finding> {
  try {
    const health = await client.health(context.signal);
    const reason = await client.notReady(context.signal);
    if (reason !== null) {
      yield bad("server", `${client.baseUrl} is alive but not ready: ${reason}`, "look at its log");
      return;
    }
    const found = `${client.baseUrl}, version ${health.version}`;
    yield health.version === versionText()
      ? ok("server", found)
      : warn("server", `${found}, this is ${versionText()}`, "run the same version on both sides");
    yield await unlessForbidden("workers", () => checkWorkers(client));
    yield await unlessForbidden("providers", () => checkProviders(client));
  } catch (error) {
    const isGone = error instanceof ClientError && error.status === 0;
    yield isGone
      ? bad("server", `nothing answers at ${client.baseUrl}`, "everruns serve   (or set EVERRUNS_API_URL)")
      : bad("server", explain(error, context.env), "check EVERRUNS_API_URL and EVERRUNS_API_KEY");
  }
}

/** What only admins see says nothing about the server when somebody else asks. */
async function unlessForbidden(what: string, check: () => Promise<Finding>): Promise<Finding> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof ClientError) || error.status !== 403) throw error;
    return warn(what, `not shown to this caller: ${error.detail}`, "everruns whoami says what you may do");
  }
}

async function checkWorkers(client: Client): Promise<Finding> {
  const { summary } = await client.listWorkers();
  const queued = await client.listRuns({ status: "queued", limit: 1 });
  const waiting = queued.total === 0 ? "" : `, ${queued.total} turns wait`;
  if (summary.active === 0) return bad("workers", `none is alive${waiting}`, "everruns worker");
  return ok(
    "workers",
    `${summary.active} alive, ${summary.total_load} of ${summary.total_capacity} turns${waiting}`,
  );
}

async function checkProviders(client: Client): Promise<Finding> {
  const { data } = await client.listProviders();
  // An admin's to see, and not every server that speaks the contract has them.
  const breakers = await client
    .request<CircuitBreakersListResponse>("GET", "/durable/circuit-breakers")
    .catch((error: unknown) => {
      if (error instanceof ClientError && [403, 404].includes(error.status)) return { data: [] };
      throw error;
    });
  const active = data.filter(({ status }) => status === "active");
  const usable = active.filter((provider) => provider.api_key_set || provider.provider_type === "llmsim");
  const keyless = active.filter((provider) => !usable.includes(provider)).map(({ name }) => name);
  const names = usable.map(({ name }) => name).join(", ");
  if (usable.length === 0) {
    return bad("providers", "none can be used", "OPENAI_API_KEY=… everruns serve   (or ANTHROPIC_API_KEY)");
  }
  if (keyless.length > 0) {
    return warn("providers", `${names}; no key for ${keyless.join(", ")}`, "give it a key, or disable it");
  }
  const open = breakers.data
    .filter(({ state }) => state !== "closed")
    .map(({ key, state }) => `${key} ${state}`);
  if (open.length > 0) {
    const said = `${names}; not called since they failed again and again: ${open.join(", ")}`;
    return warn("providers", said, "everruns doctor --probe asks them; everruns breakers close <key>");
  }
  return ok("providers", names);
}
