import { UserError } from "../../base/errors.ts";
import type { Role } from "../../contract/access.ts";
import { limits } from "../../contract/limits.ts";
import { AddMemberRequest, Member, UpdateMemberRequest } from "../../contract/organization.ts";
import { List, type Static } from "../../contract/schema.ts";
import {
  addMember,
  changeMembership,
  type MembershipRow,
  readMembership,
  type Unchanged,
} from "../../db/access/memberships.ts";
import { listMembers } from "../../db/access/users.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { present, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { managedOrganization, ownOrganization } from "./organizations.ts";

export function memberRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  const existing = async (organizationId: string, userId: string): Promise<MembershipRow> => {
    const member = await readMembership(db, organizationId, pathId("user", userId));
    if (!member) throw new UserError("not_found", "Member not found");
    return member;
  };

  return [
    defineRoute({
      method: "GET",
      path: "/orgs/{org}/members",
      operationId: "list_members",
      tag: "organizations",
      summary: "List the members of an organization, by name",
      responses: { 200: List(Member) },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const { id } = await ownOrganization(db, caller, params.org);
        const rows = await listMembers(db, { organizationId: id, search: null });
        const members = rows.map((row) => ({ ...row, organization_id: id, user_id: row.id }));
        return reply(200, whole(members.map(memberToWire)));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/orgs/{org}/members",
      operationId: "add_member",
      tag: "organizations",
      summary: "Let somebody who has an account into an organization",
      description:
        "An admin of it; only an owner makes owners. Accounts are made by signing up, at the OpenID provider, or by the " +
        "operator. Who signed up has not proved the address: 409, and `user_id` names them.",
      access: "self",
      body: AddMemberRequest,
      responses: { 201: Member },
      problems: ["invalid_id", "not_found", "forbidden", "conflict"],
      async run({ params, body, caller }) {
        const organization = await managedOrganization(db, caller, params.org);
        requireOwnerFor(organization.role, body.role);
        const user = whom(body);
        const member = await addMember(db, { organizationId: organization.id, user, role: body.role });
        if (typeof member === "string") throw unchanged(member);
        return reply(201, memberToWire(member));
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/orgs/{org}/members/{user_id}",
      operationId: "update_member",
      tag: "organizations",
      summary: "Give a member another role",
      description:
        "An admin of the organization; only an owner makes or changes owners. It holds from the next request on.",
      access: "self",
      body: UpdateMemberRequest,
      responses: { 200: Member },
      problems: ["invalid_id", "not_found", "forbidden", "conflict"],
      async run({ params, body, caller }) {
        const organization = await managedOrganization(db, caller, params.org);
        const member = await existing(organization.id, params.user_id);
        requireOwnerFor(organization.role, body.role, member.role);
        const change = { organizationId: organization.id, userId: member.user_id, role: body.role };
        if (!(await changeMembership(db, change))) throw unchanged("last_owner");
        return reply(200, memberToWire({ ...member, role: body.role }));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/orgs/{org}/members/{user_id}",
      operationId: "remove_member",
      tag: "organizations",
      summary: "Take a member out of an organization, or leave it",
      description:
        "Everybody may leave; others are taken out by an admin, owners by an owner. Their tokens do not open the " +
        "organization any more, at once. What they made stays.",
      access: "self",
      responses: { 204: null },
      problems: ["invalid_id", "not_found", "forbidden", "conflict"],
      async run({ params, caller }) {
        const isSelf = params.user_id === caller.userId;
        const organization = isSelf
          ? await ownOrganization(db, caller, params.org)
          : await managedOrganization(db, caller, params.org);
        const member = await existing(organization.id, params.user_id);
        if (!isSelf) requireOwnerFor(organization.role, member.role);
        const change = { organizationId: organization.id, userId: member.user_id, role: null };
        if (!(await changeMembership(db, change))) throw unchanged("last_owner");
        return reply(204, null);
      },
    }),
  ];
}

/** Admins manage everybody but owners. */
function requireOwnerFor(own: Role, ...roles: Role[]): void {
  if (own === "owner" || !roles.includes("owner")) return;
  throw new UserError("forbidden", "only an owner of the organization makes or changes owners");
}

/** @throws UserError invalid_request, invalid_id */
function whom({ email, user_id: id }: Static<typeof AddMemberRequest>): { email: string } | { id: string } {
  if (email !== undefined && id === undefined) return { email };
  if (id !== undefined && email === undefined) return { id: pathId("user", id) };
  throw new UserError("invalid_request", "name the person by email or by user_id");
}

function unchanged(why: Unchanged): UserError {
  switch (why) {
    case "no_such_user":
      return new UserError("not_found", "there is no such account");
    case "unproven_address":
      return new UserError(
        "conflict",
        "somebody registered with this e-mail address and has not proved that it is theirs; ask the person for the " +
          "user id that GET /v1/auth/me shows them, and send user_id instead",
      );
    case "member_already":
      return new UserError("conflict", "they belong to the organization already");
    case "too_many":
      return new UserError(
        "conflict",
        `an organization has at most ${limits.membersPerOrganizationMax} members`,
      );
    case "last_owner":
      return new UserError("conflict", "an organization keeps one owner; make another one first");
  }
}

function memberToWire(row: MembershipRow): Member {
  return present({
    user_id: row.user_id,
    organization_id: row.organization_id,
    email: row.email,
    name: row.name,
    role: row.role,
    avatar_url: row.avatar_url,
  });
}
