-- The token with which a token was made, null for a sign-in: what is revoked takes along what it made.
alter table access_tokens add column made_with text references access_tokens (id) on delete set null;
create index access_tokens_made_with on access_tokens (made_with) where made_with is not null;
