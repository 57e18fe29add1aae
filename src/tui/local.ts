/**
 * What the chat needs of the machine it runs on. The room itself reads neither files nor the environment: the command
 * hands these in, and a test hands in others.
 */
import type { ImageType } from "../contract/image.ts";

/** A file of the person's own machine, told apart by its content. */
export type LocalFile =
  | { kind: "text"; name: string; text: string }
  | { kind: "image"; name: string; type: ImageType; bytes: Uint8Array<ArrayBuffer> };

export interface LocalFiles {
  /** Null when there is nothing of this name. @throws UserError with what is wrong with it: too large, binary, a directory */
  read(path: string): Promise<LocalFile | null>;
  exists(path: string): boolean;
  /** @returns the whole path. @throws UserError when it cannot be written */
  write(path: string, text: string): Promise<string>;
  /** Paths that begin so, directories with a slash at their end. */
  complete(path: string): readonly string[];
}

/** What was typed before, also in other chats. */
export interface TypedHistory {
  /** Oldest first. */
  entries: readonly string[];
  add(text: string): void;
}
