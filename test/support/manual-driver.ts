/** A model that says what the test tells it to, when the test tells it to. */
import type { Chunk, Driver, DriverError, ModelRequest } from "../../src/llm/driver.ts";

export interface ModelCallInHand {
  request: ModelRequest;
  /** The engine's signal. */
  signal: AbortSignal;
  say(text: string): void;
  think(text: string): void;
  callTool(name: string, args: object): void;
  finish(): void;
  fail(error: Partial<DriverError>): void;
}

export interface ManualDriver {
  driver: Driver;
  /** The next call that the engine makes, in order. */
  nextCall(): Promise<ModelCallInHand>;
  calls(): number;
}

/** @param options.canContinue  true: the model goes on from the beginning of an answer */
export function createManualDriver(options: { canContinue?: boolean } = {}): ManualDriver {
  const made: ModelCallInHand[] = [];
  let taken = 0;
  let announce = Promise.withResolvers<void>();

  async function* stream(request: ModelRequest, signal: AbortSignal): AsyncGenerator<Chunk, void, void> {
    const chunks: Chunk[] = [];
    let wake = Promise.withResolvers<void>();
    const push = (chunk: Chunk) => {
      chunks.push(chunk);
      wake.resolve();
    };
    let toolCalls = 0;
    signal.addEventListener("abort", () => push({ kind: "aborted" }), { once: true });
    made.push({
      request,
      signal,
      say: (text) => push({ kind: "text", text }),
      think: (text) => push({ kind: "thinking", text }),
      callTool(name, args) {
        const index = toolCalls;
        toolCalls += 1;
        push({ kind: "tool_call", index, id: `call_${made.length}_${index}`, name });
        push({ kind: "tool_arguments", index, json: JSON.stringify(args) });
      },
      finish: () => push({ kind: "finish", reason: toolCalls > 0 ? "tool_calls" : "stop", responseId: null }),
      fail: (error) =>
        push({
          kind: "error",
          error: {
            code: "provider_unavailable",
            message: "the test says no",
            retryable: true,
            retryAfterMs: null,
            status: 503,
            ...error,
          },
        }),
    });
    announce.resolve();
    announce = Promise.withResolvers();
    for (;;) {
      const chunk = chunks.shift();
      if (chunk) {
        yield chunk;
        if (chunk.kind === "finish" || chunk.kind === "error" || chunk.kind === "aborted") return;
        continue;
      }
      await wake.promise;
      wake = Promise.withResolvers();
    }
  }

  return {
    driver: { stream, canContinue: () => options.canContinue ?? false, listModels: async () => null },
    async nextCall() {
      while (made.length <= taken) await announce.promise;
      taken += 1;
      return made[taken - 1] as ModelCallInHand;
    },
    calls: () => made.length,
  };
}
