/** What an uploaded file shows: told from its bytes, never from its name, and unpacked away from the event loop. */
import { UserError } from "../../base/errors.ts";
import type { ImageType } from "../../contract/image.ts";
import { limits } from "../../contract/limits.ts";

const THUMBNAIL_SIDE = 200;
const THUMBNAIL_QUALITY = 80;
/** Vendors scale what is larger down to about this themselves. */
const MODEL_SIDE = 2_000;
const MODEL_QUALITY = 85;

const TYPES: Readonly<Record<string, ImageType>> = {
  png: "image/png",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
};

export interface Picture {
  contentType: ImageType;
  width: number;
  height: number;
  /** JPEG, at most 200 pixels wide and high, in the picture's proportions. */
  thumbnail: Uint8Array;
  /** JPEG for models; null when the bytes themselves will do. */
  modelContent: Uint8Array | null;
}

/**
 * Unpacks the whole picture once, so that one that is broken is refused now and not in the middle of a turn. A small
 * file that would unpack to a huge picture is refused by its header.
 *
 * @throws UserError invalid_request, limit_exceeded
 */
export async function readPicture(bytes: Uint8Array): Promise<Picture> {
  const open = () => new Bun.Image(bytes, { maxPixels: limits.imagePixelsMax });
  try {
    const { width, height, format } = await open().metadata();
    const contentType = TYPES[format];
    if (contentType === undefined) throw notAnImage();
    if (width < 1 || height < 1) throw notAnImage();
    const thumbnail = await open()
      .resize(THUMBNAIL_SIDE, THUMBNAIL_SIDE, { fit: "inside", withoutEnlargement: true })
      .jpeg({ quality: THUMBNAIL_QUALITY })
      .bytes();
    const isTooLarge =
      bytes.length > limits.modelImageBytesMax || Math.max(width, height) > limits.modelImageSideMax;
    const modelContent = isTooLarge
      ? await open()
          .resize(MODEL_SIDE, MODEL_SIDE, { fit: "inside", withoutEnlargement: true })
          .jpeg({ quality: MODEL_QUALITY })
          .bytes()
      : null;
    return { contentType, width, height, thumbnail, modelContent };
  } catch (error) {
    throw asUserError(error);
  }
}

const notAnImage = () =>
  new UserError("invalid_request", "file: it is not a PNG, JPEG, GIF or WebP image, whatever its name says");

function asUserError(error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ERR_IMAGE_TOO_MANY_PIXELS") {
    return new UserError("limit_exceeded", `file: an image has at most ${limits.imagePixelsMax} pixels`);
  }
  if (code === "ERR_IMAGE_DECODE_FAILED") {
    return new UserError("invalid_request", "file: the image is damaged and cannot be read");
  }
  if (code === "ERR_IMAGE_UNKNOWN_FORMAT" || code === "ERR_IMAGE_FORMAT_UNSUPPORTED") return notAnImage();
  return error;
}
