/** Stored images, as rows. */
import type { ImageType } from "../../contract/image.ts";
import type { Db } from "../pool.ts";
import type { Slice } from "../search.ts";
import { retryable } from "./_file-commit.ts";
import { streamPieces } from "./_pieces.ts";
import { bytesOf, withContents } from "./staged.ts";

export interface ImageRow {
  id: string;
  session_id: string | null;
  filename: string;
  content_type: ImageType;
  width: number;
  height: number;
  size_bytes: number;
  hash: string;
  created_at: Date;
}

const COLUMNS = [
  "id",
  "session_id",
  "filename",
  "content_type",
  "width",
  "height",
  "size_bytes",
  "hash",
  "created_at",
] as const;

export interface NewImage {
  organizationId: string;
  id: string;
  /** null: uploaded for none. */
  sessionId: string | null;
  filename: string;
  contentType: ImageType;
  width: number;
  height: number;
  content: Uint8Array;
  /** JPEG. */
  thumbnail: Uint8Array;
  /** A smaller copy for models, JPEG; null: the image itself is small enough. */
  modelContent: Uint8Array | null;
}

export async function insertImage(db: Db, image: NewImage): Promise<ImageRow> {
  const hash = new Bun.CryptoHasher("sha256").update(image.content).digest("hex");
  const { sql } = db;
  const contents = [image.content, image.thumbnail, image.modelContent];
  const rows = await withContents(db, contents, (sent) => {
    const [content, thumbnail, modelContent] = sent.map(({ base64, uploadId }) =>
      bytesOf(db, sql`${base64}::text`, sql`${uploadId}::uuid`),
    ) as [Fragment, Fragment, Fragment];
    return retryable(sql<ImageRow[]>`
    insert into images (id, organization_id, session_id, filename, content_type, width, height, size_bytes, hash,
                        content, thumbnail, model_content)
    values (${image.id}, ${image.organizationId}, ${image.sessionId}, ${image.filename}, ${image.contentType},
            ${image.width}, ${image.height}, ${image.content.length}, ${hash},
            ${content}, ${thumbnail}, ${modelContent})
    returning ${sql(COLUMNS)}`);
  });
  return rows[0] as ImageRow;
}

type Fragment = ReturnType<typeof bytesOf>;

/** Newest first. */
export async function listImages(
  { sql }: Db,
  input: { organizationId: string } & Slice,
): Promise<ImageRow[]> {
  return sql<ImageRow[]>`
    select ${sql(COLUMNS)} from images
     where organization_id = ${input.organizationId}
     order by created_at desc, id desc
     limit ${input.limit} offset ${input.offset}`;
}

/** Those of the ids that the organization has; the order is not the one asked for. */
export async function findImages(
  { sql }: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<ImageRow[]> {
  if (ids.length === 0) return [];
  return sql<ImageRow[]>`
    select ${sql(COLUMNS)} from images
     where organization_id = ${organizationId} and id = any (${[...ids]}::text[])`;
}

/** The bytes of an image, read piece by piece as they are asked for. */
export function streamImage({ sql }: Db, image: ImageRow): ReadableStream<Uint8Array> {
  return streamPieces(image.size_bytes, async (offset, bytesMax) => {
    const [row] = await sql<{ piece: Uint8Array }[]>`
      select substring(content from ${offset + 1}::int for ${bytesMax}::int) as piece
        from images where id = ${image.id}`;
    return row?.piece ?? null;
  });
}

/** JPEG; null when the organization has no such image. */
export async function readThumbnail(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<{ hash: string; thumbnail: Uint8Array } | null> {
  const rows = await sql<{ hash: string; thumbnail: Uint8Array }[]>`
    select hash, thumbnail from images where id = ${id} and organization_id = ${organizationId}`;
  return rows[0] ?? null;
}

/** @returns false when there is none */
export async function deleteImage({ sql }: Db, organizationId: string, id: string): Promise<boolean> {
  const rows = await sql`
    delete from images where id = ${id} and organization_id = ${organizationId} returning 1`;
  return rows.length > 0;
}

/** How many bytes a model is shown of each image, by id; what is not there is left out. @throws RetryableError */
export async function modelImageSizes(
  { sql }: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<Map<string, number>> {
  const rows = await retryable(
    sql<{ id: string; size_bytes: number }[]>`
      select id, octet_length(coalesce(model_content, content)) as size_bytes from images
       where organization_id = ${organizationId} and id = any (${[...ids]}::text[])`,
  );
  return new Map(rows.map((row) => [row.id, row.size_bytes]));
}

/** What a model is shown: the image, or its smaller copy. */
export interface ModelImage {
  mediaType: string;
  /** Base64. */
  data: string;
}

/** By id; what is not there (any more) is left out. @throws RetryableError */
export async function readModelImages(
  { sql }: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<Map<string, ModelImage>> {
  const rows = await retryable(
    sql<{ id: string; content_type: string; content: Uint8Array }[]>`
      select id, case when model_content is null then content_type else 'image/jpeg' end as content_type,
             coalesce(model_content, content) as content
        from images
       where organization_id = ${organizationId} and id = any (${[...ids]}::text[])`,
  );
  return new Map(
    rows.map(({ id, content_type, content }) => [
      id,
      {
        mediaType: content_type,
        data: Buffer.from(content.buffer, content.byteOffset, content.length).toString("base64"),
      },
    ]),
  );
}
