import { UserError } from "../../base/errors.ts";
import { ResourceConfigResponse } from "../../contract/common.ts";
import { modelProfile, modelVendor } from "../../contract/model-profile.ts";
import {
  CreateModelRequest,
  MODEL_SOURCES,
  type Model,
  ModelWithProviderAndUrls,
  ModelWithUrls,
  UpdateModelRequest,
} from "../../contract/provider.ts";
import { List, OneOf, Type } from "../../contract/schema.ts";
import {
  deleteModel,
  findModel,
  findProvider,
  insertModel,
  listModels,
  listModelsOfProvider,
  type ModelProviderRow,
  type ModelRow,
  type ModelWritten,
  updateModel,
} from "../../db/providers/providers.ts";
import type { ApiDeps } from "../deps.ts";
import { policiesFor } from "../http/authorize.ts";
import { pathId } from "../http/path-id.ts";
import { action, created, iso, reply, urlsOf, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

/** Drivers that cannot be used without a key. */
const NEEDS_KEY = new Set(["openai", "anthropic"]);

export function modelRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  const requireProvider = async (organizationId: string, text: string): Promise<string> => {
    const id = pathId("prov", text);
    if (await findProvider(db, organizationId, id)) return id;
    throw new UserError("not_found", "Provider not found");
  };

  return [
    defineRoute({
      method: "GET",
      path: "/models",
      operationId: "list_all_models",
      tag: "models",
      summary: "List the models of all providers",
      description:
        "With vendor, limits, prices and reasoning efforts where the model is known by its name; " +
        "`profile.last_updated` is the day on which the vendor's pages were read for it. `include_stale` shows models, " +
        "too, that their provider listed no more at the last sync.",
      query: Type.Object({
        source: Type.Optional(OneOf(MODEL_SOURCES)),
        include_stale: Type.Optional(Type.Boolean()),
        favorites_only: Type.Optional(Type.Boolean()),
      }),
      responses: { 200: List(ModelWithProviderAndUrls) },
      async run({ query, caller }) {
        const rows = await listModels(db, {
          organizationId: caller.organizationId,
          source: query.source ?? null,
          includeStale: query.include_stale ?? false,
          favoritesOnly: query.favorites_only ?? false,
        });
        return reply(200, whole(rows.map(modelWithProvider)));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/models/config",
      operationId: "model_config",
      tag: "models",
      summary: "What the caller may do with models",
      responses: { 200: ResourceConfigResponse },
      run: async ({ caller }) => reply(200, { policies: policiesFor(caller.isAdmin, caller) }),
    }),
    defineRoute({
      method: "GET",
      path: "/models/{id}",
      operationId: "get_model",
      tag: "models",
      summary: "Read a model",
      responses: { 200: ModelWithProviderAndUrls },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const row = await findModel(db, caller.organizationId, pathId("model", params.id));
        if (!row) throw noModel();
        return reply(200, modelWithProvider(row));
      },
    }),
    defineRoute({
      method: "PATCH",
      access: "admin",
      path: "/models/{id}",
      operationId: "update_model",
      tag: "models",
      summary: "Change some fields of a model",
      description: "Absent and null fields stay; null `capabilities` are emptied.",
      body: UpdateModelRequest,
      responses: { 200: ModelWithUrls },
      problems: ["invalid_id", "limit_exceeded", "not_found", "name_taken"],
      async run({ params, body, caller: { organizationId } }) {
        const id = pathId("model", params.id);
        const changes = {
          model_id: body.model_id ?? undefined,
          display_name: body.display_name ?? undefined,
          provider_id:
            body.provider_id == null ? undefined : await requireProvider(organizationId, body.provider_id),
          capabilities: body.capabilities === undefined ? undefined : (body.capabilities ?? []),
          enabled: body.enabled ?? undefined,
          is_favorite: body.is_favorite ?? undefined,
        };
        return reply(200, written(await updateModel(db, { organizationId, id, changes }), "Model"));
      },
    }),
    defineRoute({
      method: "DELETE",
      access: "admin",
      path: "/models/{id}",
      operationId: "delete_model",
      tag: "models",
      summary: "Remove a model",
      description:
        "Turns that name it fail with `model_unavailable` from then on; an organization whose default it was has none. A " +
        "model that the provider lists comes back with the next sync: to be rid of it, switch it off (`enabled: false`).",
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        if (!(await deleteModel(db, caller.organizationId, pathId("model", params.id)))) throw noModel();
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/providers/{id}/models",
      operationId: "list_provider_models",
      tag: "models",
      summary: "List the models of a provider",
      description: "All of them, also those that the provider listed no more at the last sync (`is_stale`).",
      responses: { 200: List(ModelWithUrls) },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const providerId = await requireProvider(organizationId, params.id);
        const rows = await listModelsOfProvider(db, organizationId, providerId);
        return reply(200, whole(rows.map(modelWithUrls)));
      },
    }),
    defineRoute({
      method: "POST",
      access: "admin",
      path: "/providers/{id}/models",
      operationId: "create_model",
      tag: "models",
      summary: "Add a model to a provider",
      body: CreateModelRequest,
      responses: { 201: ModelWithUrls },
      problems: ["invalid_id", "limit_exceeded", "not_found", "name_taken"],
      async run({ params, body, caller: { organizationId } }) {
        const result = await insertModel(db, {
          organizationId,
          providerId: pathId("prov", params.id),
          modelId: body.model_id,
          displayName: body.display_name,
          capabilities: body.capabilities ?? [],
          enabled: body.enabled ?? true,
          isFavorite: body.is_favorite ?? false,
        });
        return created(written(result, "Provider"));
      },
    }),
  ];
}

const noModel = () => new UserError("not_found", "Model not found");

function written(result: ModelWritten, missing: "Model" | "Provider"): ModelWithUrls {
  if (result.outcome === "not_found") throw new UserError("not_found", `${missing} not found`);
  if (result.outcome === "name_taken")
    throw new UserError("name_taken", "the provider has a model with this model_id");
  return modelWithUrls(result.model);
}

function modelWithUrls(row: ModelRow): ModelWithUrls {
  const path = `/models/${row.id}`;
  return {
    ...toWire(row),
    ...urlsOf(path, [action("update", "PATCH", path), action("delete", "DELETE", path)]),
  };
}

function modelWithProvider(row: ModelProviderRow): ModelWithProviderAndUrls {
  const profile = modelProfile(row.model_id);
  const vendor = modelVendor(row.model_id);
  const hasKey = row.provider_key_set || !NEEDS_KEY.has(row.provider_type);
  return {
    ...modelWithUrls(row),
    provider_name: row.provider_name,
    provider_type: row.provider_type,
    healthy: row.enabled && !row.is_stale && row.provider_status === "active" && hasKey,
    ...(vendor === null ? {} : { model_vendor: vendor }),
    ...(profile === null ? {} : { profile }),
  };
}

function toWire(row: ModelRow): Model {
  return {
    id: row.id,
    provider_id: row.provider_id,
    model_id: row.model_id,
    display_name: row.display_name,
    capabilities: row.capabilities,
    source: row.source,
    enabled: row.enabled,
    is_favorite: row.is_favorite,
    ...(row.is_stale ? { is_stale: true } : {}),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  };
}
