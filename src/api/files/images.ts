/** Images that messages can refer to. */
import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { wellFormed } from "../../base/json.ts";
import { createSemaphore } from "../../base/semaphore.ts";
import { ImageInfo, ImageUploadResponse } from "../../contract/image.ts";
import { limits } from "../../contract/limits.ts";
import { Type } from "../../contract/schema.ts";
import {
  deleteImage,
  findImages,
  type ImageRow,
  insertImage,
  listImages,
  readThumbnail,
  streamImage,
} from "../../db/files/images.ts";
import { findSession } from "../../db/session-rows.ts";
import type { ApiDeps } from "../deps.ts";
import { FormBody, Raw } from "../http/media.ts";
import { pathId } from "../http/path-id.ts";
import { iso, PageQuery, present, reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { inline } from "./file-wire.ts";
import { readPicture } from "./picture.ts";
import { holding } from "./shared-files.ts";

/** Each unpacks to 160 MB at most. */
const PICTURES_AT_ONCE = 2;
/** Of the form around the file. */
const FORM_BYTES = 64 * 1024;

export function imageRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  const pictures = createSemaphore(PICTURES_AT_ONCE);
  return [
    defineRoute({
      method: "GET",
      path: "/images",
      operationId: "list_images",
      tag: "images",
      summary: "List images, newest first",
      query: Type.Object({
        offset: PageQuery.offset,
        limit: Type.Optional(
          Type.Integer({ minimum: 1, maximum: limits.pageSizeMax, default: limits.pageSizeMax }),
        ),
      }),
      responses: { 200: Type.Array(ImageInfo) },
      async run({ query, caller: { organizationId } }) {
        const rows = await listImages(db, {
          organizationId,
          offset: query.offset ?? 0,
          limit: query.limit ?? limits.pageSizeMax,
        });
        return reply(200, rows.map(toInfo));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/images",
      operationId: "upload_image",
      tag: "images",
      summary: "Upload an image",
      description:
        `The field \`file\` of a form: PNG, JPEG, GIF or WebP, by its content and not its name, of at most ` +
        `${limits.imageUploadBytesMax / 1024 / 1024} MiB and ${limits.imagePixelsMax / 1_000_000} million pixels. ` +
        `A message shows it with \`{"type": "image_file", "image_id": …}\`. With \`session_id\` it is removed when ` +
        `that session is removed for good; without, it stays until it is deleted.`,
      query: Type.Object({ session_id: Type.Optional(Type.String()) }),
      body: FormBody({
        bytesMax: limits.imageUploadBytesMax + FORM_BYTES,
        fields: { file: { type: "string", format: "binary" } },
      }),
      responses: { 201: ImageUploadResponse },
      problems: ["invalid_id", "limit_exceeded", "not_found"],
      async run({ query, body, caller: { organizationId } }) {
        const sessionId = query.session_id === undefined ? null : pathId("session", query.session_id);
        if (sessionId !== null && !(await findSession(db, organizationId, sessionId))) {
          throw new UserError("not_found", "Session not found");
        }
        const file = body.get("file");
        if (!(file instanceof File) || file.size === 0) {
          throw new UserError("invalid_request", "file: an image is expected in this field of the form");
        }
        if (file.size > limits.imageUploadBytesMax) {
          throw new UserError(
            "limit_exceeded",
            `file: an image has at most ${limits.imageUploadBytesMax} bytes`,
          );
        }
        const content = await file.bytes();
        const row = await holding(pictures, async () => {
          const picture = await readPicture(content);
          const filename = filenameOf(file.name, picture.contentType);
          const id = newId("img");
          return insertImage(db, { organizationId, id, sessionId, filename, content, ...picture });
        });
        return reply(201, toUpload(row), { location: `/v1/images/${row.id}` });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/images/{image_id}",
      operationId: "get_image",
      tag: "images",
      summary: "The bytes of an image",
      description: "Its content never changes: `If-None-Match` with its ETag is answered 304.",
      responses: { 200: Raw("image/*") },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId }, request }) {
        const [row] = await findImages(db, organizationId, [pathId("img", params.image_id)]);
        if (!row) throw noImage();
        const headers = inline(row.filename, row.hash);
        if (isKnown(request, headers.etag)) return new Response(null, { status: 304, headers });
        return reply(200, streamImage(db, row), { ...headers, "content-type": row.content_type });
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/images/{image_id}",
      operationId: "delete_image",
      tag: "images",
      summary: "Delete an image",
      description: "Messages that show it keep the reference; models are told that it is gone.",
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        if (!(await deleteImage(db, organizationId, pathId("img", params.image_id)))) throw noImage();
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/images/{image_id}/thumbnail",
      operationId: "get_thumbnail",
      tag: "images",
      summary: "A small JPEG of an image",
      description:
        "At most 200 pixels wide and high, in the proportions of the image; of a moving one the first.",
      responses: { 200: Raw("image/jpeg") },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId }, request }) {
        const found = await readThumbnail(db, organizationId, pathId("img", params.image_id));
        if (!found) throw noImage();
        const headers = inline("thumbnail.jpg", `${found.hash}-thumbnail`);
        if (isKnown(request, headers.etag)) return new Response(null, { status: 304, headers });
        return reply(200, found.thumbnail, headers);
      },
    }),
  ];
}

const noImage = () => new UserError("not_found", "Image not found");

const isKnown = (request: Request, etag: string) =>
  (request.headers.get("if-none-match") ?? "")
    .split(",")
    .some((one) => one.trim().replace(/^W\//, "") === etag);

/** The last part of the name that was sent, without what cannot be shown. */
function filenameOf(name: string, contentType: string): string {
  const last = wellFormed(name).split(/[/\\]/).at(-1) ?? "";
  const shown = last
    .replace(/\p{Cc}/gu, "")
    .trim()
    .slice(0, limits.imageFilenameCharsMax)
    .toWellFormed();
  return shown === "" ? `image.${contentType.slice("image/".length)}` : shown;
}

function toUpload(row: ImageRow): ImageUploadResponse {
  return {
    id: row.id,
    filename: row.filename,
    content_type: row.content_type,
    size_bytes: row.size_bytes,
    created_at: iso(row.created_at),
  };
}

function toInfo(row: ImageRow): ImageInfo {
  return {
    ...toUpload(row),
    metadata: present({ width: row.width, height: row.height, session_id: row.session_id }),
  };
}
