import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import {
  CreateProviderRequest,
  PROVIDER_TYPES,
  type Provider,
  ProvidersConfigResponse,
  type ProviderType,
  ProviderWithUrls,
  UpdateProviderRequest,
} from "../../contract/provider.ts";
import { List } from "../../contract/schema.ts";
import {
  deleteProvider,
  findProvider,
  insertProvider,
  listProviders,
  type ProviderRow,
  providerKeyPlace,
  updateProvider,
} from "../../db/providers/providers.ts";
import type { ApiDeps } from "../deps.ts";
import { policiesFor } from "../http/authorize.ts";
import { pathId } from "../http/path-id.ts";
import { action, created, iso, isoOrNull, present, reply, urlsOf, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

/** Providers. A key goes in and never comes out: it is sealed before it reaches the database. */
export function providerRoutes({ db, seal }: Pick<ApiDeps, "db" | "seal">): Route[] {
  const sealKey = (organizationId: string, providerId: string, key: string) =>
    key === "" ? null : seal(key, providerKeyPlace(organizationId, providerId));

  return [
    defineRoute({
      method: "GET",
      path: "/providers",
      operationId: "list_providers",
      tag: "providers",
      summary: "List providers, oldest first",
      responses: { 200: List(ProviderWithUrls) },
      run: async ({ caller }) =>
        reply(200, whole((await listProviders(db, caller.organizationId)).map(providerToWire))),
    }),
    defineRoute({
      method: "POST",
      access: "admin",
      path: "/providers",
      operationId: "create_provider",
      tag: "providers",
      summary: "Add a provider",
      body: CreateProviderRequest,
      responses: { 201: ProviderWithUrls },
      problems: ["limit_exceeded"],
      async run({ body, caller: { organizationId } }) {
        const id = newId("prov");
        const row = await insertProvider(db, {
          organizationId,
          id,
          name: body.name,
          providerType: readType(body.provider_type),
          baseUrl: readBaseUrl(body.base_url ?? null),
          apiKeySealed: sealKey(organizationId, id, readKey(body) ?? ""),
          trace: body.trace ?? null,
          limits: body.limits ?? null,
        });
        return created(providerToWire(row));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/providers/config",
      operationId: "provider_config",
      tag: "providers",
      summary: "The drivers that there are, and what each needs",
      responses: { 200: ProvidersConfigResponse },
      run: async ({ caller }) =>
        reply(200, {
          drivers: PROVIDER_TYPES.map((driver) => ({
            driver,
            supports_oauth: false,
            credential_schema: CREDENTIALS[driver],
          })),
          policies: policiesFor(caller.isAdmin, caller),
        }),
    }),
    defineRoute({
      method: "GET",
      path: "/providers/{id}",
      operationId: "get_provider",
      tag: "providers",
      summary: "Read a provider",
      responses: { 200: ProviderWithUrls },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const row = await findProvider(db, caller.organizationId, pathId("prov", params.id));
        if (!row) throw noProvider();
        return reply(200, providerToWire(row));
      },
    }),
    defineRoute({
      method: "PATCH",
      access: "admin",
      path: "/providers/{id}",
      operationId: "update_provider",
      tag: "providers",
      summary: "Change some fields of a provider",
      description:
        "Absent fields stay; a null `base_url`, `trace` or `limits` and an empty or null `api_key` are removed. A key " +
        "goes to the address that it was stored for: another host needs `api_key` in the same request.",
      body: UpdateProviderRequest,
      responses: { 200: ProviderWithUrls },
      problems: ["invalid_id", "limit_exceeded", "not_found"],
      async run({ params, body, caller: { organizationId } }) {
        const id = pathId("prov", params.id);
        const key = readKey(body);
        const baseUrl = body.base_url === undefined ? undefined : readBaseUrl(body.base_url);
        if (key === undefined && baseUrl) {
          const before = await findProvider(db, organizationId, id);
          if (!before) throw noProvider();
          requireSameHost(before, baseUrl);
        }
        const row = await updateProvider(db, {
          organizationId,
          id,
          changes: {
            name: body.name ?? undefined,
            provider_type: body.provider_type == null ? undefined : readType(body.provider_type),
            base_url: baseUrl,
            api_key_sealed: key === undefined ? undefined : sealKey(organizationId, id, key),
            status: body.status ?? undefined,
            trace: body.trace,
            limits: body.limits,
          },
        });
        if (!row) throw noProvider();
        return reply(200, providerToWire(row));
      },
    }),
    defineRoute({
      method: "DELETE",
      access: "admin",
      path: "/providers/{id}",
      operationId: "delete_provider",
      tag: "providers",
      summary: "Remove a provider and its models",
      description:
        "Turns that name one of these models fail with `model_unavailable` from then on; an organization whose default " +
        "was among them has none.",
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        if (!(await deleteProvider(db, caller.organizationId, pathId("prov", params.id)))) throw noProvider();
        return reply(204, null);
      },
    }),
  ];
}

/**
 * A stored key is no more readable for who may change an address. Without one, a provider is at its vendor's own.
 *
 * @throws UserError invalid_request
 */
function requireSameHost(before: ProviderRow, baseUrl: string): void {
  const isSame = before.base_url !== null && new URL(baseUrl).origin === new URL(before.base_url).origin;
  if (isSame || !before.api_key_set) return;
  throw new UserError(
    "invalid_request",
    "api_key: the stored key was for another address; send it again with the new one, or null for none",
  );
}

const noProvider = () => new UserError("not_found", "Provider not found");

/** @throws UserError invalid_request */
function readType(text: string): ProviderType {
  const type = PROVIDER_TYPES.find((candidate) => candidate === text);
  if (type) return type;
  throw new UserError("invalid_request", `provider_type: must be one of ${PROVIDER_TYPES.join(", ")}`);
}

/** undefined: the request does not speak of a key; empty: it takes the key away. */
function readKey(body: {
  api_key?: string | null;
  credentials?: Record<string, string> | null;
}): string | undefined {
  const unknown = Object.keys(body.credentials ?? {}).filter((name) => name !== "api_key");
  if (unknown.length > 0) {
    throw new UserError("invalid_request", `credentials: there is only api_key, not ${unknown.join(", ")}`);
  }
  const key = body.api_key === undefined ? body.credentials?.api_key : (body.api_key ?? "");
  // It goes into a header; what comes with copying is cut off.
  const trimmed = key?.trim();
  if (trimmed !== undefined && !/^[\x21-\x7e]*$/.test(trimmed)) {
    throw new UserError("invalid_request", "api_key: contains spaces or characters that no key has");
  }
  return trimmed;
}

/**
 * An address without a slash at its end; an empty one means none. Addresses of this machine and its network are
 * allowed: that is where local models are.
 *
 * @throws UserError invalid_request
 */
function readBaseUrl(text: string | null): string | null {
  const trimmed = text?.trim() ?? "";
  if (trimmed === "") return null;
  const url = URL.parse(trimmed);
  const isPlain =
    url !== null && url.search === "" && url.hash === "" && url.username === "" && url.password === "";
  if (isPlain && (url.protocol === "https:" || url.protocol === "http:")) return trimmed.replace(/\/+$/, "");
  throw new UserError(
    "invalid_request",
    "base_url: must be an http or https address without user, query and fragment, such as https://api.openai.com/v1",
  );
}

const keyField = (required: boolean, placeholder: string) => ({
  name: "api_key",
  label: "API key",
  field_type: "password" as const,
  required,
  placeholder,
});

const CREDENTIALS: Record<ProviderType, ProvidersConfigResponse["drivers"][number]["credential_schema"]> = {
  openai: {
    fields: [keyField(true, "sk-…")],
    instructions_markdown: "Make a key at [platform.openai.com](https://platform.openai.com/api-keys).",
  },
  openai_completions: {
    fields: [keyField(false, "")],
    instructions_markdown:
      "Any server that speaks Chat Completions (vLLM, Ollama, OpenRouter …): set its address as `base_url`. " +
      "Local servers mostly need no key.",
  },
  anthropic: {
    fields: [keyField(true, "sk-ant-…")],
    instructions_markdown:
      "Make a key at [console.anthropic.com](https://console.anthropic.com/settings/keys).",
  },
  llmsim: { fields: [], instructions_markdown: "The simulated model: no key, no network, no cost." },
};

function providerToWire(row: ProviderRow): ProviderWithUrls {
  const path = `/providers/${row.id}`;
  return {
    ...toWire(row),
    ...urlsOf(path, [action("update", "PATCH", path), action("delete", "DELETE", path)]),
  };
}

function toWire(row: ProviderRow): Provider {
  return present({
    id: row.id,
    name: row.name,
    provider_type: row.provider_type,
    base_url: row.base_url,
    api_key_set: row.api_key_set,
    trace: row.trace,
    limits: row.limits,
    status: row.status,
    last_synced_at: isoOrNull(row.last_synced_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
