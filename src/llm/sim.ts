/**
 * The built-in simulated model: a driver like the others, with no vendor behind it. It shows the house at work and
 * tests it without any key. Time and failures are simulated below the shared retry, so that what a caller sees of
 * a slow, refusing or breaking provider is what a real one would make it see.
 */
import type { TokenUsage } from "../contract/usage.ts";
import type { Chunk, Driver, DriverError, ModelRequest } from "./driver.ts";
import { type CallDeps, streamCall, type VendorCall } from "./retry.ts";
import { SIM_MODELS, type SimModel, simAnswer } from "./sim-answers.ts";
import { type ScriptedStep, type SimStep, scriptedStep } from "./sim-script.ts";
import { madeUpCallId, shortHash } from "./wire.ts";

/** Tokens a second: quick, yet one sees it stream. */
const RATE_DEFAULT = 400;
const CHARS_PER_TOKEN = 4;

/**
 * How often a step has failed so far, by idempotency key and step, so that "fail twice, then succeed" outlives one
 * call. It does not outlive the process: after a restart the failures are played again.
 */
export interface SimMemory {
  /** @returns how often this key was counted before */
  countFailure(key: string): number;
}

const KEYS_MAX = 10_000;

export function createSimMemory(): SimMemory {
  const failures = new Map<string, number>();
  return {
    countFailure(key) {
      const before = failures.get(key) ?? 0;
      const oldest = failures.keys().next();
      if (failures.size >= KEYS_MAX && !oldest.done) failures.delete(oldest.value);
      failures.set(key, before + 1);
      return before;
    },
  };
}

export function createSimDriver(deps: CallDeps & { simMemory: SimMemory }): Driver {
  return {
    stream: (request, signal) => streamCall(deps, createCall(request, deps), signal),
    canContinue(request) {
      try {
        const { step } = decide(request);
        return step.thinking === "" && step.text.startsWith(request.prefix ?? "");
      } catch {
        return false;
      }
    },
    listModels: async () => [...SIM_MODELS],
  };
}

/** A failure that the script or the request asked for; the shared retry treats it as a vendor's. */
class SimFailure extends Error {
  override readonly name = "SimFailure";
  readonly failure: DriverError;
  constructor(failure: DriverError) {
    super(failure.message);
    this.failure = failure;
  }
}

function createCall(request: ModelRequest, deps: CallDeps & { simMemory: SimMemory }): VendorCall<Chunk> {
  return {
    open: async ({ signal }) => play(request, deps, signal),
    createReader: () => ({ read: (chunk) => [chunk], end: () => null }),
    classify: (thrown) =>
      thrown instanceof SimFailure ? thrown.failure : failure("processing_error", String(thrown)),
  };
}

async function* play(
  request: ModelRequest,
  deps: CallDeps & { simMemory: SimMemory },
  signal: AbortSignal,
): AsyncGenerator<Chunk, void, void> {
  const { step, rate, latencyMs } = decide(request);
  if (latencyMs > 0) await deps.clock.sleep(latencyMs, signal);
  const broken = dueFailure(step, request, deps.simMemory);
  if (broken && !broken.midStream) throw new SimFailure(broken.error);

  const pace = createPace(rate ?? RATE_DEFAULT, deps, signal);
  for (const token of tokens(step.thinking)) {
    await pace();
    yield { kind: "thinking", text: token };
  }
  const said = tokens(step.text.slice(request.prefix?.length ?? 0));
  const saidMax = broken ? Math.ceil(said.length / 2) : said.length;
  for (const token of said.slice(0, saidMax)) {
    await pace();
    yield { kind: "text", text: token };
  }
  if (broken) throw new SimFailure(broken.error);
  for (const [index, call] of step.tool_calls.entries()) {
    yield { kind: "tool_call", index, id: madeUpCallId(request.idempotencyKey, index), name: call.name };
    for (const token of tokens(argumentsText(call))) {
      await pace();
      yield { kind: "tool_arguments", index, json: token };
    }
  }
  yield { kind: "usage", usage: simUsage(request, step) };
  const reason = step.finish ?? (step.tool_calls.length > 0 ? "tool_calls" : "stop");
  yield { kind: "finish", reason, responseId: `sim_${shortHash(request.idempotencyKey)}` };
}

/** PURE: which step answers this request. */
function decide(request: ModelRequest): ScriptedStep {
  const model = SIM_MODELS.find((name) => name === request.model);
  if (!model) {
    const known = SIM_MODELS.join(", ");
    throw new SimFailure(
      failure("model_unavailable", `llmsim: there is no model ${request.model}; try ${known}`),
    );
  }
  const scripted = scriptedStep(request);
  if (scripted === null)
    return { step: simAnswer(model satisfies SimModel, request), rate: null, latencyMs: 0 };
  if (!("problem" in scripted)) return scripted;
  throw new SimFailure(failure("processing_error", `llmsim: the script is not valid: ${scripted.problem}`));
}

function dueFailure(
  step: SimStep,
  request: ModelRequest,
  memory: SimMemory,
): { error: DriverError; midStream: boolean } | null {
  if (!step.error) return null;
  const { code, message, times, retry_after_ms, mid_stream } = step.error;
  const before = memory.countFailure(request.idempotencyKey);
  if (times !== undefined && before >= times) return null;
  const error = failure(code, `llmsim: ${message ?? `the script asked for ${code}`}`);
  return { error: { ...error, retryAfterMs: retry_after_ms ?? null }, midStream: mid_stream };
}

/** The codes that a real provider's driver marks as worth another try. */
const RETRYABLE: readonly DriverError["code"][] = ["provider_rate_limited", "provider_unavailable"];

function failure(code: DriverError["code"], message: string): DriverError {
  return { code, message, retryable: RETRYABLE.includes(code), retryAfterMs: null, status: null };
}

/** Waits until the next token is due. Measured from the start, so that short sleeps do not add up to long ones. */
function createPace(rate: number, { clock }: CallDeps, signal: AbortSignal): () => Promise<void> {
  const startedAt = clock.monotonicMs();
  let sent = 0;
  return async () => {
    sent += 1;
    if (rate === 0) return;
    const leftMs = startedAt + (sent * 1000) / rate - clock.monotonicMs();
    if (leftMs > 0) await clock.sleep(leftMs, signal);
  };
}

function tokens(text: string): string[] {
  return text.match(new RegExp(`[\\s\\S]{1,${CHARS_PER_TOKEN}}`, "gu")) ?? [];
}

function argumentsText(call: SimStep["tool_calls"][number]): string {
  return typeof call.arguments === "string" ? call.arguments : JSON.stringify(call.arguments);
}

/** Deterministic, about four characters a token. */
function simUsage(request: ModelRequest, step: SimStep): TokenUsage {
  const asked = JSON.stringify([request.system, request.messages, request.tools]).length;
  const said =
    step.text.length -
    (request.prefix?.length ?? 0) +
    step.thinking.length +
    step.tool_calls.map(argumentsText).join("").length;
  return {
    input_tokens: Math.ceil(asked / CHARS_PER_TOKEN),
    output_tokens: Math.ceil(said / CHARS_PER_TOKEN),
  };
}
