import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import {
  CreateOrganizationRequest,
  Organization,
  ResolveOrgResponse,
  UpdateOrganizationRequest,
} from "../../contract/organization.ts";
import { List, type Static, Type } from "../../contract/schema.ts";
import {
  areProviders,
  completeOnboarding,
  insertOrganization,
  listOrganizations,
  type OrganizationChanges,
  type OrganizationRow,
  type OwnOrganizationRow,
  organizationOf,
  readOrganization,
  updateOrganization,
} from "../../db/access/organizations.ts";
import { readHarness } from "../../db/agents/harnesses.ts";
import type { Db } from "../../db/pool.ts";
import { requireModel } from "../agents/layer.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { iso, isoOrNull, present, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { seedOrganization } from "./new-organization.ts";

type Deps = Pick<ApiDeps, "db" | "seal">;

export function organizationRoutes(deps: Deps): Route[] {
  const { db } = deps;

  return [
    defineRoute({
      method: "GET",
      path: "/orgs",
      operationId: "list_organizations",
      tag: "organizations",
      summary: "List the caller's organizations",
      responses: { 200: List(Organization) },
      async run({ caller }) {
        const rows = await listOrganizations(db, caller.userId);
        return reply(200, whole(rows.filter(({ id }) => opens(caller, id)).map(organizationToWire)));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/orgs",
      operationId: "create_organization",
      tag: "organizations",
      summary: "Make an organization",
      description:
        "The caller becomes its owner. It starts with the built-in harnesses and the simulated provider; requests go " +
        "there with `X-Org-Id` or after `switch-org`.",
      access: "self",
      body: CreateOrganizationRequest,
      responses: { 201: Organization },
      problems: ["conflict", "forbidden"],
      async run({ body, caller }) {
        const { credential } = caller;
        if (credential.kind === "none") {
          throw new UserError("conflict", "a server without authentication has one organization");
        }
        if (credential.kind === "token" && !credential.scopes.includes("admin")) {
          throw new UserError("forbidden", "a token without the scope admin makes no organizations");
        }
        const made = await insertOrganization(db, { userId: caller.userId, name: body.name });
        if (!made) {
          throw new UserError("conflict", `you own ${limits.organizationsPerUserMax} organizations already`);
        }
        await seedOrganization(deps, made.id);
        const seeded = await readOrganization(db, caller.userId, made.id);
        return reply(201, organizationToWire(seeded ?? made), { location: `/v1/orgs/${made.id}` });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/orgs/{org}",
      operationId: "get_organization",
      tag: "organizations",
      summary: "Read an organization",
      responses: { 200: Organization },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        reply(200, organizationToWire(await ownOrganization(db, caller, params.org))),
    }),
    defineRoute({
      method: "PATCH",
      path: "/orgs/{org}",
      operationId: "update_organization",
      tag: "organizations",
      summary: "Change the settings of an organization",
      description:
        "An admin of it. Absent fields stay, null empties. `default_model_id` and `default_harness_id` are what agents " +
        "and sessions get that name none. `base_harness_id` and `default_provider_per_service` are stored and shown; " +
        "nothing reads them yet.",
      access: "self",
      body: UpdateOrganizationRequest,
      responses: { 200: Organization },
      problems: ["invalid_id", "not_found", "forbidden"],
      async run({ params, body, caller }) {
        const { id } = await managedOrganization(db, caller, params.org);
        const changed = await updateOrganization(db, id, await readChanges(deps, id, body));
        if (!changed) throw noOrganization();
        return reply(200, organizationToWire(changed));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/orgs/{org}/onboarding/complete",
      operationId: "complete_org_onboarding",
      tag: "organizations",
      summary: "Note that the first steps were taken",
      description: "An admin of it. The first time counts.",
      access: "self",
      responses: { 200: Organization },
      problems: ["invalid_id", "not_found", "forbidden"],
      async run({ params, caller }) {
        const done = await completeOnboarding(db, (await managedOrganization(db, caller, params.org)).id);
        if (!done) throw noOrganization();
        return reply(200, organizationToWire(done));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/resolve-org",
      operationId: "resolve_org",
      tag: "users",
      summary: "Which of the caller's organizations something belongs to",
      description:
        "`id` is that of an organization, agent, harness, session, run, provider, model or budget: for a link to something that " +
        "another organization of the caller has.",
      query: Type.Object({ id: Type.String({ maxLength: limits.nameCharsMax }) }),
      responses: { 200: ResolveOrgResponse },
      problems: ["not_found"],
      async run({ query, caller }) {
        const found = await organizationOf(db, caller.userId, query.id);
        if (!found || !opens(caller, found.id)) throw noOrganization();
        return reply(200, { org_id: found.id, org_name: found.name });
      },
    }),
  ];
}

/** One that the caller belongs to and the credential opens. @throws UserError invalid_id, not_found */
export async function ownOrganization(db: Db, caller: Caller, text: string): Promise<OwnOrganizationRow> {
  const id = pathId("org", text);
  const organization = opens(caller, id) ? await readOrganization(db, caller.userId, id) : null;
  if (!organization) throw noOrganization();
  return organization;
}

/** One that the caller manages, whichever the request is for. @throws UserError invalid_id, not_found, forbidden */
export async function managedOrganization(db: Db, caller: Caller, text: string): Promise<OwnOrganizationRow> {
  const organization = await ownOrganization(db, caller, text);
  const { credential } = caller;
  const isAdmin = organization.role === "owner" || organization.role === "admin";
  if (isAdmin && (credential.kind !== "token" || credential.scopes.includes("admin"))) return organization;
  throw new UserError("forbidden", "only an admin of the organization may do this");
}

/** A token opens the organizations that it was made for; who signed in, all of theirs. */
function opens({ credential, organizationId }: Caller, id: string): boolean {
  if (credential.kind === "token") return credential.organizationIds.includes(id);
  return credential.kind === "login" || organizationId === id;
}

async function readChanges(
  { db }: Deps,
  organizationId: string,
  body: Static<typeof UpdateOrganizationRequest>,
): Promise<OrganizationChanges> {
  const changes: OrganizationChanges = {};
  if (body.name != null) changes.name = body.name;
  if (body.default_model_id === null) changes.default_model_id = null;
  if (body.default_model_id != null) {
    const model = { field: "default_model_id", id: body.default_model_id, code: "invalid_request" } as const;
    changes.default_model_id = await requireModel(db, organizationId, model);
  }
  const harnessOf = async (field: string, text: string) => {
    const found = await readHarness(db, organizationId, text);
    if (found?.status === "active") return found.id;
    throw new UserError("invalid_request", `${field}: there is no active harness ${JSON.stringify(text)}`);
  };
  if (body.default_harness_id === null) changes.default_harness_id = null;
  if (body.default_harness_name != null) {
    changes.default_harness_id = await harnessOf("default_harness_name", body.default_harness_name);
  }
  if (body.default_harness_id != null) {
    changes.default_harness_id = await harnessOf(
      "default_harness_id",
      pathId("harness", body.default_harness_id),
    );
  }
  if (body.base_harness_id === null) changes.base_harness_id = null;
  if (body.base_harness_id != null) {
    changes.base_harness_id = await harnessOf("base_harness_id", pathId("harness", body.base_harness_id));
  }
  const services = body.default_provider_per_service;
  if (services === null) changes.default_provider_per_service = {};
  if (services != null) {
    const ids = Object.values(services).map((id) => pathId("prov", id));
    if (!(await areProviders(db, organizationId, ids))) {
      throw new UserError("invalid_request", "default_provider_per_service: a provider is not there");
    }
    changes.default_provider_per_service = services;
  }
  return changes;
}

const noOrganization = () => new UserError("not_found", "Organization not found");

function organizationToWire(row: OrganizationRow): Organization {
  return present({
    id: row.id,
    name: row.name,
    default_model_id: row.default_model_id,
    default_harness_id: row.default_harness_id,
    base_harness_id: row.base_harness_id,
    default_provider_per_service: row.default_provider_per_service,
    onboarding_completed_at: isoOrNull(row.onboarding_completed_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
