import { type ManualClock, manualClock } from "../../../src/base/clock.ts";
import { type Collected, createCollector } from "../../../src/llm/collect.ts";
import type { Chunk, Driver, ModelMessage, ModelRequest, UserPart } from "../../../src/llm/driver.ts";
import { createDriver, createDriverDeps, type DriverDeps } from "../../../src/llm/registry.ts";

/** Time that moves by hand and chance that always draws nought: waits are exactly what a vendor asked for. */
export function testDeps(overrides: Partial<DriverDeps> = {}): DriverDeps & { clock: ManualClock } {
  const clock = manualClock();
  return { ...createDriverDeps({ random: () => 0, ...overrides }), clock };
}

export const KEY = "sk-test-0123456789abcdef";

export function driverAt(
  providerType: string,
  baseUrl: string | null,
  deps: DriverDeps = testDeps(),
): Driver {
  return createDriver({ providerType, apiKey: providerType === "llmsim" ? null : KEY, baseUrl }, deps);
}

export function user(...content: (string | UserPart)[]): ModelMessage {
  return {
    role: "user",
    content: content.map((part) => (typeof part === "string" ? { type: "text", text: part } : part)),
  };
}

export function assistant(said: Partial<Extract<ModelMessage, { role: "assistant" }>>): ModelMessage {
  return {
    role: "assistant",
    text: "",
    toolCalls: [],
    thinking: null,
    thinkingSignature: null,
    reasoningItems: [],
    ...said,
  };
}

export function toolResult(toolCallId: string, content: string, isError = false): ModelMessage {
  return { role: "tool", toolCallId, toolName: "tool", content, isError };
}

export function ask(text: string, overrides: Partial<ModelRequest> = {}): ModelRequest {
  return {
    model: "gpt-4.1",
    system: "Be brief.",
    messages: [user(text)],
    tools: [],
    reasoningEffort: null,
    maxOutputTokens: null,
    parallelToolCalls: null,
    idempotencyKey: "turn_1:reason:1",
    ...overrides,
  };
}

export interface Called extends Collected {
  chunks: Chunk[];
}

/** Runs a call to its end. Where the driver waits to ask again, time is moved on by exactly that much. */
export async function call(
  driver: Driver,
  request: ModelRequest,
  options: { clock?: ManualClock; signal?: AbortSignal; onChunk?: (chunk: Chunk) => void } = {},
): Promise<Called> {
  const collector = createCollector();
  const chunks: Chunk[] = [];
  const iterator = driver
    .stream(request, options.signal ?? new AbortController().signal)
    [Symbol.asyncIterator]();
  let pending = iterator.next();
  for (;;) {
    const { done, value: chunk } = await pending;
    if (done) break;
    chunks.push(chunk);
    collector.add(chunk);
    options.onChunk?.(chunk);
    pending = iterator.next();
    if (chunk.kind === "retry") await options.clock?.advance(chunk.waitMs);
  }
  return { ...collector.result(), chunks };
}

/** The kinds of chunks in order, repetitions of pieces as one. */
export function kinds(chunks: readonly Chunk[]): string[] {
  const PIECES = ["text", "thinking", "tool_arguments"];
  return chunks
    .map((chunk) => chunk.kind)
    .filter((kind, index, all) => kind !== all[index - 1] || !PIECES.includes(kind));
}

/** Lets everything run that is ready to; nothing here waits for time. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
