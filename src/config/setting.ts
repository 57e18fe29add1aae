/** What a setting is, and how texts are read into values. */
import { z } from "zod";

/** A setting: where it may be said, what it must be, and what it is when nobody says it. */
export interface Setting<T> {
  flag?: string;
  env?: string;
  /** An older or shorter spelling of `env`, read when `env` is not set. */
  otherEnv?: string;
  schema: z.ZodType<T>;
  fallback(world: World): T;
  /** Never printed: only that it is set, and how it ends. */
  isSecret?: boolean;
  /** Printed without the password that it may carry. */
  isUrl?: boolean;
}

/** What the defaults depend on. */
export interface World {
  env: Readonly<Record<string, string | undefined>>;
  /** The terminal shows the log to a person. */
  isTty: boolean;
  isRoot: boolean;
}

export const setting = <T>(definition: Setting<T>): Setting<T> => definition;

export const wholeNumber = (min: number, max: number) =>
  z.string().transform((text, context) => {
    const value = Number(text);
    if (/^[0-9]+$/.test(text) && value >= min && value <= max) return value;
    context.addIssue(`a whole number from ${min} to ${max} is expected, not "${text}"`);
    return z.NEVER;
  });

export const oneOf = <const T extends readonly string[]>(values: T) =>
  z.string().transform((text, context): T[number] => {
    if (values.includes(text)) return text as T[number];
    context.addIssue(`one of ${values.join(", ")} is expected, not "${text}"`);
    return z.NEVER;
  });

export const text = z.string();

export const address = (protocols: readonly string[], example: string) =>
  z.string().transform((raw, context) => {
    const url = URL.parse(raw);
    if (url && protocols.includes(url.protocol)) return raw;
    // The value may hold a password: it is not repeated.
    context.addIssue(`an address like ${example} is expected`);
    return z.NEVER;
  });

/** Parts between commas; `read` gives null for one that is not right, and `expected` says what would be. */
export const listOf = (read: (part: string) => string | null, expected: string) =>
  z.string().transform((list, context) => {
    const parts = list
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "");
    for (const part of parts.filter((candidate) => read(candidate) === null)) {
      context.addIssue(`"${part}" is ${expected}`);
    }
    return parts.map((part) => read(part) ?? part);
  });
