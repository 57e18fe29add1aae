-- Who may call. A user signs in with a password or at an OpenID provider, or sends a token that was made for them. The
-- user's principal, who owns sessions and decides, has the hex digits of the user's id.
create table users (
  id text primary key,
  email text not null check (email = lower(email)),
  name text not null,
  avatar_url text,
  -- Argon2id; null: cannot sign in with a password.
  password_hash text,
  -- Who vouches for the user: `password`, or the name of an OpenID provider with its id of the user.
  auth_provider text,
  auth_subject text,
  is_email_verified boolean not null default false,
  -- Where requests go that name no organization.
  organization_id text references organizations (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index users_email on users (email);
create unique index users_subject on users (auth_provider, auth_subject) where auth_subject is not null;

create table memberships (
  organization_id text not null references organizations (id),
  user_id text not null references users (id) on delete cascade,
  role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
  created_at timestamptz not null default now(),
  primary key (organization_id, user_id)
);
create index memberships_of_user on memberships (user_id, organization_id);

-- Who calls a server without authentication. Nobody can sign in as this user.
insert into users (id, email, name, organization_id)
values ('user_00000000000000000000000000000001', 'anonymous@localhost', 'Anonymous',
        'org_00000000000000000000000000000001');
insert into memberships (organization_id, user_id, role)
values ('org_00000000000000000000000000000001', 'user_00000000000000000000000000000001', 'owner');

-- A sign-in, for as long as it is refreshed. A refresh token names the generation that it may renew; one of an older
-- generation was used before, so somebody has a copy.
create table logins (
  id text primary key,
  user_id text not null references users (id) on delete cascade,
  generation integer not null default 1,
  rotated_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  created_at timestamptz not null default now()
);
create index logins_of_user on logins (user_id);
create index logins_expired on logins (expires_at);

create table access_tokens (
  id text primary key,
  user_id text not null references users (id) on delete cascade,
  name text not null,
  -- SHA-256 of the token.
  token_hash bytea not null,
  -- How the token begins, to tell it from others.
  token_prefix text not null,
  scopes text[] not null,
  organization_ids text[] not null check (cardinality(organization_ids) > 0),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now()
);
create unique index access_tokens_hash on access_tokens (token_hash);
create index access_tokens_of_user on access_tokens (user_id, created_at desc, id desc) where revoked_at is null;
create index access_tokens_of_organization on access_tokens using gin (organization_ids) where revoked_at is null;

alter table organizations
  add column number bigint generated always as identity,
  add column base_harness_id text references harnesses (id),
  add column default_harness_id text references harnesses (id),
  add column default_provider_per_service jsonb not null default '{}',
  add column onboarding_completed_at timestamptz;
