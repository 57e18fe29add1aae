/**
 * Log lines with bound fields. Two spellings of the same record: `json` (one object a line, for machines) and
 * `pretty` (for a terminal). Values of fields whose name looks like a secret are never printed.
 */
export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log that adds these fields to every line. */
  with(fields: LogFields): Log;
}

export interface LogOptions {
  format: "pretty" | "json";
  level: LogLevel;
  /** Receives one complete line without its newline. */
  write(line: string): void;
  now?(): Date;
  colour?: boolean;
}

const ORDER: Record<LogLevel, number> = { debug: 10, info: 20, warn: 30, error: 40 };
const SECRET_NAME =
  /(api|encryption|private)[_-]?key|secret|password|authorization|^token$|access_?token|cookie|credential/i;

export function createLog(options: LogOptions, bound: LogFields = {}): Log {
  const now = options.now ?? (() => new Date());
  const emit = (level: LogLevel, message: string, fields: LogFields = {}) => {
    if (ORDER[level] < ORDER[options.level]) return;
    const record = plain({ ...bound, ...fields });
    options.write(
      options.format === "json"
        ? JSON.stringify({ ts: now().toISOString(), level, message, ...record })
        : pretty(now(), level, message, record, options.colour ?? false),
    );
  };
  return {
    debug: (message, fields) => emit("debug", message, fields),
    info: (message, fields) => emit("info", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
    error: (message, fields) => emit("error", message, fields),
    with: (fields) => createLog(options, { ...bound, ...fields }),
  };
}

/** A log that says nothing; for tests and for callers that do not care. */
export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  with: () => silentLog,
};

function plain(fields: LogFields): Record<string, unknown> {
  return plainFields(fields, 0);
}

/** Deeper than this a field is not shown; it also ends cycles. */
const DEPTH_MAX = 6;

function plainFields(fields: object, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) out[name] = SECRET_NAME.test(name) ? "[hidden]" : plainValue(value, depth);
  }
  return out;
}

function plainValue(value: unknown, depth: number): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (value instanceof Error) return errorFields(value);
  if (depth >= DEPTH_MAX) return "[…]";
  if (Array.isArray(value)) return value.map((item: unknown) => plainValue(item, depth + 1));
  return plainFields(value, depth + 1);
}

function errorFields(error: Error): Record<string, unknown> {
  const code = (error as { code?: unknown }).code;
  return {
    name: error.name,
    message: error.message,
    ...(typeof code === "string" ? { code } : {}),
    ...(error.stack ? { stack: error.stack } : {}),
    ...(error.cause instanceof Error ? { cause: errorFields(error.cause) } : {}),
  };
}

function pretty(at: Date, level: LogLevel, message: string, fields: LogFields, colour: boolean): string {
  const paint = (code: string, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const mark = {
    debug: paint("2", "debug"),
    info: paint("36", "info "),
    warn: paint("33", "warn "),
    error: paint("31", "error"),
  };
  const rest = Object.entries(fields)
    .map(
      ([name, value]) => paint("2", `${name}=`) + (typeof value === "string" ? value : JSON.stringify(value)),
    )
    .join(" ");
  return `${paint("2", at.toISOString().slice(11, 23))} ${mark[level]} ${message}${rest ? ` ${rest}` : ""}`;
}
