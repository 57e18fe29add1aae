import { Elysia } from "elysia";
import { UserError } from "../../base/errors.ts";
import { Health, Ready } from "../../contract/health.ts";
import type { ApiDeps } from "../deps.ts";
import { operationOf } from "../http/operation.ts";

/** `/health` and `/ready`: for probes, so they answer under any host name. */
export function healthRoutes(deps: Pick<ApiDeps, "version" | "isReady">) {
  return new Elysia()
    .get("/health", () => Response.json({ status: "ok", version: deps.version, auth_mode: "None" }), {
      detail: operationOf({
        operationId: "health",
        tag: "operations",
        isOpen: true,
        summary: "The process is alive",
        responses: { 200: Health },
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
          isOpen: true,
          summary: "Requests can be served",
          responses: { 200: Ready },
          problems: ["unavailable"],
        }),
      },
    );
}

const RETRY_AFTER_SECONDS = 5;
