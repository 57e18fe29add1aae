/** Turns the body of `POST …/messages` into what is stored. */
import { UserError } from "../../base/errors.ts";
import { wellFormed } from "../../base/json.ts";
import { IMAGE_TYPES } from "../../contract/image.ts";
import { limits } from "../../contract/limits.ts";
import {
  type ContentPart,
  type Controls,
  type CreateMessageRequest,
  type Delivery,
  ERROR_DISCLOSURES,
  type ExternalActor,
  type InputContentPart,
} from "../../contract/message.ts";
import { findImages } from "../../db/files/images.ts";
import type { Db } from "../../db/pool.ts";
import { requireJsonBytes } from "../agents/layer.ts";
import { pathId } from "../http/path-id.ts";
import { isLocale } from "./session-start.ts";

export interface MessageInput {
  content: ContentPart[];
  controls: Controls | null;
  externalActor: ExternalActor | null;
  metadata: Record<string, unknown> | null;
  tags: string[] | null;
  clientMessageId: string | null;
  /** null: as the session or its agent says. */
  delivery: Delivery | null;
  priority: number;
}

/** @throws UserError invalid_request, limit_exceeded: the message names the part */
export function messageInput(body: CreateMessageRequest, idempotencyKey: string | null): MessageInput {
  const role = body.message.role;
  if (role !== undefined && role !== "user") {
    throw new UserError(
      "invalid_request",
      `message.role: only "user" speaks through this route, not "${role}"; results of tools go to /tool-results`,
    );
  }
  // An empty header names nothing; as a key it would make every such message a duplicate of the first.
  const clientMessageId = body.client_message_id ?? (idempotencyKey || null);
  if (clientMessageId !== null && clientMessageId.length > limits.clientMessageIdCharsMax) {
    throw new UserError(
      "limit_exceeded",
      `client_message_id: at most ${limits.clientMessageIdCharsMax} characters`,
    );
  }
  for (const field of ["metadata", "controls", "external_actor"] as const) {
    requireJsonBytes(field, body[field], limits.metadataBytesMax);
  }
  const tags = body.tags ?? null;
  if (
    tags !== null &&
    (tags.length > limits.tagsMax || tags.some((tag) => tag.length > limits.tagCharsMax))
  ) {
    throw new UserError(
      "limit_exceeded",
      `tags: at most ${limits.tagsMax}, of at most ${limits.tagCharsMax} characters each`,
    );
  }
  return {
    content: checkedContent(partsOf(body.message.content), "message.content"),
    controls: cleanControls(body.controls ?? null),
    externalActor: (body.external_actor ?? null) as ExternalActor | null,
    metadata: (body.metadata ?? null) as Record<string, unknown> | null,
    tags: tags?.map(wellFormed) ?? null,
    clientMessageId: clientMessageId === null ? null : wellFormed(clientMessageId),
    delivery: body.delivery ?? null,
    priority: body.priority ?? 0,
  };
}

/** A bare text is a message of one text part. */
function partsOf(content: string | readonly InputContentPart[]): readonly ContentPart[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : content;
}

/** @throws UserError invalid_request, invalid_id, limit_exceeded: the message names the part */
export function checkedContent(content: readonly ContentPart[], at: string): ContentPart[] {
  if (content.length > limits.messagePartsMax) {
    throw new UserError("limit_exceeded", `${at}: at most ${limits.messagePartsMax} parts`);
  }
  const parts = content.map((part, index) => checkedPart(part, `${at}[${index}]`));
  if (!parts.some((part) => part.type !== "text" || part.text.trim() !== "")) {
    throw new UserError("invalid_request", `${at}: the message is empty`);
  }
  const bytes = parts.reduce((sum, part) => sum + (part.type === "text" ? byteLength(part.text) : 0), 0);
  if (bytes > limits.messageTextBytesMax) {
    throw new UserError("limit_exceeded", `${at}: at most ${limits.messageTextBytesMax} bytes of text`);
  }
  return parts;
}

/**
 * The content with the names of the stored images that it refers to.
 *
 * @throws UserError invalid_request   the organization has no such image
 */
export async function withImageNames(
  db: Db,
  organizationId: string,
  content: readonly ContentPart[],
  at: string,
): Promise<ContentPart[]> {
  const ids = content.flatMap((part) => (part.type === "image_file" ? [part.image_id] : []));
  if (ids.length === 0) return [...content];
  const names = new Map(
    (await findImages(db, organizationId, ids)).map(({ id, filename }) => [id, filename]),
  );
  return content.map((part, index) => {
    if (part.type !== "image_file") return part;
    const filename = names.get(part.image_id);
    if (filename !== undefined) return { ...part, filename };
    throw new UserError("invalid_request", `${at}[${index}].image_id: there is no image ${part.image_id}`);
  });
}

function checkedPart(part: ContentPart, at: string): ContentPart {
  if (part.type === "text") return { type: "text", text: wellFormed(part.text) };
  if (part.type === "image_file") {
    return { type: "image_file", image_id: pathId("img", part.image_id) };
  }
  if (part.type !== "image")
    throw new UserError("invalid_request", `${at}: a text or image part is expected`);
  if (typeof part.base64 === "string") return inlineImage(part.base64, part.media_type ?? null, at);
  if (typeof part.url !== "string" || !/^https?:\/\//i.test(part.url)) {
    throw new UserError("invalid_request", `${at}: an image needs base64 with media_type, or an http(s) url`);
  }
  if (part.url.length > limits.urlCharsMax) {
    throw new UserError("limit_exceeded", `${at}.url: at most ${limits.urlCharsMax} characters`);
  }
  return { type: "image", url: wellFormed(part.url) };
}

function inlineImage(base64: string, mediaType: string | null, at: string): ContentPart {
  if (mediaType === null || !(IMAGE_TYPES as readonly string[]).includes(mediaType)) {
    throw new UserError("invalid_request", `${at}.media_type: one of ${IMAGE_TYPES.join(", ")} is expected`);
  }
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64) || base64.length % 4 !== 0) {
    throw new UserError("invalid_request", `${at}.base64: not base64 (no data: prefix, no line breaks)`);
  }
  if ((base64.length / 4) * 3 > limits.imageBytesMax) {
    throw new UserError("limit_exceeded", `${at}: an image has at most ${limits.imageBytesMax} bytes`);
  }
  return { type: "image", base64, media_type: mediaType };
}

/**
 * Without nulls, so that the stored message has the shape that strict clients take.
 *
 * @throws UserError invalid_request
 */
function cleanControls(controls: Controls | null): Controls | null {
  if (controls === null) return null;
  const { error_disclosure: disclosure, locale } = controls;
  if (disclosure != null && !(ERROR_DISCLOSURES as readonly string[]).includes(disclosure)) {
    throw new UserError(
      "invalid_request",
      `controls.error_disclosure: one of ${ERROR_DISCLOSURES.join(", ")} is expected`,
    );
  }
  if (locale != null && !isLocale(locale)) {
    throw new UserError(
      "invalid_request",
      `controls.locale: ${JSON.stringify(locale.slice(0, 50))} is no language tag such as uk-UA`,
    );
  }
  const entries = Object.entries(controls).filter(([, value]) => value !== null && value !== undefined);
  return entries.length === 0 ? null : (Object.fromEntries(entries) as Controls);
}

function byteLength(text: string): number {
  return Buffer.byteLength(text, "utf8");
}
