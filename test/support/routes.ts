/** The routes that an app serves, each with the data that it was made from. */
import type { Route } from "../../src/api/http/route.ts";
import { apiRoutes } from "../../src/api/routes.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import type { TestApp } from "./app.ts";

/** For everybody, and served without a route as data. */
export const DOCUMENTS = ["/health", "/ready", "/api-doc", "/api-doc/openapi.json"];

export interface ServedRoute {
  method: string;
  /** As the app has it: `/v1/agents/:agent_id`, `/api/v1/…`. */
  path: string;
  /** undefined for the few that are made by hand. */
  route: Route | undefined;
}

export function routesOf(app: TestApp): ServedRoute[] {
  // The data alone is of interest: nothing of it runs.
  const deps = { ...app, log: silentLog, clock: systemClock, capabilities: { list: () => [] } };
  const pattern = ({ path }: Route) => path.replace(/\{\w+\+\}$/, "*").replace(/\{(\w+)\}/g, ":$1");
  const known = new Map(
    apiRoutes(deps as never).map((route) => [`${route.method} ${pattern(route)}`, route]),
  );
  return app.app.routes.map(({ method, path }) => ({
    method,
    path,
    route: known.get(`${method} ${path.replace(/^(\/api)?\/v1/, "")}`),
  }));
}
