/**
 * Prints the OpenAPI document of the running routes, without a database and without listening.
 *
 *   bun scripts/openapi.ts > test/golden/openapi.json
 */

import { openAccess } from "../src/api/access/access.ts";
import { buildApp } from "../src/api/app.ts";
import { createFeed } from "../src/api/events/feed.ts";
import { createStreamLimits } from "../src/api/events/stream-limits.ts";
import { createClientAddresses } from "../src/api/http/client-address.ts";
import { createCors } from "../src/api/http/cors.ts";
import { identifyAnonymous } from "../src/api/http/identify.ts";
import { createOrganizationCaps, NO_CAPS } from "../src/api/http/organization-caps.ts";
import { createFiguresHistory } from "../src/api/operations/figures-history.ts";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { createCapabilities } from "../src/capabilities/registry.ts";
import { createHints } from "../src/db/hints.ts";
import { openDb } from "../src/db/pool.ts";

/** The document as it is stored: two spaces, a line break at the end, and no version that changes by itself. */
export async function openApiText(): Promise<string> {
  // Pools connect lazily, and the document asks for nothing.
  const db = openDb({ url: "postgres://nobody@127.0.0.1:1/none" });
  const hints = createHints({ db, log: silentLog });
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
    capabilities: createCapabilities(),
    reportContext: async () => null,
    seal: () => "",
    reviewAgent: async () => [],
    listModels: async () => null,
    checkConnection: async () => ({ valid: false, error: "nobody was asked", username: null, scopes: null }),
    hints,
    feed: createFeed({ db, hints, log: silentLog, clock: systemClock }),
    streams: createStreamLimits(),
    figures: createFiguresHistory({ db, log: silentLog, clock: systemClock }),
    shutdown: new AbortController().signal,
    version: "dev",
    isReady: async () => null,
  });
  const response = await app.handle(new Request("http://localhost/api-doc/openapi.json"));
  await db.close();
  return `${JSON.stringify(await response.json(), null, 2)}\n`;
}

if (import.meta.main) process.stdout.write(await openApiText());
