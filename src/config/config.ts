/**
 * The config room: from flags and environment to one frozen object, once. A value comes from its flag, else from
 * the environment, else from its default, and remembers which. Every problem is told at once. The rooms below
 * receive values; none of them reads the environment.
 */
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { parseAddressRange } from "../base/address-range.ts";
import { UserError } from "../base/errors.ts";
import { parseHostRule } from "../base/host-rule.ts";
import { parseOrigin } from "../base/origin.ts";
import { authProblems, authSettings } from "./auth.ts";
import { capSettings } from "./caps.ts";
import { isLoopbackHost } from "./loopback.ts";
import { address, listOf, oneOf, type Setting, setting, text, type World, wholeNumber } from "./setting.ts";

const hostRules = listOf(
  (part) => (parseHostRule(part) ? part : null),
  "no host; expected are names, addresses or ranges with or without a port, " +
    "like localhost:11434,10.1.2.3,10.0.0.0/8,*.internal",
);

const origins = listOf(
  parseOrigin,
  "no origin; expected are scheme, host and port of pages, like https://app.example.com,http://localhost:5173",
);

const addressRanges = listOf(
  (part) => (parseAddressRange(part) ? part : null),
  "no address; expected are addresses or ranges, like 127.0.0.1,10.0.0.0/8",
);

const settings = {
  host: setting({ flag: "--host", env: "HOST", schema: text, fallback: () => "127.0.0.1" }),
  port: setting({ flag: "--port", env: "PORT", schema: wholeNumber(0, 65_535), fallback: () => 9000 }),
  databaseUrl: setting<string | null>({
    flag: "--database-url",
    env: "DATABASE_URL",
    schema: address(["postgres:", "postgresql:"], "postgres://user:password@host:5432/database"),
    fallback: () => null,
    isUrl: true,
  }),
  dataDir: setting({
    flag: "--data-dir",
    env: "EVERRUNS_DATA_DIR",
    schema: text.transform((path) => resolve(path)),
    fallback: defaultDataDir,
  }),
  workers: setting({
    flag: "--workers",
    env: "EVERRUNS_WORKERS",
    schema: wholeNumber(0, 64),
    fallback: () => 1,
  }),
  concurrency: setting({
    flag: "--concurrency",
    env: "EVERRUNS_CONCURRENCY",
    schema: wholeNumber(1, 10_000),
    fallback: () => 50,
  }),
  logFormat: setting<"pretty" | "json">({
    flag: "--log-format",
    env: "EVERRUNS_LOG_FORMAT",
    schema: oneOf(["pretty", "json"]),
    fallback: ({ isTty }) => (isTty ? "pretty" : "json"),
  }),
  logLevel: setting<"debug" | "info" | "warn" | "error">({
    flag: "--log-level",
    env: "EVERRUNS_LOG_LEVEL",
    schema: oneOf(["debug", "info", "warn", "error"]),
    fallback: () => "info",
  }),
  leaseMs: setting({
    env: "EVERRUNS_LEASE_MS",
    otherEnv: "LEASE_MS",
    schema: wholeNumber(1_000, 600_000),
    fallback: () => 30_000,
  }),
  drainMs: setting({ env: "EVERRUNS_DRAIN_MS", schema: wholeNumber(0, 600_000), fallback: () => 10_000 }),
  keepEventsDays: setting<number | null>({
    env: "EVERRUNS_KEEP_EVENTS_DAYS",
    schema: wholeNumber(1, 36_500),
    fallback: () => null,
  }),
  keepDeletedDays: setting({
    env: "EVERRUNS_KEEP_DELETED_DAYS",
    schema: wholeNumber(0, 36_500),
    fallback: () => 7,
  }),
  keepMessageIdsDays: setting({
    env: "EVERRUNS_KEEP_MESSAGE_IDS_DAYS",
    schema: wholeNumber(1, 36_500),
    fallback: () => 30,
  }),
  ...authSettings,
  allowPrivateHosts: setting<readonly string[]>({
    env: "EVERRUNS_ALLOW_PRIVATE_HOSTS",
    schema: hostRules,
    fallback: () => [],
  }),
  corsOrigins: setting<readonly string[]>({
    env: "EVERRUNS_CORS_ORIGINS",
    otherEnv: "CORS_ALLOWED_ORIGINS",
    schema: origins,
    fallback: () => [],
  }),
  trustedProxies: setting<readonly string[]>({
    env: "EVERRUNS_TRUSTED_PROXIES",
    schema: addressRanges,
    fallback: () => [],
  }),
  /** 0: no limit. null: the usual one where others than this machine's programs may call, else none. */
  requestsPerMinute: setting<number | null>({
    env: "EVERRUNS_REQUESTS_PER_MINUTE",
    schema: wholeNumber(0, 1_000_000),
    fallback: () => null,
  }),
  ...capSettings,
  encryptionKey: setting<string | null>({
    env: "EVERRUNS_ENCRYPTION_KEY",
    schema: text,
    fallback: () => null,
    isSecret: true,
  }),
  openaiApiKey: setting<string | null>({
    env: "OPENAI_API_KEY",
    schema: text,
    fallback: () => null,
    isSecret: true,
  }),
  openaiBaseUrl: setting<string | null>({
    env: "OPENAI_BASE_URL",
    schema: address(["http:", "https:"], "https://api.example.com/v1"),
    fallback: () => null,
    isUrl: true,
  }),
  anthropicApiKey: setting<string | null>({
    env: "ANTHROPIC_API_KEY",
    schema: text,
    fallback: () => null,
    isSecret: true,
  }),
  anthropicBaseUrl: setting<string | null>({
    env: "ANTHROPIC_BASE_URL",
    schema: address(["http:", "https:"], "https://api.example.com"),
    fallback: () => null,
    isUrl: true,
  }),
  apiUrl: setting({
    flag: "--api-url",
    env: "EVERRUNS_API_URL",
    schema: address(["http:", "https:"], "http://127.0.0.1:9000"),
    fallback: () => "http://127.0.0.1:9000",
    isUrl: true,
  }),
  apiKey: setting<string | null>({
    env: "EVERRUNS_API_KEY",
    schema: text,
    fallback: () => null,
    isSecret: true,
  }),
} as const;

export type SettingName = keyof typeof settings;
type Values = { readonly [N in SettingName]: (typeof settings)[N] extends Setting<infer T> ? T : never };

export interface Config extends Values {
  /** Where each value came from: `flag --port`, `environment PORT`, `default`. */
  readonly sources: Readonly<Record<SettingName, string>>;
}

/** Flags as commander gives them: camelCase, text, absent when not said. */
export type Flags = Readonly<Partial<Record<SettingName, string>>> & Readonly<Record<string, unknown>>;

/**
 * @param use  `server`: what only a server needs is checked, too
 * @throws UserError config_invalid: one line for each problem
 */
export function parseConfig(flags: Flags, world: World, use: "server" | "other" = "server"): Config {
  const values: Record<string, unknown> = {};
  const sources: Record<string, string> = {};
  const problems: string[] = [];
  for (const [name, definition] of Object.entries(settings) as [SettingName, Setting<unknown>][]) {
    const said = whatIsSaid(name, definition, flags, world.env);
    sources[name] = said?.source ?? "default";
    if (!said) {
      values[name] = definition.fallback(world);
      continue;
    }
    if (said.text === "") {
      problems.push(`${said.where}: a value is expected`);
      continue;
    }
    const parsed = definition.schema.safeParse(said.text);
    if (parsed.success) values[name] = parsed.data;
    else problems.push(`${said.where}: ${parsed.error.issues.map((issue) => issue.message).join("; ")}`);
  }
  problems.push(...crossChecks(values as Partial<Values>));
  if (use === "server") problems.push(...authProblems(values as Partial<Values>));
  problems.push(...misspelled(world.env));
  if (problems.length > 0) throw new UserError("config_invalid", problems.join("\n"));
  return Object.freeze({ ...values, sources: Object.freeze(sources) }) as Config;
}

export interface ConfigRow {
  name: string;
  value: string;
  source: string;
}

/** The configuration in force, for people. Of a secret no more is shown than its last four characters. */
export function describeConfig(config: Config): ConfigRow[] {
  return (Object.entries(settings) as [SettingName, Setting<unknown>][]).map(([name, definition]) => ({
    name: definition.flag?.replace(/^--/, "") ?? definition.env ?? name,
    value: shown(name, definition, config),
    source: config.sources[name],
  }));
}

/** An address without the password in it. */
export function maskUrl(raw: string): string {
  const url = URL.parse(raw);
  if (!url) return "(not an address)";
  if (url.password !== "") url.password = "***";
  for (const name of ["password", "sslpassword"]) {
    if (url.searchParams.has(name)) url.searchParams.set(name, "***");
  }
  return url.href;
}

function whatIsSaid(name: SettingName, definition: Setting<unknown>, flags: Flags, env: World["env"]) {
  const flag = flags[name];
  if (definition.flag && typeof flag === "string") {
    return { text: flag.trim(), where: definition.flag, source: `flag ${definition.flag}` };
  }
  for (const variable of [definition.env, definition.otherEnv]) {
    const value = variable === undefined ? undefined : env[variable]?.trim();
    // An empty variable is one that nobody filled in.
    if (value) return { text: value, where: variable as string, source: `environment ${variable}` };
  }
  return null;
}

function crossChecks(values: Partial<Values>): string[] {
  const { host, authMode } = values;
  if (host === undefined || authMode !== "none" || isLoopbackHost(host)) return [];
  return [
    `--host ${host}: without authentication the server listens on this machine only (127.0.0.1, ::1, localhost); ` +
      "set AUTH_MODE=admin or AUTH_MODE=full, or put a proxy that authenticates in front of it",
  ];
}

/**
 * A variable that is nearly one of ours is a typing error, and would be passed over in silence. Other `EVERRUNS_…`
 * are let be: Kubernetes sets EVERRUNS_SERVICE_HOST and the like for a service called everruns.
 */
function misspelled(env: World["env"]): string[] {
  const known = (Object.values(settings) as Setting<unknown>[]).flatMap((definition) => definition.env ?? []);
  return Object.keys(env)
    .filter((name) => /^(EVERRUNS|AUTH)_/.test(name) && !known.includes(name))
    .flatMap((name) => {
      const meant = known.find((candidate) => editDistance(name, candidate) <= TYPING_ERRORS_MAX);
      return meant ? [`${name}: there is no such setting; did you mean ${meant}?`] : [];
    });
}

const TYPING_ERRORS_MAX = 2;

/** Characters to insert, delete or replace (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row.at(-1) as number;
}

const NOTHING_SAID: Partial<Record<SettingName, string>> = {
  databaseUrl: "(embedded)",
  keepEventsDays: "(for ever)",
  requestsPerMinute: "(1200 with authentication, else no limit)",
};

function shown(name: SettingName, definition: Setting<unknown>, config: Config): string {
  const value = config[name];
  if (value === null) return NOTHING_SAID[name] ?? "(not set)";
  if (definition.isSecret) return shownSecret(String(value));
  if (definition.isUrl) return maskUrl(String(value));
  if (Array.isArray(value)) return value.length === 0 ? "(none)" : value.join(", ");
  return String(value);
}

/** The end of a long secret tells two apart and gives nothing away; the end of a short one would. */
function shownSecret(secret: string): string {
  return secret.length >= 16 ? `(set, ends in …${secret.slice(-4)})` : "(set)";
}

/**
 * Root: /var/lib/everruns. Others: the XDG data directory of their home. Who has no home at all (a container's
 * nameless user with an empty environment) gets a directory of their own among the temporary files.
 */
function defaultDataDir({ env, isRoot }: World): string {
  if (isRoot) return "/var/lib/everruns";
  const xdg = env.XDG_DATA_HOME;
  if (xdg && isAbsolute(xdg)) return join(xdg, "everruns");
  const home = env.HOME || systemHome();
  if (home && isAbsolute(home) && home !== "/") return join(home, ".local/share/everruns");
  return join(tmpdir(), `everruns-${process.getuid?.() ?? "user"}`);
}

/** From the table of users; null for a user who is not in it. */
function systemHome(): string | null {
  try {
    return homedir();
  } catch {
    return null;
  }
}
