/** `sync-models`: what a provider lists comes into the organization's models. */
import { RetryableError, UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import { modelProfile } from "../../contract/model-profile.ts";
import { SyncModelsResponse } from "../../contract/provider.ts";
import { findSealedProvider, mergeListedModels, type SealedProvider } from "../../db/providers/sync.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

export function providerSyncRoutes(deps: Pick<ApiDeps, "db" | "listModels">): Route[] {
  const { db } = deps;
  return [
    defineRoute({
      method: "POST",
      access: "admin",
      path: "/providers/{id}/sync-models",
      operationId: "sync_models",
      tag: "providers",
      summary: "Ask a provider for its models",
      description:
        "Those that are not stored yet come as `discovered`; of the others, what people decided stays. Models that the " +
        "provider lists no more become stale, unless a person added them. `not_supported`: the provider has no such list.",
      responses: { 200: SyncModelsResponse },
      problems: ["invalid_id", "not_found", "provider_misconfigured", "provider_unavailable"],
      async run({ params, caller: { organizationId }, request }) {
        const provider = await findSealedProvider(db, organizationId, pathId("prov", params.id));
        if (!provider) throw noProvider();
        const names = await ask(deps, provider, organizationId, request.signal);
        if (names === null) return reply(200, { status: "not_supported" as const });
        const merged = await mergeListedModels(db, {
          organizationId,
          providerId: provider.id,
          listed: names
            .filter((name) => name.length > 0 && name.length <= limits.displayNameCharsMax)
            .map((name) => ({ modelId: name, displayName: modelProfile(name)?.name ?? name })),
          isWhole: names.length < limits.providerModelsMax,
        });
        if (!merged) throw noProvider();
        return reply(200, { status: "success" as const, ...merged });
      },
    }),
  ];
}

const noProvider = () => new UserError("not_found", "Provider not found");

/** What went wrong at the provider is the caller's to read: it is their provider. */
async function ask(
  { listModels }: Pick<ApiDeps, "listModels">,
  provider: SealedProvider,
  organizationId: string,
  gone: AbortSignal,
): Promise<string[] | null> {
  const late = AbortSignal.timeout(limits.providerListMs);
  try {
    return await listModels(provider, organizationId, AbortSignal.any([gone, late]));
  } catch (error) {
    if (late.aborted) {
      throw new UserError(
        "provider_unavailable",
        `${provider.name} did not list its models within ${limits.providerListMs / 1000} seconds`,
      );
    }
    if (!(error instanceof UserError || error instanceof RetryableError)) throw error;
    const isRefused = error instanceof UserError && error.code === "provider_misconfigured";
    throw new UserError(isRefused ? "provider_misconfigured" : "provider_unavailable", error.message);
  }
}
