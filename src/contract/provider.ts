/** Providers are credentials and an address; models are what an agent can choose. */
import { WithUrls } from "./common.ts";
import { limits } from "./limits.ts";
import { MODEL_VENDORS, ModelProfile } from "./model-profile.ts";
import { Id, MapOf, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

/**
 * The drivers that this program has: OpenAI Responses, Chat Completions of anybody, Anthropic Messages, and the
 * simulated model.
 */
export const PROVIDER_TYPES = ["openai", "openai_completions", "anthropic", "llmsim"] as const;
export type ProviderType = (typeof PROVIDER_TYPES)[number];

export const ProviderTrace = Type.Object({
  enabled: Type.Boolean(),
  generation_url_template: Maybe(Type.String({ maxLength: limits.urlCharsMax })),
  session_url_template: Maybe(Type.String({ maxLength: limits.urlCharsMax })),
});
export type ProviderTrace = Static<typeof ProviderTrace>;

/** How much the provider may be asked; counted in each worker process by itself. Absent or null: no limit. */
export const ProviderLimits = Type.Object({
  max_concurrent_requests: Maybe(Type.Integer({ minimum: 1, maximum: limits.providerConcurrencyMax })),
  requests_per_minute: Maybe(Type.Integer({ minimum: 1, maximum: limits.providerRequestsPerMinuteMax })),
});
export type ProviderLimits = Static<typeof ProviderLimits>;

/** The key is never shown: `api_key_set` says whether there is one. */
export const Provider = Type.Object({
  id: Id("prov"),
  name: Type.String(),
  provider_type: Type.String(),
  base_url: Type.Optional(Type.String()),
  api_key_set: Type.Boolean(),
  trace: Type.Optional(ProviderTrace),
  limits: Type.Optional(ProviderLimits),
  status: OneOf(["active", "disabled"]),
  last_synced_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Provider = Static<typeof Provider>;

export const ProviderWithUrls = WithUrls(Provider);
export type ProviderWithUrls = Static<typeof ProviderWithUrls>;

const ProviderName = Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax });
const Secret = Type.String({ maxLength: limits.secretCharsMax });
const BaseUrl = Type.String({ maxLength: limits.urlCharsMax });
const Credentials = MapOf(Secret);

/** `credentials: {"api_key": …}` means the same as `api_key`, which wins. */
export const CreateProviderRequest = Type.Object({
  name: ProviderName,
  provider_type: Type.String(),
  base_url: Maybe(BaseUrl),
  api_key: Maybe(Secret),
  credentials: Maybe(Credentials),
  trace: Maybe(ProviderTrace),
  limits: Maybe(ProviderLimits),
});
export type CreateProviderRequest = Static<typeof CreateProviderRequest>;

/** Absent: stays. Null: removed, where the field may be empty. An empty `api_key` removes the key. */
export const UpdateProviderRequest = Type.Object({
  name: Maybe(ProviderName),
  provider_type: Maybe(Type.String()),
  base_url: Maybe(BaseUrl),
  api_key: Maybe(Secret),
  credentials: Maybe(Credentials),
  status: Maybe(OneOf(["active", "disabled"])),
  trace: Maybe(ProviderTrace),
  limits: Maybe(ProviderLimits),
});
export type UpdateProviderRequest = Static<typeof UpdateProviderRequest>;

const FormField = Type.Object({
  name: Type.String(),
  label: Type.String(),
  field_type: OneOf(["password", "text", "url"]),
  required: Type.Boolean(),
  placeholder: Type.Optional(Type.String()),
  help_text: Type.Optional(Type.String()),
});

/** What a user interface needs to draw the form of a new provider. */
export const ProvidersConfigResponse = Type.Object({
  drivers: Type.Array(
    Type.Object({
      driver: Type.String(),
      supports_oauth: Type.Boolean(),
      credential_schema: Type.Object({ fields: Type.Array(FormField), instructions_markdown: Type.String() }),
    }),
  ),
  policies: MapOf(Type.Boolean()),
});
export type ProvidersConfigResponse = Static<typeof ProvidersConfigResponse>;

export const MODEL_SOURCES = ["manual", "discovered", "predefined"] as const;

export const Model = Type.Object({
  id: Id("model"),
  provider_id: Id("prov"),
  /** The vendor's own name of the model. */
  model_id: Type.String(),
  display_name: Type.String(),
  capabilities: Type.Array(Type.String()),
  source: OneOf(MODEL_SOURCES),
  enabled: Type.Boolean(),
  is_favorite: Type.Boolean(),
  /** Only when it is so: the provider did not list the model any more at the last sync. */
  is_stale: Type.Optional(Type.Boolean()),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Model = Static<typeof Model>;

export const ModelWithUrls = WithUrls(Model);
export type ModelWithUrls = Static<typeof ModelWithUrls>;

/** `healthy`: enabled, not stale, its provider active, and with a key where its driver needs one. */
export const ModelWithProvider = Type.Intersect([
  Model,
  Type.Object({
    provider_name: Type.String(),
    provider_type: Type.String(),
    healthy: Type.Boolean(),
    model_vendor: Type.Optional(OneOf(MODEL_VENDORS)),
    profile: Type.Optional(ModelProfile),
  }),
]);
export type ModelWithProvider = Static<typeof ModelWithProvider>;

export const ModelWithProviderAndUrls = WithUrls(ModelWithProvider);
export type ModelWithProviderAndUrls = Static<typeof ModelWithProviderAndUrls>;

const VendorModelName = Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax });
const DisplayName = Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax });
const ModelCapabilities = Type.Array(Type.String({ maxLength: limits.tagCharsMax }), {
  maxItems: limits.tagsMax,
});

export const CreateModelRequest = Type.Object({
  model_id: VendorModelName,
  display_name: DisplayName,
  capabilities: Maybe(ModelCapabilities),
  enabled: Maybe(Type.Boolean()),
  is_favorite: Maybe(Type.Boolean()),
});
export type CreateModelRequest = Static<typeof CreateModelRequest>;

export const UpdateModelRequest = Type.Object({
  model_id: Maybe(VendorModelName),
  display_name: Maybe(DisplayName),
  provider_id: Maybe(Type.String()),
  capabilities: Maybe(ModelCapabilities),
  enabled: Maybe(Type.Boolean()),
  is_favorite: Maybe(Type.Boolean()),
});
export type UpdateModelRequest = Static<typeof UpdateModelRequest>;

/** What a sync did: models that are new, that came back or got a better name, and that the provider lists no more. */
export const SyncModelsResponse = Type.Union([
  Type.Object({
    status: OneOf(["success"]),
    created: Type.Integer(),
    updated: Type.Integer(),
    stale: Type.Integer(),
  }),
  Type.Object({ status: OneOf(["not_supported"]) }),
]);
export type SyncModelsResponse = Static<typeof SyncModelsResponse>;
