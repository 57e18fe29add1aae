import { limits } from "../../contract/limits.ts";

const COPIES_MAX = 100;

/** `x-copy`, `x-copy-2`, …; the name gives way when the whole would be too long. */
export function copyNames(name: string): string[] {
  return Array.from({ length: COPIES_MAX }, (_item, index) => {
    const suffix = index === 0 ? "-copy" : `-copy-${index + 1}`;
    return name.slice(0, limits.nameCharsMax - suffix.length).replace(/-$/, "") + suffix;
  });
}
