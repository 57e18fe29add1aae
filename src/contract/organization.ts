/** Organizations and the people in them. */

import { Role } from "./access.ts";
import { limits } from "./limits.ts";
import { MapOf, Maybe, type Static, Timestamp, Type } from "./schema.ts";

export const Organization = Type.Object({
  id: Type.String(),
  name: Type.String(),
  default_model_id: Type.Optional(Type.String()),
  default_harness_id: Type.Optional(Type.String()),
  base_harness_id: Type.Optional(Type.String()),
  default_provider_per_service: MapOf(Type.String()),
  onboarding_completed_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Organization = Static<typeof Organization>;

const OrganizationName = Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax });

export const CreateOrganizationRequest = Type.Object({ name: OrganizationName });

/** Absent fields stay; null empties a field that may be empty. */
export const UpdateOrganizationRequest = Type.Object({
  name: Maybe(OrganizationName),
  default_model_id: Maybe(Type.String()),
  default_harness_id: Maybe(Type.String()),
  default_harness_name: Maybe(Type.String()),
  base_harness_id: Maybe(Type.String()),
  default_provider_per_service: Maybe(MapOf(Type.String(), { maxProperties: 100 })),
});

export const ResolveOrgResponse = Type.Object({ org_id: Type.String(), org_name: Type.String() });

export const User = Type.Object({
  id: Type.String(),
  email: Type.String(),
  name: Type.String(),
  roles: Type.Array(Type.String()),
  avatar_url: Type.Optional(Type.String()),
  auth_provider: Type.Optional(Type.String()),
  created_at: Timestamp,
});
export type User = Static<typeof User>;

export const UpdateProfileRequest = Type.Object({
  name: Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax }),
});

export const ProfileResponse = Type.Object({
  id: Type.String(),
  email: Type.String(),
  name: Type.String(),
  avatar_url: Type.Optional(Type.String()),
});

export const DeleteAccountResponse = Type.Object({ deleted: Type.Boolean() });

export const SwitchOrgRequest = Type.Object({ org_id: Type.String() });
export const SwitchOrgResponse = Type.Object({ success: Type.Boolean(), org_id: Type.String() });

/** All that is stored about a person, without secrets. */
export const ExportUserDataResponse = Type.Object({
  exported_at: Timestamp,
  user: Type.Object({
    id: Type.String(),
    email: Type.String(),
    name: Type.String(),
    avatar_url: Type.Optional(Type.String()),
    auth_provider: Type.Optional(Type.String()),
    email_verified: Type.Boolean(),
    created_at: Timestamp,
    updated_at: Timestamp,
  }),
  organizations: Type.Array(
    Type.Object({
      org_id: Type.Integer(),
      public_id: Type.String(),
      name: Type.String(),
      role: Type.String(),
    }),
  ),
  personal_access_tokens: Type.Array(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      token_prefix: Type.String(),
      scopes: Type.Array(Type.String()),
      created_at: Timestamp,
      expires_at: Type.Optional(Timestamp),
      last_used_at: Type.Optional(Timestamp),
    }),
  ),
});

/** Somebody in an organization. */
export const Member = Type.Object({
  user_id: Type.String(),
  organization_id: Type.String(),
  email: Type.String(),
  name: Type.String(),
  role: Role,
  avatar_url: Type.Optional(Type.String()),
});
export type Member = Static<typeof Member>;

export const AddMemberRequest = Type.Object({
  email: Type.Optional(
    Type.String({
      maxLength: limits.emailCharsMax,
      description: "Of an account that has proved that the address is its own; else name its id.",
    }),
  ),
  user_id: Type.Optional(
    Type.String({ description: "In place of `email`: as the person finds it at `GET /v1/auth/me`." }),
  ),
  role: Role,
});
export const UpdateMemberRequest = Type.Object({ role: Role });
