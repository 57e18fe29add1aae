/** The engine's health and its figures over time, for operators. */
import { ResourceConfigResponse } from "../../contract/common.ts";
import { HealthResponse, MetricsTimeSeriesResponse } from "../../contract/durable.ts";
import { readEngineFigures } from "../../db/durable/figures.ts";
import type { ApiDeps } from "../deps.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { healthToWire } from "./_health-wire.ts";

const SCOPE =
  "Figures are of the whole installation and name nobody; totals are of the workers that are still listed.";

export function durableHealthRoutes({ db, figures }: Pick<ApiDeps, "db" | "figures">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/durable/config",
      operationId: "durable_config",
      tag: "durable",
      summary: "What the caller may do with the engine",
      responses: { 200: ResourceConfigResponse },
      run: async ({ caller: { isAdmin } }) => reply(200, { policies: { view: isAdmin, manage: isAdmin } }),
    }),
    defineRoute({
      method: "GET",
      path: "/durable/health",
      operationId: "get_health",
      tag: "durable",
      summary: "How the engine is",
      description: `${SCOPE} \`unhealthy\`: no worker is alive; \`degraded\`: turns wait and no worker has a free slot.`,
      access: "operator",
      responses: { 200: HealthResponse },
      run: async () => reply(200, healthToWire(await readEngineFigures(db))),
    }),
    defineRoute({
      method: "GET",
      path: "/durable/metrics/timeseries",
      operationId: "get_metrics_timeseries",
      tag: "durable",
      summary: "The engine's figures of the last hour, a point every 10 seconds",
      description: `${SCOPE} The points are this process's own, since it began.`,
      access: "operator",
      responses: { 200: MetricsTimeSeriesResponse },
      run: async () => reply(200, figures.timeSeries()),
    }),
  ];
}
