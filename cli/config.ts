import { describeConfig } from "../src/config/config.ts";
import type { CommandContext } from "./action.ts";
import { readConfig } from "./platform.ts";
import { table } from "./table.ts";

/** `everruns config`: what is in force and where it comes from, secrets as set or not set. */
export async function printConfig(
  context: CommandContext,
  flags: { json?: boolean } & Record<string, unknown>,
): Promise<undefined> {
  const rows = describeConfig(readConfig(flags, context));
  if (flags.json) {
    context.out.line(JSON.stringify(rows, null, 2));
    return;
  }
  const lines = table(
    ["name", "value", "source"],
    rows.map(({ name, value, source }) => [name, value, source]),
  );
  for (const [at, line] of lines.entries()) context.out.line(at === 0 ? context.out.paint.dim(line) : line);
}
