/**
 * Large contents on their way into a row. In one message they would be there many times over, as bytes, as base64, as a
 * query and as PostgreSQL's copies of it; so they go piece by piece into `staged_bytes`, and the statement that needs
 * one puts it together where it is stored.
 */
import { RetryableError } from "../../base/errors.ts";
import type { Db } from "../pool.ts";
import { sqlstateOf } from "../sqlstate.ts";
import { retryable } from "./_file-commit.ts";

/** A multiple of three, so that each piece is whole base64. */
const PIECE_BYTES = 3 * 1024 * 1024;
/** What a killed process left is nobody's after this long. */
const KEEP_MS = 3_600_000;

/** A content for a statement: as base64, or where it is staged; one of both is null. Both null: there is none. */
export interface Sent {
  base64: string | null;
  uploadId: string | null;
}

/**
 * Makes contents ready for one statement, in their order, and takes the staged pieces away after it.
 *
 * @throws RetryableError, and what `use` throws
 */
export async function withContents<T>(
  db: Db,
  contents: readonly (Uint8Array | null)[],
  use: (sent: Sent[]) => Promise<T>,
): Promise<T> {
  const uploadIds: string[] = [];
  try {
    const sent: Sent[] = [];
    for (const content of contents) {
      if (content === null || content.length <= PIECE_BYTES) {
        sent.push({ base64: content && toBase64(content), uploadId: null });
        continue;
      }
      const uploadId = Bun.randomUUIDv7();
      uploadIds.push(uploadId);
      await stage(db, uploadId, content);
      sent.push({ base64: null, uploadId });
    }
    return await use(sent);
  } catch (error) {
    // Staged for nothing: the database has crashed in between, and a content that must be there is not.
    const isLost = uploadIds.length > 0 && ["23502", "23514"].includes(sqlstateOf(error) ?? "");
    throw isLost
      ? new RetryableError("unavailable", "the upload was lost; send it again", { cause: error })
      : error;
  } finally {
    if (uploadIds.length > 0) {
      // What stays because of a fault is swept later.
      await db.sql`delete from staged_bytes where upload_id = any(${uploadIds}::uuid[])`.catch(() => {});
    }
  }
}

async function stage({ sql }: Db, uploadId: string, content: Uint8Array): Promise<void> {
  for (let from = 0, position = 0; from < content.length; from += PIECE_BYTES, position += 1) {
    const piece = toBase64(content.subarray(from, from + PIECE_BYTES));
    await retryable(
      sql`insert into staged_bytes (upload_id, position, piece)
          values (${uploadId}, ${position}, decode(${piece}::text, 'base64'))`,
    );
  }
}

/**
 * SQL: the bytes of a `Sent` whose two sides are named. Null when the staged pieces are gone: the database has crashed
 * in between, and the row's constraints refuse it.
 */
export function bytesOf(
  { sql }: Pick<Db, "sql">,
  base64: ReturnType<Db["sql"]>,
  uploadId: ReturnType<Db["sql"]>,
) {
  return sql`coalesce(
    decode(${base64}, 'base64'),
    (select string_agg(s.piece, ''::bytea order by s.position) from staged_bytes s where s.upload_id = ${uploadId}))`;
}

/** Takes away what killed processes have left. @returns how many pieces went */
export async function pruneStagedBytes({ sql }: Db, piecesMax: number): Promise<number> {
  const rows = await retryable(
    sql`
      with old as (
        select upload_id, position from staged_bytes
         where staged_at < now() - ${KEEP_MS} * interval '1 millisecond'
         limit ${piecesMax}
           for update skip locked
      )
      delete from staged_bytes s using old
       where s.upload_id = old.upload_id and s.position = old.position
      returning 1`,
  );
  return rows.length;
}

/** As text: postgres.js would write bytea as hex, which is half as long again. */
const toBase64 = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
