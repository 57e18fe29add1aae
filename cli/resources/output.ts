/** How objects are printed: for eyes as a table, for programs as JSON, YAML or bare ids. */
import { stringify } from "yaml";
import { plainText } from "../../src/client/plain-text.ts";
import type { Item, Resource } from "../../src/client/resources.ts";
import type { CommandContext } from "../action.ts";
import { table } from "../table.ts";
import type { Format } from "./formats.ts";

const CELL_COLUMNS_MAX = 60;

/** Several objects. A table has a header; JSON is one array. */
export function printItems({ out }: CommandContext, resource: Resource, items: readonly Item[], as: Format) {
  if (as === "json") return out.line(JSON.stringify(items, null, 2));
  if (as === "yaml") return out.write(stringify(items));
  if (as === "id") return printLines(out, items.map(idOf));
  const [header = "", ...rows] = table(
    Object.keys(resource.columns),
    items.map((item) => cellsOf(resource, item)),
  );
  out.line(out.paint.dim(header));
  printLines(out, rows);
}

/** One object: every field a line, or all of it for programs. */
export function printItem({ out }: CommandContext, item: Item, as: Format) {
  if (as === "json") return out.line(JSON.stringify(item, null, 2));
  if (as === "yaml") return out.write(stringify(item));
  if (as === "id") return out.line(idOf(item));
  const fields = Object.entries(item).filter(([name, value]) => value !== null && !LINKS.has(name));
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  for (const [name, value] of fields) {
    const text = typeof value === "string" ? plainText(value) : JSON.stringify(value);
    out.line(`${out.paint.dim(name.padEnd(width))}  ${text.replaceAll("\n", `\n${" ".repeat(width + 2)}`)}`);
  }
}

export function cellsOf(resource: Resource, item: Item): string[] {
  return Object.values(resource.columns).map((cellOf) => {
    const text = plainText(String(cellOf(item) ?? "")).replace(/\s+/g, " ");
    return Bun.sliceAnsi(text, 0, CELL_COLUMNS_MAX, "…");
  });
}

/** Events, files and breakers have names of their own. */
export function idOf(item: Item): string {
  return String(item.id ?? item.path ?? item.key ?? item.name ?? "");
}

/** Links that a person does not type. */
const LINKS = new Set(["self_url", "view_url", "ui_link", "allowed_actions"]);

function printLines(out: CommandContext["out"], lines: readonly string[]) {
  for (const line of lines) out.line(line);
}
