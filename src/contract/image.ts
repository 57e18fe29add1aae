/** Stored images on the wire. */
import { Id, type Static, Timestamp, Type } from "./schema.ts";

export const IMAGE_TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"] as const;
export type ImageType = (typeof IMAGE_TYPES)[number];

export const ImageUploadResponse = Type.Object({
  id: Id("img"),
  filename: Type.String(),
  content_type: Type.String(),
  size_bytes: Type.Integer(),
  created_at: Timestamp,
});
export type ImageUploadResponse = Static<typeof ImageUploadResponse>;

export const ImageInfo = Type.Intersect([
  ImageUploadResponse,
  Type.Object({
    metadata: Type.Object({
      width: Type.Integer(),
      height: Type.Integer(),
      session_id: Type.Optional(Id("session")),
    }),
  }),
]);
export type ImageInfo = Static<typeof ImageInfo>;
