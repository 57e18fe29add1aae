-- Pictures that messages refer to. The bytes are compressed already: storing them as they are lets a part of them be
-- read without the rest.
create table images (
  id text primary key,
  organization_id text not null references organizations (id),
  -- Uploaded for this session, and removed with it; null: kept until somebody deletes it.
  session_id text,
  filename text not null,
  content_type text not null check (content_type in ('image/png', 'image/jpeg', 'image/gif', 'image/webp')),
  width integer not null check (width > 0),
  height integer not null check (height > 0),
  size_bytes bigint not null check (size_bytes > 0),
  -- SHA-256, hex.
  hash text not null,
  content bytea not null,
  thumbnail bytea not null,
  -- What a model is shown, as JPEG, when the image itself is larger than vendors take; null: the image itself.
  model_content bytea,
  created_at timestamptz not null default now()
);
alter table images
  alter column content set storage external,
  alter column thumbnail set storage external,
  alter column model_content set storage external;
create index images_newest on images (organization_id, created_at desc, id desc);
create index images_of_session on images (session_id) where session_id is not null;
