import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import {
  DeleteAccountResponse,
  ExportUserDataResponse,
  ProfileResponse,
  SwitchOrgRequest,
  SwitchOrgResponse,
  UpdateProfileRequest,
  User,
} from "../../contract/organization.ts";
import { List, Type } from "../../contract/schema.ts";
import { listAccessTokens } from "../../db/access/access-tokens.ts";
import { listOrganizations, readOrganization } from "../../db/access/organizations.ts";
import { deleteUser, listMembers, type MemberRow, readUser, updateUser } from "../../db/access/users.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { iso, isoOrNull, present, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { reachOf } from "./tokens.ts";

export function userRoutes({ db, access, clock }: Pick<ApiDeps, "db" | "access" | "clock">): Route[] {
  const self = async ({ userId }: Caller) => {
    const user = await readUser(db, userId);
    if (!user) throw new UserError("not_found", "User not found");
    return user;
  };

  return [
    defineRoute({
      method: "GET",
      path: "/users",
      operationId: "list_users",
      tag: "users",
      summary: "List the members of the organization, by name",
      query: Type.Object({ search: Type.Optional(Type.String({ maxLength: limits.titleCharsMax })) }),
      responses: { 200: List(User) },
      async run({ query, caller: { organizationId } }) {
        const rows = await listMembers(db, { organizationId, search: query.search ?? null });
        return reply(200, whole(rows.map(memberToWire)));
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/users/me",
      operationId: "update_profile",
      tag: "users",
      summary: "Change the caller's name",
      access: "self",
      body: UpdateProfileRequest,
      responses: { 200: ProfileResponse },
      problems: ["not_found"],
      async run({ body, caller }) {
        const user = await updateUser(db, caller.userId, { name: body.name });
        if (!user) throw new UserError("not_found", "User not found");
        const { id, email, name, avatar_url } = user;
        return reply(200, present({ id, email, name, avatar_url }));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/users/me",
      operationId: "delete_account",
      tag: "users",
      summary: "Delete the caller's account",
      description:
        "With its memberships, tokens and sign-ins, at once and for good. What the user made belongs to the organization " +
        "and stays. Refused while the user is the only owner of an organization that others belong to, too, and with a " +
        "token: it takes a sign-in.",
      access: "self",
      responses: { 200: DeleteAccountResponse },
      problems: ["not_found", "conflict", "forbidden"],
      async run({ caller }) {
        if (caller.credential.kind === "token") {
          throw new UserError("forbidden", "an account is deleted by who signs in, not with a token");
        }
        const { email } = await self(caller);
        if (caller.credential.kind === "none" || email === access.adminEmail) {
          throw new UserError("conflict", "this account is the server's own and cannot be deleted");
        }
        const isDeleted = await deleteUser(db, caller.userId);
        if (!isDeleted) {
          throw new UserError("conflict", "you are the only owner of an organization that has other members");
        }
        return reply(200, { deleted: true });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/users/me/export",
      operationId: "export_user_data",
      tag: "users",
      summary: "All that is stored about the caller",
      description: "To a token, as far as the organizations that it opens.",
      responses: { 200: ExportUserDataResponse },
      problems: ["not_found"],
      async run({ caller }) {
        const user = await self(caller);
        const [organizations, tokens] = await Promise.all([
          listOrganizations(db, user.id),
          listAccessTokens(db, { userId: user.id, within: reachOf(caller) }),
        ]);
        return reply(200, {
          exported_at: iso(clock.now()),
          user: present({
            id: user.id,
            email: user.email,
            name: user.name,
            avatar_url: user.avatar_url,
            auth_provider: user.auth_provider,
            email_verified: user.is_email_verified,
            created_at: iso(user.created_at),
            updated_at: iso(user.updated_at),
          }),
          organizations: organizations
            .filter(({ id }) => reachOf(caller)?.includes(id) ?? true)
            .map(({ number, id, name, role }) => ({
              org_id: number,
              public_id: id,
              name,
              role,
            })),
          personal_access_tokens: tokens.map((token) =>
            present({
              id: token.id,
              name: token.name,
              token_prefix: token.token_prefix,
              scopes: token.scopes,
              created_at: iso(token.created_at),
              expires_at: isoOrNull(token.expires_at),
              last_used_at: isoOrNull(token.last_used_at),
            }),
          ),
        });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/users/me/switch-org",
      operationId: "switch_org",
      tag: "users",
      summary: "Choose the organization of requests that name none",
      description:
        "For who signed in. An access token belongs to its organizations: it names one in `X-Org-Id`.",
      access: "self",
      body: SwitchOrgRequest,
      responses: { 200: SwitchOrgResponse },
      problems: ["invalid_id", "not_found"],
      async run({ body, caller }) {
        const id = pathId("org", body.org_id);
        if (caller.credential.kind === "token") {
          throw new UserError("invalid_request", "an access token does not switch; send X-Org-Id");
        }
        const organization = await readOrganization(db, caller.userId, id);
        if (!organization) throw new UserError("not_found", "Organization not found");
        await updateUser(db, caller.userId, { organization_id: id });
        return reply(200, { success: true, org_id: id });
      },
    }),
  ];
}

function memberToWire(row: MemberRow): User {
  return present({
    id: row.id,
    email: row.email,
    name: row.name,
    roles: [row.role],
    avatar_url: row.avatar_url,
    auth_provider: row.auth_provider,
    created_at: iso(row.created_at),
  });
}
