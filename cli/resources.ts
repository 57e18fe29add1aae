import type { Client, Page } from "../src/client/client.ts";
import { plainText } from "../src/client/plain-text.ts";
import { type CommandContext, UsageError } from "./action.ts";
import { clientOf } from "./api.ts";
import { table } from "./table.ts";

export interface ResourceOptions {
  resource: ResourceName;
  action: "list" | "get";
  id?: string | undefined;
  output: "table" | "json";
  /** Text as it was typed. */
  limit: string;
  apiUrl?: string;
}

export type ResourceName = "agents" | "sessions" | "runs" | "models";

/** One kind of object: how it is fetched, and what the table shows of it; `json` shows all of it. */
interface Resource {
  list(client: Client, limit: number): Promise<Page<unknown>>;
  get(client: Client, id: string): Promise<unknown>;
  columns: readonly string[];
  cells(item: unknown): string[];
}

type CellOf<T> = (item: T) => string | number | null | undefined;

function define<T>(resource: {
  list(client: Client, limit: number): Promise<Page<T>>;
  get(client: Client, id: string): Promise<T>;
  columns: Readonly<Record<string, CellOf<T>>>;
}): Resource {
  return {
    list: resource.list,
    get: resource.get,
    columns: Object.keys(resource.columns),
    // Only ever given what its own list returned.
    cells: (item) => Object.values(resource.columns).map((cellOf) => cell(cellOf(item as T))),
  };
}

const resourceTable: Record<ResourceName, Resource> = {
  agents: define({
    list: (client, limit) => client.listAgents({ limit }),
    get: (client, id) => client.getAgent(id),
    columns: {
      id: (agent) => agent.id,
      name: (agent) => agent.name,
      status: (agent) => agent.status,
      updated: (agent) => age(agent.updated_at),
      description: (agent) => agent.description ?? agent.display_name,
    },
  }),
  sessions: define({
    list: (client, limit) => client.listSessions({ limit }),
    get: (client, id) => client.getSession(id),
    columns: {
      id: (session) => session.id,
      status: (session) => session.status,
      updated: (session) => age(session.updated_at),
      tokens: (session) => session.usage.input_tokens + session.usage.output_tokens,
      title: (session) => session.title ?? session.preview,
    },
  }),
  runs: define({
    list: (client, limit) => client.listRuns({ limit }),
    get: (client, id) => client.getRun(id),
    columns: {
      id: (run) => run.id,
      status: (run) => run.status,
      attempt: (run) => run.attempt,
      iterations: (run) => run.iterations,
      queued: (run) => age(run.queued_at),
      session: (run) => run.session_id,
      note: (run) => run.stuck_reason ?? run.waiting_on ?? run.error,
    },
  }),
  models: define({
    list: (client) => client.listModels(),
    get: (client, id) => client.getModel(id),
    columns: {
      id: (model) => model.id,
      model: (model) => model.model_id,
      provider: (model) => model.provider_name,
      state: (model) => (!model.enabled ? "disabled" : model.healthy ? "ready" : "no key"),
      name: (model) => model.display_name,
    },
  }),
};

const CELL_COLUMNS_MAX = 60;

/** `everruns agents|sessions|runs|models list|get`. */
export async function resources(context: CommandContext, options: ResourceOptions): Promise<undefined> {
  const { action, id, output } = options;
  const limit = Number(options.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > 100) {
    throw new UsageError(`--limit is a whole number from 1 to 100, not "${options.limit}"`);
  }
  if (action === "get" && !id) throw new UsageError(`which one? everruns ${options.resource} get <id>`);
  if (action === "list" && id) {
    throw new UsageError(`list takes no id; did you mean everruns ${options.resource} get ${id}?`);
  }
  const resource = resourceTable[options.resource];
  const client = clientOf(context, options);
  if (action === "get") return print(context, await resource.get(client, id ?? ""), output);

  const page = await resource.list(client, limit);
  if (output === "json") return print(context, page.data, output);
  const rows = page.data.map((item) => resource.cells(item));
  if (rows.length === 0) {
    context.err.line(`there are no ${options.resource} yet`);
    return;
  }
  const lines = table(resource.columns, rows);
  for (const [at, line] of lines.entries()) context.out.line(at === 0 ? context.out.paint.dim(line) : line);
  if (page.total > rows.length) {
    context.err.line(context.err.paint.dim(`${page.total - rows.length} more; --limit shows up to 100`));
  }
}

/** One object: every field a line, or as JSON. */
function print(context: CommandContext, value: unknown, output: "table" | "json"): undefined {
  if (output === "json") {
    context.out.line(JSON.stringify(value, null, 2));
    return;
  }
  const fields = Object.entries(value as Record<string, unknown>).filter(([, each]) => each !== null);
  const width = Math.max(...fields.map(([name]) => name.length));
  for (const [name, each] of fields) {
    const text = typeof each === "string" ? plainText(each) : JSON.stringify(each);
    context.out.line(`${context.out.paint.dim(name.padEnd(width))}  ${text}`);
  }
}

function cell(value: string | number | null | undefined): string {
  const text = plainText(String(value ?? "")).replace(/\s+/g, " ");
  return Bun.sliceAnsi(text, 0, CELL_COLUMNS_MAX, "…");
}

/** `12s`, `5m`, `3h`, `2d` ago. */
function age(timestamp: string): string {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(timestamp)) / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
