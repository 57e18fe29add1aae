/** `everruns serve`: the API, and workers unless --workers 0. */

import { migrations } from "../migrations/index.ts";
import { identifyByCredential } from "../src/api/access/authenticate.ts";
import { buildApp } from "../src/api/app.ts";
import { createFeed } from "../src/api/events/feed.ts";
import { createStreamLimits } from "../src/api/events/stream-limits.ts";
import { createClientAddresses } from "../src/api/http/client-address.ts";
import { createCors } from "../src/api/http/cors.ts";
import { DEFAULT_ORGANIZATION, identifyAnonymous } from "../src/api/http/identify.ts";
import { createOrganizationCaps } from "../src/api/http/organization-caps.ts";
import { createRateLimit } from "../src/api/http/rate-limit.ts";
import { createFiguresHistory } from "../src/api/operations/figures-history.ts";
import { systemClock } from "../src/base/clock.ts";
import { describeError, UserError } from "../src/base/errors.ts";
import type { Sealer } from "../src/base/seal.ts";
import type { Capability } from "../src/capabilities/capability.ts";
import { createConnectionCheck } from "../src/capabilities/connection-check.ts";
import { createCapabilities } from "../src/capabilities/registry.ts";
import type { Config } from "../src/config/config.ts";
import { limits } from "../src/contract/limits.ts";
import { hasUsers } from "../src/db/access/users.ts";
import { createHints } from "../src/db/hints.ts";
import { requireCurrentSchema } from "../src/db/migrate.ts";
import type { Db } from "../src/db/pool.ts";
import { defaultModel, seedProviders } from "../src/db/seed.ts";
import { asRetryable } from "../src/db/sqlstate.ts";
import { reportContext } from "../src/engine/context-report.ts";
import { createDrivers } from "../src/engine/drivers.ts";
import { reviewAgent } from "../src/engine/review.ts";
import { createDriverDeps } from "../src/llm/registry.ts";
import { accessOf, ensureAdmin } from "./access.ts";
import type { CommandContext } from "./action.ts";
import { startWorkers } from "./engine.ts";
import { ensureSchema, openLog, openPlatform, openSealer, type Platform, readConfig } from "./platform.ts";
import { programName } from "./program-name.ts";
import { untilStopped } from "./until-stopped.ts";
import { versionText } from "./version.ts";

/** How long open requests may take when the server goes down. */
const CLOSE_MS = 2_000;

/** @param more  capabilities beside those of the house */
export async function serveCommand(
  flags: Record<string, unknown>,
  context: CommandContext,
  more: readonly Capability[] = [],
): Promise<number> {
  const config = readConfig(flags, context);
  const log = openLog(config, context);
  const platform = await openPlatform(config, log, context);
  try {
    await ensureSchema(platform);
    const opened = await openSealer(platform);
    const { sealer, key } = opened;
    if (key.isNew)
      log.info(`made the encryption key ${key.source}; keep a copy: stored keys open with it alone`);
    await seed(platform, sealer);
    await ensureAdmin(platform);
    await serve(platform, opened, context, more);
    return 0;
  } catch (error) {
    throw asRetryable(error);
  } finally {
    await platform.close();
  }
}

async function serve(
  platform: Platform,
  { sealer, key }: Awaited<ReturnType<typeof openSealer>>,
  context: CommandContext,
  more: readonly Capability[],
): Promise<void> {
  const { config, db, log } = platform;
  const shutdown = new AbortController();
  const hints = createHints({ db, log });
  const feed = createFeed({ db, hints, log, clock: systemClock });
  const figures = createFiguresHistory({ db, clock: systemClock, log });
  const capabilities = createCapabilities({
    webFetch: { allowPrivateHosts: config.allowPrivateHosts },
    more,
  });
  const askService = createConnectionCheck({ allowPrivateHosts: config.allowPrivateHosts });
  const addresses = createClientAddresses(config.trustedProxies);
  // Without authentication the only callers are programs of this machine.
  const orUsual = (said: number | null, usual: number) => said ?? (config.authMode === "none" ? 0 : usual);
  const perMinute = orUsual(config.requestsPerMinute, limits.requestsPerMinute);
  const access = accessOf(config, key);
  const driverFor = createDrivers(sealer, createDriverDeps());
  const app = buildApp({
    db,
    log,
    clock: systemClock,
    identify:
      access.mode === "none"
        ? identifyAnonymous({ allowedHosts: [config.host], allowedOrigins: config.corsOrigins })
        : identifyByCredential(db, access),
    access,
    addresses,
    cors: createCors(config.corsOrigins),
    rateLimit: perMinute === 0 ? null : createRateLimit({ perMinute, clock: systemClock }),
    caps: createOrganizationCaps(db, systemClock, {
      agents: orUsual(config.maxAgents, limits.agentsPerOrganization) || null,
      sessions: orUsual(config.maxSessions, limits.sessionsPerOrganization) || null,
      activeTurns: orUsual(config.maxActiveTurns, limits.activeTurnsPerOrganization) || null,
    }),
    capabilities,
    reportContext: (session) =>
      reportContext({ db, resolveCapabilities: (refs) => capabilities.resolve(refs) }, session),
    seal: (plaintext, place) => sealer.seal(plaintext, place),
    listModels: (provider, organizationId, signal) =>
      driverFor({ provider }, organizationId).listModels(signal),
    reviewAgent: (agent, signal) => reviewAgent({ db, driverFor }, agent, signal),
    checkConnection: (provider, { sealed, place }) => askService(provider, sealer.open(sealed, place)),
    hints,
    feed,
    streams: createStreamLimits(),
    figures,
    shutdown: shutdown.signal,
    version: versionText(),
    isReady: () => readiness(db),
  });
  await hints.start();
  await feed.start();
  await figures.start();
  const server = listen(config, (request, socketAddress) => {
    addresses.note(request, socketAddress);
    return app.fetch(request);
  });
  const workers = await startWorkers(platform, { sealer, hints, capabilities, count: config.workers });
  try {
    await printBanner(platform, server.url, context);
    await untilStopped(context.signal);
    log.info("stopping: turns in hand are finished or handed back");
  } finally {
    // Streams first: they tell their readers, then nothing holds the server's connections open.
    shutdown.abort();
    await Promise.race([server.stop(), systemClock.sleep(CLOSE_MS)]);
    await server.stop(true);
    await workers.stop();
    await figures.stop();
    await feed.stop();
    await hints.stop();
  }
}

type Serve = (request: Request, socketAddress: string | null) => Response | Promise<Response>;

function listen(config: Config, serveRequest: Serve) {
  try {
    return Bun.serve({
      hostname: config.host,
      port: config.port,
      // Streams live for minutes; heartbeats tell a dead connection, not a time limit.
      idleTimeout: 0,
      // The API refuses too large a body itself and says why; this only stops what is far beyond.
      maxRequestBodySize: 2 * limits.fileRequestBytesMax,
      fetch: (request, server) => serveRequest(request, server.requestIP(request)?.address ?? null),
    });
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (code === "EADDRINUSE") {
      throw new UserError(
        "port_in_use",
        `port ${config.port} on ${config.host} is in use, perhaps by another everruns; ` +
          "choose another with --port, or --port 0 for a free one",
      );
    }
    throw new UserError(
      "cannot_listen",
      `cannot listen on ${config.host}:${config.port}: ${describeError(error)}`,
    );
  }
}

async function seed({ config, db }: Platform, sealer: Sealer): Promise<void> {
  const credentials = (apiKey: string | null, baseUrl: string | null) =>
    apiKey === null ? null : { apiKey, baseUrl };
  await seedProviders(db, {
    organizationId: DEFAULT_ORGANIZATION,
    sealer,
    openai: credentials(config.openaiApiKey, config.openaiBaseUrl),
    anthropic: credentials(config.anthropicApiKey, config.anthropicBaseUrl),
  });
}

/** A schema newer than this program is no reason: while servers are replaced one by one, the old ones go on. */
export async function readiness(db: Db): Promise<string | null> {
  try {
    await requireCurrentSchema(db, migrations);
    return null;
  } catch (error) {
    if (!(error instanceof UserError)) return "the database cannot be reached";
    return error.code === "schema_newer" ? null : error.message;
  }
}

async function printBanner({ config, db, databaseName }: Platform, url: URL, { out }: CommandContext) {
  const model = await defaultModel(db, DEFAULT_ORGANIZATION);
  const isSimulated = model?.provider_type === "llmsim";
  const address = url.href.replace(/\/$/, "");
  const apiUrl = address === "http://127.0.0.1:9000" ? "" : `EVERRUNS_API_URL=${address} `;
  out.line(`everruns ${versionText()} listens on ${address}`);
  out.line(`  database  ${databaseName}`);
  out.line(
    `  workers   ${config.workers === 0 ? "none here; start some with: everruns worker" : workersText(config)}`,
  );
  out.line(`  model     ${model === null ? "none" : `${model.model_id} (${model.provider_name})`}`);
  if (isSimulated) {
    out.line(
      "            simulated: no key is set. Start with OPENAI_API_KEY or ANTHROPIC_API_KEY for a real one",
    );
  }
  if (config.authMode !== "none") out.line(`  access    ${await accessText(config, db)}`);
  out.line(`  next      ${apiUrl}${programName()} run "hello"`);
}

async function accessText({ authMode, authAdminEmail }: Config, db: Db): Promise<string> {
  if (authMode === "admin") return `${authAdminEmail} alone; a token for programs: everruns keys create`;
  if (await hasUsers(db)) return "users; a token for programs: everruns keys create";
  return "nobody yet; the first owner: everruns users create --email you@example.com --role owner --password-stdin";
}

function workersText({ workers, concurrency }: Config): string {
  return `${workers}, up to ${concurrency} turns at once${workers > 1 ? " each" : ""}`;
}
