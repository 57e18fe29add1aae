/** The API on a database of its own, called without a socket. */
import { type Access, createAccess, openAccess } from "../../src/api/access/access.ts";
import { identifyByCredential } from "../../src/api/access/authenticate.ts";
import { buildApp } from "../../src/api/app.ts";
import type { ApiDeps } from "../../src/api/deps.ts";
import { createFeed } from "../../src/api/events/feed.ts";
import { createStreamLimits } from "../../src/api/events/stream-limits.ts";
import { type ClientAddresses, createClientAddresses } from "../../src/api/http/client-address.ts";
import { createCors } from "../../src/api/http/cors.ts";
import { identifyAnonymous } from "../../src/api/http/identify.ts";
import { type CapSettings, createOrganizationCaps, NO_CAPS } from "../../src/api/http/organization-caps.ts";
import type { RateLimit } from "../../src/api/http/rate-limit.ts";
import { createFiguresHistory } from "../../src/api/operations/figures-history.ts";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { createLog, type Log } from "../../src/base/log.ts";
import { createSealer } from "../../src/base/seal.ts";
import { createCapabilities } from "../../src/capabilities/registry.ts";
import { createHints, type Hint, type Hints } from "../../src/db/hints.ts";
import type { Db } from "../../src/db/pool.ts";
import { seedProviders } from "../../src/db/seed.ts";
import { reportContext } from "../../src/engine/context-report.ts";
import { createDrivers } from "../../src/engine/drivers.ts";
import { reviewAgent } from "../../src/engine/review.ts";
import { createDriverDeps } from "../../src/llm/registry.ts";
import type { FetchLike } from "../../src/llm/watch.ts";
import { testDatabase } from "./postgres.ts";

export interface Answer {
  status: number;
  headers: Headers;
  /** The JSON body, or the text of one that is not JSON; null when there is none. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  body: any;
}

export interface TestApp {
  db: Db;
  hints: Hints;
  /** Every hint that the routes published. */
  published: Hint[];
  /** Lines of the log, as JSON. */
  logged: string[];
  sealer: ReturnType<typeof createSealer>;
  app: ReturnType<typeof buildApp>;
  addresses: ClientAddresses;
  access: Access;
  /** A request to `/v1{path}`; a path that begins with `//` is taken as it is, from its second slash. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  get(path: string): Promise<Answer>;
  post(path: string, body?: unknown): Promise<Answer>;
  close(): Promise<void>;
}

export const ORGANIZATION = "org_00000000000000000000000000000001";
export const OTHER_ORGANIZATION = "org_00000000000000000000000000000002";

/** Providers of tests are on this machine; whoever names another gets what a machine without a network gives. */
const fetchOnThisMachine: FetchLike = async (input, init) => {
  const { hostname } = new URL(input instanceof Request ? input.url : String(input));
  if (hostname !== "localhost" && hostname !== "127.0.0.1") throw new TypeError("no network in tests");
  return fetch(input, init);
};

export async function testApp(
  options: {
    isReady?: () => Promise<string | null>;
    db?: Db;
    checkConnection?: ApiDeps["checkConnection"];
    corsOrigins?: readonly string[];
    rateLimit?: RateLimit;
    caps?: Partial<CapSettings>;
    /** Of the routes; the system's by default. */
    clock?: Clock;
    /** Callers must prove who they are; by default they need not. */
    access?: Partial<Omit<Access, "jwts" | "passwords">>;
  } = {},
): Promise<TestApp> {
  const clock = options.clock ?? systemClock;
  const database = await testDatabase();
  const db = options.db ?? database.db;
  const logged: string[] = [];
  const log: Log = createLog({ format: "json", level: "debug", write: (line) => logged.push(line) });
  const sealer = createSealer(new Uint8Array(32).fill(7));
  if (!options.db)
    await seedProviders(db, { organizationId: ORGANIZATION, sealer, openai: null, anthropic: null });
  const hints = createHints({ db, log });
  const published: Hint[] = [];
  hints.subscribe((hint) => published.push(hint));
  const feed = createFeed({ db, hints, log, clock });
  const shutdown = new AbortController();
  const addresses = createClientAddresses([]);
  const keys = { jwtKey: new Uint8Array(32).fill(9), clock };
  const access = options.access
    ? createAccess({
        mode: "full",
        adminEmail: null,
        isSignupOpen: false,
        publicUrl: null,
        allowedOrigins: options.corsOrigins ?? [],
        oidc: null,
        ...options.access,
        ...keys,
      })
    : openAccess(keys);
  const capabilities = createCapabilities();
  const driverFor = createDrivers(sealer, createDriverDeps({ fetch: fetchOnThisMachine }));
  const app = buildApp({
    db,
    log,
    clock,
    identify: options.access
      ? identifyByCredential(db, access)
      : identifyAnonymous({
          allowedHosts: ["everruns.test"],
          allowedOrigins: options.corsOrigins ?? [],
        }),
    access,
    addresses,
    cors: createCors(options.corsOrigins ?? []),
    rateLimit: options.rateLimit ?? null,
    caps: createOrganizationCaps(db, clock, { ...NO_CAPS, ...options.caps }),
    capabilities,
    reportContext: (session) =>
      reportContext({ db, resolveCapabilities: (refs) => capabilities.resolve(refs) }, session),
    seal: (plaintext, place) => sealer.seal(plaintext, place),
    listModels: (provider, organizationId, signal) =>
      driverFor({ provider }, organizationId).listModels(signal),
    reviewAgent: (agent, signal) => reviewAgent({ db, driverFor }, agent, signal),
    checkConnection:
      options.checkConnection ??
      (async () => ({ valid: false, error: "nobody was asked", username: null, scopes: null })),
    hints,
    feed,
    streams: createStreamLimits(),
    figures: createFiguresHistory({ db, log, clock }),
    shutdown: shutdown.signal,
    version: "0.0.0-test",
    isReady: options.isReady ?? (async () => null),
  });
  const call: TestApp["call"] = async (method, path, body, headers = {}) => {
    const isForm = body instanceof FormData;
    const isJson = body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array) && !isForm;
    const url = `http://localhost${path.startsWith("//") ? path.slice(1) : `/v1${path}`}`;
    const response = await app.handle(
      new Request(url, {
        method,
        headers: {
          ...(body === undefined || isForm ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : (body as string) }),
      }),
    );
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body:
        text === ""
          ? null
          : /[/+]json/.test(response.headers.get("content-type") ?? "/json")
            ? JSON.parse(text)
            : text,
    };
  };
  return {
    db,
    hints,
    published,
    logged,
    sealer,
    app,
    addresses,
    access,
    call,
    get: (path) => call("GET", path),
    post: (path, body) => call("POST", path, body),
    async close() {
      shutdown.abort();
      await hints.stop();
      await database.drop();
    },
  };
}
