/**
 * Reading answers as the Python and Rust SDKs do: a field that is missing, null where null is not known, or an enum
 * value that nobody has heard of throws. The tables are those of the contract's text on the SDKs.
 */

type Check = (value: unknown, place: string) => void;

export class DecodeError extends Error {}

const fail = (place: string, what: string): never => {
  throw new DecodeError(`${place}: ${what}`);
};

const string: Check = (value, place) => {
  if (typeof value !== "string") fail(place, `a string is expected, not ${JSON.stringify(value)}`);
};
const boolean: Check = (value, place) => {
  if (typeof value !== "boolean") fail(place, `a boolean is expected, not ${JSON.stringify(value)}`);
};
const number: Check = (value, place) => {
  if (typeof value !== "number") fail(place, `a number is expected, not ${JSON.stringify(value)}`);
};
const int32: Check = (value, place) => {
  if (!Number.isInteger(value) || Math.abs(value as number) > 2 ** 31 - 1) fail(place, `no i32: ${value}`);
};
/** RFC 3339 with `Z` or an offset. */
const time: Check = (value, place) => {
  if (typeof value !== "string" || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value))
    fail(place, `a time is expected, not ${JSON.stringify(value)}`);
};
const anything: Check = (value, place) => {
  if (value === undefined) fail(place, "is missing");
};
const oneOf =
  (...values: string[]): Check =>
  (value, place) => {
    if (!values.includes(value as string)) fail(place, `unknown variant ${JSON.stringify(value)}`);
  };
const listOf =
  (item: Check): Check =>
  (value, place) => {
    if (!Array.isArray(value)) fail(place, `a list is expected, not ${JSON.stringify(value)}`);
    for (const [index, one] of (value as unknown[]).entries()) item(one, `${place}[${index}]`);
  };
/** Absent or right; null is neither. */
const maybe =
  (check: Check): Check =>
  (value, place) => {
    if (value !== undefined) check(value, place);
  };
/** Absent, null or right: `Option` in Rust, `| None` in Python. */
const option =
  (check: Check): Check =>
  (value, place) => {
    if (value !== undefined && value !== null) check(value, place);
  };
const object =
  (fields: Record<string, Check>): Check =>
  (value, place) => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      fail(place, "an object is expected");
    for (const [name, check] of Object.entries(fields)) {
      check((value as Record<string, unknown>)[name], `${place}.${name}`);
    }
  };

const lists = {
  capabilities: maybe(listOf(object({ ref: string }))),
  tags: maybe(listOf(string)),
  tools: maybe(listOf(anything)),
};
const usage = object({
  input_tokens: int32,
  output_tokens: int32,
  cache_read_tokens: option(int32),
  cache_creation_tokens: option(int32),
});
const contentPart = object({ type: oneOf("text", "image", "image_file", "tool_call", "tool_result") });
const fileTimes = { created_at: time, updated_at: time };

const shapes = {
  Agent: object({
    ...{ id: string, name: string, system_prompt: string, harness_id: string },
    status: oneOf("active", "archived", "deleted"),
    ...{ created_at: time, updated_at: time },
    ...lists,
    initial_files: maybe(listOf(anything)),
    ...{ display_name: option(string), description: option(string), default_model_id: option(string) },
    max_iterations: option(int32),
    usage: option(usage),
  }),
  Session: object({
    ...{
      id: string,
      organization_id: string,
      harness_id: string,
      owner_principal_id: string,
      workspace_id: string,
    },
    status: oneOf("started", "active", "idle", "waitingfortoolresults"),
    ...{ created_at: time, updated_at: time },
    ...lists,
    features: maybe(listOf(string)),
    ...{ title: option(string), agent_id: option(string), model_id: option(string), locale: option(string) },
    usage: option(usage),
  }),
  Message: object({
    id: string,
    role: oneOf("system", "user", "agent", "tool_result"),
    content: listOf(contentPart),
    created_at: time,
    phase: maybe(string),
  }),
  Event: object({
    id: string,
    type: string,
    ts: time,
    session_id: string,
    context: maybe(object({})),
    data: object({}),
  }),
  Budget: object({
    ...{ balance: number, currency: string, id: string, limit: number, organization_id: string },
    status: oneOf("active", "paused", "exhausted", "disabled"),
    ...{
      subject_id: string,
      subject_type: string,
      created_at: time,
      updated_at: time,
      soft_limit: option(number),
    },
  }),
  LedgerEntry: object({ id: string, budget_id: string, amount: number, created_at: time }),
  BudgetCheck: object({ action: oneOf("continue", "warn", "pause", "stop") }),
  Model: object({
    capabilities: listOf(string),
    ...{
      created_at: time,
      display_name: string,
      enabled: boolean,
      healthy: boolean,
      id: string,
      is_favorite: boolean,
    },
    ...{ model_id: string, provider_id: string, provider_name: string, provider_type: string },
    source: oneOf("manual", "discovered", "predefined"),
    updated_at: time,
    model_vendor: option(
      oneOf(
        "openai",
        "anthropic",
        "google",
        "nvidia",
        "qwen",
        "microsoft",
        "minimax",
        "moonshot",
        "xai",
        "llmsim",
      ),
    ),
  }),
  File: object({
    ...{
      id: string,
      session_id: string,
      is_directory: boolean,
      is_readonly: boolean,
      name: string,
      path: string,
    },
    size_bytes: int32,
    ...fileTimes,
  }),
  FileStat: object({
    ...{ is_directory: boolean, is_readonly: boolean, name: string, path: string, size_bytes: int32 },
    ...fileTimes,
  }),
  Connection: object({ provider: string, created_at: time, updated_at: time }),
  HarnessExample: object({ name: string, display_name: string, dev_only: boolean }),
} satisfies Record<string, Check>;

export type StrictShape = keyof typeof shapes;

/** The value, when a strict client can read it. @throws DecodeError */
export function strictly<T>(shape: StrictShape, value: T): T {
  shapes[shape](value, shape);
  return value;
}

/** Every one of them. @throws DecodeError */
export function allStrictly<T>(shape: StrictShape, values: readonly T[]): readonly T[] {
  listOf(shapes[shape])(values, `${shape}[]`);
  return values;
}
