import { Elysia } from "elysia";
import { UserError } from "../../base/errors.ts";
import { Health, Ready } from "../../contract/health.ts";
import type { ApiDeps } from "../deps.ts";
import { operationOf } from "../http/operation.ts";

/** As the contract spells them. */
const AUTH_MODES = { none: "None", admin: "Admin", full: "Full" } as const;

/** `/health` and `/ready`: for probes, so they answer under any host name. */
export function healthRoutes(deps: Pick<ApiDeps, "version" | "isReady" | "access">) {
  const authMode = AUTH_MODES[deps.access.mode];
  return new Elysia()
    .get("/health", () => Response.json({ status: "ok", version: deps.version, auth_mode: authMode }), {
      detail: operationOf({
        operationId: "health",
        tag: "operations",
        summary: "The process is alive",
        responses: { 200: Health },
        access: "public",
      }),
    })
    .get(
      "/ready",
      async () => {
        const missing = await deps.isReady();
        if (missing !== null) {
          throw new UserError("unavailable", missing, {
            fields: { retry_after_seconds: RETRY_AFTER_SECONDS },
          });
        }
        return Response.json({ status: "ready" });
      },
      {
        detail: operationOf({
          operationId: "ready",
          tag: "operations",
          summary: "Requests can be served",
          responses: { 200: Ready },
          access: "public",
          problems: ["unavailable"],
        }),
      },
    );
}

const RETRY_AFTER_SECONDS = 5;
