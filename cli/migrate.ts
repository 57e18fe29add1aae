/** `everruns migrate`: brings a database's schema up to date, or prints what is there. */
import { migrations } from "../migrations/index.ts";
import { migrate, migrationStatus } from "../src/db/migrate.ts";
import type { CommandContext } from "./action.ts";
import { openLog, openPlatform, readConfig } from "./platform.ts";

/** Exit code of `status`: 0 up to date, 1 when something is missing or differs. */
export async function migrateCommand(
  action: "apply" | "status",
  flags: Record<string, unknown>,
  context: CommandContext,
): Promise<number> {
  const config = readConfig(flags, context, "other");
  const platform = await openPlatform(config, openLog(config, context), context);
  const { out } = context;
  try {
    if (action === "apply") {
      const applied = await migrate(platform.db, migrations);
      for (const name of applied) out.line(`applied ${name}`);
      out.line(
        applied.length === 0 ? `up to date: ${platform.databaseName}` : `done: ${platform.databaseName}`,
      );
      return 0;
    }
    const rows = await migrationStatus(platform.db, migrations);
    for (const row of rows) {
      const state = row.appliedAt === null ? "missing" : row.isIntact ? "applied" : "differs";
      out.line(`${state.padEnd(8)} ${row.name.padEnd(28)} ${row.appliedAt ?? ""}`.trimEnd());
    }
    return rows.every((row) => row.appliedAt !== null && row.isIntact) ? 0 : 1;
  } finally {
    await platform.close();
  }
}
