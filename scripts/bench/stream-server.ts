/**
 * The API in a process of its own, without workers and without caps on streams: 1,000 readers of one session are
 * more than the server allows to one. Its one argument is the database's address as JSON.
 */

import { openAccess } from "../../src/api/access/access.ts";
import { buildApp } from "../../src/api/app.ts";
import { createFeed } from "../../src/api/events/feed.ts";
import { createClientAddresses } from "../../src/api/http/client-address.ts";
import { createCors } from "../../src/api/http/cors.ts";
import { identifyAnonymous } from "../../src/api/http/identify.ts";
import { createOrganizationCaps, NO_CAPS } from "../../src/api/http/organization-caps.ts";
import { createFiguresHistory } from "../../src/api/operations/figures-history.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { createCapabilities } from "../../src/capabilities/registry.ts";
import { createHints } from "../../src/db/hints.ts";
import { type DatabaseAddress, openDb } from "../../src/db/pool.ts";
import { reportContext } from "../../src/engine/context-report.ts";

const db = openDb(JSON.parse(process.argv[2] ?? "") as DatabaseAddress);
const hints = createHints({ db, log: silentLog });
const feed = createFeed({ db, hints, log: silentLog, clock: systemClock });
const capabilities = createCapabilities();
const app = buildApp({
  db,
  log: silentLog,
  clock: systemClock,
  identify: identifyAnonymous({ allowedHosts: [] }),
  access: openAccess({ jwtKey: new Uint8Array(32), clock: systemClock }),
  addresses: createClientAddresses([]),
  cors: createCors([]),
  rateLimit: null,
  caps: createOrganizationCaps(db, systemClock, NO_CAPS),
  capabilities,
  reportContext: (session) =>
    reportContext({ db, resolveCapabilities: (refs) => capabilities.resolve(refs) }, session),
  seal: (plaintext) => plaintext,
  reviewAgent: async () => [],
  listModels: async () => null,
  checkConnection: async () => ({ valid: false, error: "nobody was asked", username: null, scopes: null }),
  hints,
  feed,
  streams: { take: () => () => {}, open: () => 0 },
  figures: createFiguresHistory({ db, log: silentLog, clock: systemClock }),
  shutdown: new AbortController().signal,
  version: "bench",
  isReady: async () => null,
});
await hints.start();
await feed.start();
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  fetch: (request) => app.fetch(request),
});
console.log(`listens on ${server.port}`);
