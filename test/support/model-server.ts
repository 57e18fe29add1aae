/**
 * A real HTTP model server for tests: OpenAI Responses, Chat Completions and Anthropic Messages on one free port,
 * played by @copilotkit/aimock. Point a provider's base_url at `openaiUrl` or `anthropicUrl`; any key will do
 * unless `apiKeys` says which ones.
 */
import { type Fixture, type JournalEntry, LLMock } from "@copilotkit/aimock";

export interface ModelServer {
  /** The server itself, for what the shorthands below do not cover. */
  mock: LLMock;
  /** `http://127.0.0.1:<port>` */
  url: string;
  /** Base URL for providers of the OpenAI types. */
  openaiUrl: string;
  /** Base URL for providers of the type `anthropic`. */
  anthropicUrl: string;
  /** Answers a user message that contains `match` (or matches it) with text, every time. */
  text(match: string | RegExp, content: string, extra?: ReplyExtra): void;
  /**
   * Plays `steps` for the user message that contains `match`: the first answer, then, after its tool results, the
   * second, and so on. Which one is chosen by the number of assistant messages since that user message, so the
   * same request always gets the same answer: a run that starts again after a crash sees what it would have seen.
   */
  script(match: string | RegExp, steps: readonly ScriptStep[]): void;
  /** Fails the next request, whatever it is, and only that one. */
  failNext(status: number, error?: { message?: string; type?: string; code?: string }): void;
  /** What was asked so far, oldest first. Bodies are in aimock's normal form, which is that of Chat Completions. */
  requests(): JournalEntry[];
  stop(): Promise<void>;
}

export interface ScriptStep extends ReplyExtra {
  text?: string;
  /** Arguments are an object, or the text as the model is to write it (to try malformed JSON). */
  toolCalls?: readonly { name: string; arguments: string | Record<string, unknown>; id?: string }[];
  /** The step is an HTTP error instead, every time it is asked for. `retryAfter` is in seconds, for 429. */
  error?: { status: number; message: string; type?: string; code?: string; retryAfter?: number };
}

export interface ReplyExtra {
  /** Thinking that is streamed before the answer. */
  thinking?: string;
  /** Token counts in the words of the protocol under test. */
  usage?: Record<string, number>;
  /** "stop", "tool_calls", "length", "content_filter": in OpenAI's words for every protocol. */
  finishReason?: string;
  /** Milliseconds before the answer begins. */
  latencyMs?: number;
  /** Tokens a second; without it the answer comes at once. */
  rate?: number;
  /** Characters of one streamed chunk. */
  chunkSize?: number;
  /** Breaks the connection after so many frames. */
  truncateAfterChunks?: number;
}

export async function startModelServer(options: { apiKeys?: readonly string[] } = {}): Promise<ModelServer> {
  const mock = new LLMock({
    port: 0,
    logLevel: "silent",
    journalMaxEntries: 0,
    ...(options.apiKeys === undefined ? {} : { auth: { apiKeys: [...options.apiKeys] } }),
  });
  const url = await mock.start();
  return {
    mock,
    url,
    openaiUrl: `${url}/v1`,
    anthropicUrl: url,
    text(match, content, extra = {}) {
      mock.addFixture({ match: { userMessage: match }, ...fixtureOf({ text: content, ...extra }) });
    },
    script(match, steps) {
      steps.forEach((step, index) => {
        mock.addFixture({
          match: { userMessage: match, predicate: (request) => answersSinceUser(request.messages) === index },
          ...fixtureOf(step),
        });
      });
    },
    failNext(status, error = {}) {
      mock.nextRequestError(status, error);
    },
    requests: () => mock.getRequests(),
    stop: () => mock.stop(),
  };
}

function fixtureOf(step: ScriptStep): Omit<Fixture, "match"> {
  return {
    response: responseOf(step),
    ...(step.latencyMs === undefined ? {} : { latency: step.latencyMs }),
    ...(step.chunkSize === undefined ? {} : { chunkSize: step.chunkSize }),
    ...(step.rate === undefined ? {} : { streamingProfile: { tps: step.rate } }),
    ...(step.truncateAfterChunks === undefined ? {} : { truncateAfterChunks: step.truncateAfterChunks }),
  };
}

function responseOf(step: ScriptStep): Fixture["response"] {
  if (step.error) {
    const { status, retryAfter, ...error } = step.error;
    return { error, status, ...(retryAfter === undefined ? {} : { retryAfter }) };
  }
  const extra = {
    ...(step.thinking === undefined ? {} : { reasoning: step.thinking }),
    ...(step.usage === undefined ? {} : { usage: step.usage }),
    ...(step.finishReason === undefined ? {} : { finishReason: step.finishReason }),
  };
  if (!step.toolCalls) return { content: step.text ?? "", ...extra };
  const toolCalls = step.toolCalls.map((call) => ({
    name: call.name,
    arguments: typeof call.arguments === "string" ? call.arguments : JSON.stringify(call.arguments),
    ...(call.id === undefined ? {} : { id: call.id }),
  }));
  return step.text === undefined ? { toolCalls, ...extra } : { content: step.text, toolCalls, ...extra };
}

/**
 * Answers of the model after the last thing the user said. In aimock's normal form the tool results of Anthropic
 * are `tool` messages, and the calls of one answer may come as several assistant messages in a row (Responses).
 */
function answersSinceUser(messages: readonly { role: string }[]): number {
  let answers = 0;
  let previous = "";
  for (const { role } of messages) {
    if (role === "user") answers = 0;
    else if (role === "assistant" && previous !== "assistant") answers += 1;
    previous = role;
  }
  return answers;
}
