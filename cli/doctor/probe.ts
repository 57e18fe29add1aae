/**
 * `everruns doctor --probe`: asks models for something small and looks at how they answer. A model is asked as agents ask
 * it, by a turn of a session that is deleted afterwards: so the key, the address, the network, the driver and a worker
 * are all in it, and only the public API is used.
 */
import { newId } from "../../src/base/id.ts";
import type { Client } from "../../src/client/client.ts";
import { type StreamOptions, streamEvents } from "../../src/client/stream.ts";
import type { Event } from "../../src/contract/event.ts";
import type { ModelWithProvider } from "../../src/contract/provider.ts";
import { type CommandContext, explain, UsageError } from "../action.ts";
import { bad, type Finding, ok, warn } from "./finding.ts";

/** How long a model may take for two short answers. */
const PROBE_MS = 90_000;

const tool = (name: string) => ({
  type: "client_side" as const,
  name,
  description: `Takes a number and says that it was taken. Part ${name.at(-1)} of a test of the connection.`,
  parameters: {
    type: "object",
    properties: { number: { type: "integer" } },
    required: ["number"],
    additionalProperties: false,
  },
});
const TOOLS = [tool("probe_a"), tool("probe_b")];
const ASK =
  "This is a test of the connection. First write two sentences about rain. Then call probe_a with the number 1 and " +
  "probe_b with the number 2, both in this same answer. When both have answered, say: done.";
/** The simulated model answers by script. */
const SIMULATED = `${ASK}
\`\`\`llmsim
rate: 200
steps:
  - text: Rain falls on the roof and on the road. It stops when it stops, and the sun comes out again.
    tool_calls:
      - { name: probe_a, arguments: { number: 1 } }
      - { name: probe_b, arguments: { number: 2 } }
  - text: done.
\`\`\``;

/** @param wanted  a model's id, name or vendor's name; null: one of each provider that can be used */
export async function* probeModels(
  client: Client,
  context: CommandContext,
  wanted: string | null,
): AsyncGenerator<Finding> {
  const models = (await client.listModels()).data.filter(({ enabled }) => enabled);
  const chosen =
    wanted === null
      ? oneOfEach(models.filter(({ healthy }) => healthy))
      : models.filter((model) => isNamed(model, wanted));
  if (wanted !== null && chosen.length === 0) {
    throw new UsageError(`there is no enabled model ${wanted}; \`everruns models\` lists them`);
  }
  if (chosen.length === 0) yield bad("models", "none can be used", "everruns models");
  for (const model of chosen) yield await probe(client, context, model);
}

const isNamed = ({ id, model_id: name, display_name: shown }: ModelWithProvider, wanted: string) =>
  [id, name, shown].includes(wanted);

/** A favourite stands for its provider, else the first. */
function oneOfEach(models: readonly ModelWithProvider[]): ModelWithProvider[] {
  const best = new Map<string, ModelWithProvider>();
  for (const model of models) {
    const known = best.get(model.provider_id);
    if (!known || (model.is_favorite && !known.is_favorite)) best.set(model.provider_id, model);
  }
  return [...best.values()];
}

/** What came of the question. */
interface Seen {
  deltas: number;
  firstDeltaMs: number | null;
  /** Tools that were called, answer by answer. */
  calls: string[][];
  usage: { input: number; output: number; costUsd: number };
  failure: string | null;
  hasEnded: boolean;
}

async function probe(client: Client, context: CommandContext, model: ModelWithProvider): Promise<Finding> {
  const what = `model ${model.display_name}`;
  const startedAt = performance.now();
  let sessionId: string | null = null;
  try {
    const session = await client.createSession({
      harness_name: "base",
      model_id: model.id,
      title: "everruns doctor",
      tools: TOOLS,
    });
    sessionId = session.id;
    const isSimulated = model.provider_type === "llmsim";
    await client.createMessage(session.id, {
      message: { content: [{ type: "text", text: isSimulated ? SIMULATED : ASK }] },
      client_message_id: newId("message"),
    });
    const late = AbortSignal.timeout(PROBE_MS);
    const seen = await watch(client, session.id, startedAt, {
      signal: AbortSignal.any([late, context.signal]),
    });
    return judge(what, model, seen, Math.round(performance.now() - startedAt));
  } catch (error) {
    return bad(what, explain(error, context.env), "everruns doctor");
  } finally {
    if (sessionId !== null) await remove(client, sessionId);
  }
}

/** Reads along, and answers the calls, until the turn has ended or the time is up. */
async function watch(
  client: Client,
  sessionId: string,
  startedAt: number,
  options: StreamOptions,
): Promise<Seen> {
  const seen: Seen = {
    deltas: 0,
    firstDeltaMs: null,
    calls: [],
    usage: { input: 0, output: 0, costUsd: 0 },
    failure: null,
    hasEnded: false,
  };
  for await (const event of streamEvents(client, sessionId, options)) {
    note(seen, event, Math.round(performance.now() - startedAt));
    if (event.type === "tool.call_requested") {
      const results = event.data.tool_calls.map(({ id }) => ({ tool_call_id: id, result: { taken: true } }));
      await client.request("POST", `/sessions/${sessionId}/tool-results`, {
        body: { tool_results: results },
      });
    }
    if (seen.hasEnded) break;
  }
  return seen;
}

function note(seen: Seen, event: Event, atMs: number): void {
  switch (event.type) {
    case "output.message.delta":
      seen.deltas += 1;
      seen.firstDeltaMs ??= atMs;
      return;
    case "tool.call_requested":
      seen.calls.push(event.data.tool_calls.map(({ name }) => name));
      return;
    case "turn.completed":
    case "turn.failed":
    case "turn.cancelled":
    case "turn.sealed": {
      seen.hasEnded = true;
      const { usage } = event.data as { usage?: Record<string, number> };
      seen.usage = {
        input: usage?.input_tokens ?? 0,
        output: usage?.output_tokens ?? 0,
        costUsd: usage?.estimated_cost_usd ?? 0,
      };
      if (event.type === "turn.failed") seen.failure = String(event.data.error);
      return;
    }
    default:
  }
}

function judge(what: string, model: ModelWithProvider, seen: Seen, tookMs: number): Finding {
  const keys = `everruns providers edit ${model.provider_id}   (its key and address)`;
  if (seen.failure !== null) return bad(what, seen.failure, keys);
  if (!seen.hasEnded) {
    return bad(
      what,
      seen.deltas > 0
        ? `began to answer and had not ended after ${PROBE_MS / 1_000} s`
        : `no answer within ${PROBE_MS / 1_000} s`,
      `everruns workers   (is one alive?), then ${keys}`,
    );
  }
  const called = new Set(seen.calls.flat());
  const isParallel = seen.calls.some((names) => names.length > 1);
  const parts = [
    `answers in ${tookMs} ms`,
    seen.firstDeltaMs === null
      ? "does not stream"
      : `first words after ${seen.firstDeltaMs} ms in ${seen.deltas} pieces`,
    called.size === 0
      ? "called no tool"
      : isParallel
        ? "calls tools, two at once"
        : "calls tools, one at a time",
    seen.usage.input === 0
      ? "says nothing of its usage"
      : `${seen.usage.input} tokens in, ${seen.usage.output} out${seen.usage.costUsd > 0 ? `, $${seen.usage.costUsd.toFixed(4)}` : ""}`,
  ];
  const found = `of ${model.provider_name}: ${parts.join("; ")}`;
  if (called.size < TOOLS.length) {
    return warn(what, found, "agents need a model that calls tools: choose another, `everruns models`");
  }
  if (seen.firstDeltaMs === null || seen.usage.input === 0) {
    return warn(what, found, "its server hides this: answers come late, or budgets cannot count");
  }
  return ok(what, found);
}

/** A session of ours must not stay behind; when it does, it says what it is in its title. */
async function remove(client: Client, sessionId: string): Promise<void> {
  try {
    await client.cancelTurn(sessionId);
    await client.request("DELETE", `/sessions/${sessionId}`);
  } catch {
    // The finding says what is wrong with the server.
  }
}
