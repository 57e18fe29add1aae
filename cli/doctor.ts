import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { migrations } from "../migrations/index.ts";
import { describeError } from "../src/base/errors.ts";
import { createSealer } from "../src/base/seal.ts";
import { type Client, createClient } from "../src/client/client.ts";
import { ClientError } from "../src/client/errors.ts";
import { type Config, maskUrl } from "../src/config/config.ts";
import { encryptionKeyPath, loadEncryptionKey } from "../src/config/encryption-key.ts";
import { encryptionKeyId } from "../src/db/installation.ts";
import { migrationStatus } from "../src/db/migrate.ts";
import { type DatabaseAddress, type Db, openDb } from "../src/db/pool.ts";
import { defaultModel } from "../src/db/seed.ts";
import { inspectEmbeddedPostgres } from "../src/embedded/postgres.ts";
import { type CommandContext, explain } from "./action.ts";
import { DEFAULT_API_URL, serverOf } from "./contexts.ts";
import { readConfig } from "./platform.ts";
import { versionText } from "./version.ts";

/** One line of the report. */
export interface Finding {
  what: string;
  /** `warn`: works, but somebody should know. `bad`: does not work. */
  state: "ok" | "warn" | "bad";
  found: string;
  /** What to type or to do; only where something should change. */
  next?: string;
}

const ORGANIZATION = "org_00000000000000000000000000000001";
const POSTGRES_MIN = 150_000;
/** Leases use the database's clock alone; a difference only makes times on the screen odd. */
const SKEW_WARN_MS = 2_000;

/**
 * `everruns doctor`: looks at everything, starts nothing, changes nothing.
 *
 * @returns 1 when something does not work
 */
export async function doctor(
  context: CommandContext,
  flags: { json?: boolean; apiUrl?: string } & Record<string, unknown>,
): Promise<number> {
  const findings: Finding[] = [];
  const report = (finding: Finding) => {
    findings.push(finding);
    if (!flags.json) print(context, finding);
  };

  let config: Config | null = null;
  try {
    config = readConfig(flags, context);
    const said = Object.values(config.sources).filter((source) => source !== "default").length;
    report(
      ok("configuration", said === 0 ? "valid, all defaults" : `valid, ${said} from flags and environment`),
    );
  } catch (error) {
    report(bad("configuration", describeError(error), "everruns serve --help lists the settings"));
  }
  if (config) {
    report(checkDataDirectory(config));
    report(checkKeyFile(config));
    for (const finding of await checkDatabase(config)) report(finding);
  }
  const client = createClient(serverToCheck(context, flags));
  for await (const finding of checkServer(client, context)) report(finding);

  const isBad = findings.some(({ state }) => state === "bad");
  if (flags.json) context.out.line(JSON.stringify({ ok: !isBad, findings }, null, 2));
  return isBad ? 1 : 0;
}

/** A file of contexts that cannot be read is told, and the usual address asked. */
function serverToCheck({ env, err }: CommandContext, flags: { apiUrl?: string }) {
  try {
    return serverOf(env, flags);
  } catch (error) {
    err.line(`everruns: ${describeError(error)}`);
    return { baseUrl: flags.apiUrl ?? DEFAULT_API_URL, apiKey: null };
  }
}

function print({ out }: CommandContext, { what, state, found, next }: Finding): void {
  const { green, yellow, red, dim } = out.paint;
  const mark = { ok: green("✓"), warn: yellow("!"), bad: red("✗") }[state];
  out.line(`${mark} ${what.padEnd(14)} ${found.replaceAll("\n", `\n${" ".repeat(17)}`)}`);
  if (next) out.line(`${" ".repeat(17)}${dim("→")} ${next}`);
}

const ok = (what: string, found: string): Finding => ({ what, state: "ok", found });
const warn = (what: string, found: string, next: string): Finding => ({ what, state: "warn", found, next });
const bad = (what: string, found: string, next: string): Finding => ({ what, state: "bad", found, next });

// ---- this machine

function checkDataDirectory({ dataDir }: Config): Finding {
  const isThere = existsSync(dataDir);
  let place = dataDir;
  while (!existsSync(place) && place !== dirname(place)) place = dirname(place);
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch {
    return bad(
      "data directory",
      `${dataDir}: not allowed to write in ${place}`,
      "choose another: --data-dir <path>",
    );
  }
  return ok("data directory", isThere ? dataDir : `${dataDir}, made at the first start`);
}

function checkKeyFile(config: Config): Finding {
  const path = encryptionKeyPath(config.dataDir);
  try {
    if (config.encryptionKey === null && !statSync(path, { throwIfNoEntry: false })) {
      return ok("encryption key", `${path}, made at the first start`);
    }
    return ok("encryption key", loadEncryptionKey(config.encryptionKey, config.dataDir).source);
  } catch (error) {
    return bad(
      "encryption key",
      describeError(error),
      "put it right; without it stored provider keys are lost",
    );
  }
}

// ---- database

async function checkDatabase(config: Config): Promise<Finding[]> {
  let address: DatabaseAddress;
  let name: string;
  if (config.databaseUrl !== null) {
    address = { url: config.databaseUrl };
    name = maskUrl(config.databaseUrl);
  } else {
    const finding = { what: "database", next: "everruns serve" };
    try {
      const found = inspectEmbeddedPostgres(config.dataDir);
      if (found === null) return [{ ...finding, state: "warn", found: "embedded, not made yet" }];
      if (found.pid === null) return [{ ...finding, state: "warn", found: "embedded, not running" }];
      address = found.address;
      name = `embedded, process ${found.pid}`;
    } catch (error) {
      return [
        { ...finding, state: "bad", found: describeError(error), next: "choose another: --data-dir <path>" },
      ];
    }
  }
  const db = openDb(address, { connections: 1, applicationName: "everruns doctor" });
  try {
    return await lookInside(db, config, name);
  } catch (error) {
    const next =
      config.databaseUrl === null ? "everruns serve" : "check DATABASE_URL, and that the server runs";
    return [bad("database", `${name}: ${describeError(error)}`, next)];
  } finally {
    await db.close();
  }
}

async function lookInside(db: Db, config: Config, name: string): Promise<Finding[]> {
  const before = Date.now();
  const [row] = await db.sql<{ number: string; version: string; now: Date }[]>`
    select current_setting('server_version_num') as number, split_part(current_setting('server_version'), ' ', 1)
           as version, clock_timestamp() as now`;
  const after = Date.now();
  if (!row) return [];
  const database =
    Number(row.number) >= POSTGRES_MIN
      ? ok("database", `PostgreSQL ${row.version}, ${name}`)
      : bad("database", `PostgreSQL ${row.version}, ${name}`, "use PostgreSQL 15 or newer");
  const skewMs = Math.round(row.now.getTime() - (before + after) / 2);
  const clock =
    Math.abs(skewMs) <= SKEW_WARN_MS
      ? ok("clocks", "database and this machine agree")
      : warn("clocks", `the database is ${skewMs} ms off this machine`, "synchronise the clocks (NTP)");
  const schema = await checkSchema(db);
  const rest = schema.state === "ok" ? [await checkKey(db, config), await checkDefaultModel(db)] : [];
  return [database, clock, schema, ...rest.filter((finding) => finding !== null)];
}

async function checkSchema(db: Db): Promise<Finding> {
  const rows = await migrationStatus(db, migrations);
  const missing = rows.filter(({ appliedAt }) => appliedAt === null);
  const odd = rows.find(({ appliedAt, isIntact }) => appliedAt !== null && !isIntact);
  if (odd) {
    return bad(
      "schema",
      `${odd.name} is not what this program knows`,
      "use the everruns that made the database",
    );
  }
  if (missing.length > 0)
    return bad("schema", `${missing.length} migrations are missing`, "everruns migrate");
  return ok("schema", `current, ${rows.length} migrations`);
}

/** Whether the key here is the one that the database's secrets are sealed with; null when one of them is not there yet. */
async function checkKey(db: Db, config: Config): Promise<Finding | null> {
  const sealedWith = await encryptionKeyId(db);
  const isMissing = !statSync(encryptionKeyPath(config.dataDir), { throwIfNoEntry: false });
  if (sealedWith === null || (config.encryptionKey === null && isMissing)) return null;
  try {
    const { key, source } = loadEncryptionKey(config.encryptionKey, config.dataDir);
    const { keyId } = createSealer(key);
    if (keyId === sealedWith) return ok("secrets", "sealed with the key of this machine");
    return bad(
      "secrets",
      `sealed with the key ${sealedWith}, but ${source} holds ${keyId}`,
      "put the key that belongs to this database there, or set EVERRUNS_ENCRYPTION_KEY",
    );
  } catch (error) {
    return bad("secrets", describeError(error), "put the right key back");
  }
}

async function checkDefaultModel(db: Db): Promise<Finding> {
  const model = await defaultModel(db, ORGANIZATION);
  if (!model) return bad("default model", "none is set", "everruns serve sets one at its start");
  const name = `${model.model_id} of ${model.provider_name}`;
  if (model.provider_type !== "llmsim") return ok("default model", name);
  return warn(
    "default model",
    `${name}, which only pretends to be a model`,
    "OPENAI_API_KEY=… everruns serve   (or ANTHROPIC_API_KEY)",
  );
}

// ---- server

async function* checkServer(client: Client, context: CommandContext): AsyncGenerator<Finding> {
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
    yield await checkWorkers(client);
    yield await checkProviders(client);
  } catch (error) {
    const isGone = error instanceof ClientError && error.status === 0;
    yield isGone
      ? bad("server", `nothing answers at ${client.baseUrl}`, "everruns serve   (or set EVERRUNS_API_URL)")
      : bad("server", explain(error, context.env), "check EVERRUNS_API_URL and EVERRUNS_API_KEY");
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
  return ok("providers", names);
}
