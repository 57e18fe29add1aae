import { systemClock } from "../../src/base/clock.ts";
import { describeError } from "../../src/base/errors.ts";
import { ClientError } from "../../src/client/errors.ts";
import type { Item, Resource } from "../../src/client/resources.ts";
import type { CommandContext } from "../action.ts";
import { table } from "../table.ts";
import type { Format } from "./formats.ts";
import { cellsOf, idOf } from "./output.ts";

/** How often the list is read again. */
const INTERVAL_MS = 2_000;
/** Objects whose last look is remembered. */
const SEEN_MAX = 10_000;

/**
 * Prints the list, and from then on a line for each object that is new or has changed, until Ctrl+C. JSON is one
 * object a line, so that a program can read along.
 */
export async function watch(
  { out, err, signal }: CommandContext,
  resource: Resource,
  { read, format }: { read(): Promise<readonly Item[]>; format: Format },
): Promise<void> {
  const seen = new Map<string, string>();
  const widths: number[] = [];
  let isFirst = true;
  let hasRead = false;
  let hasFailed = false;
  while (!signal.aborted) {
    const items = await read().catch((error) => {
      // A server that is away comes back; one that was never there is told at once.
      if (!hasRead || !(error instanceof ClientError && error.isRetryable)) throw error;
      if (!hasFailed) err.line(err.paint.dim(`${describeError(error)}; trying again`));
      return null;
    });
    hasFailed = items === null;
    hasRead = true;
    const changed = (items ?? []).filter((item) => {
      // Ages grow by themselves: what counts is what the server said.
      const text = JSON.stringify(item);
      const isNews = seen.get(idOf(item)) !== text;
      seen.delete(idOf(item));
      seen.set(idOf(item), text);
      return isNews;
    });
    while (seen.size > SEEN_MAX) seen.delete(seen.keys().next().value as string);
    // The list is newest first; a log reads the other way.
    const lines = linesOf(resource, { items: changed.toReversed(), format, widths });
    for (const line of isFirst || format !== "table" ? lines : lines.slice(1)) out.line(line);
    isFirst &&= changed.length === 0;
    await systemClock.sleep(INTERVAL_MS, signal);
  }
}

/** For a table a header and rows; the columns of `widths` only grow, so that they stay under each other. */
function linesOf(
  resource: Resource,
  { items, format, widths }: { items: readonly Item[]; format: Format; widths: number[] },
): string[] {
  if (items.length === 0) return [];
  if (format === "id") return items.map(idOf);
  if (format !== "table") return items.map((item) => JSON.stringify(item));
  const rows = items.map((item) => cellsOf(resource, item));
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell));
    }
  }
  return table(Object.keys(resource.columns), rows, widths);
}
