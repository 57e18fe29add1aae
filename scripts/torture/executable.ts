/**
 * The program under torture: the product's own commands with one capability more, whose tools write down each of
 * their executions. The product's executable is built from cli/everruns.ts and knows nothing of it.
 *
 *   torture-everruns (migrate | serve | worker)    configured by the environment, like the product
 */
import { runCommand, UsageError } from "../../cli/action.ts";
import { migrateCommand } from "../../cli/migrate.ts";
import { serveCommand } from "../../cli/serve.ts";
import { workerCommand } from "../../cli/worker.ts";
import { tortureCapability } from "./capability.ts";

await runCommand(async (context) => {
  const file = context.env.TORTURE_EXECUTIONS ?? "";
  if (file === "") throw new UsageError("TORTURE_EXECUTIONS names no file");
  const more = [tortureCapability(file)];
  switch (process.argv[2]) {
    case "migrate":
      return migrateCommand("apply", {}, context);
    case "serve":
      return serveCommand({}, context, more);
    case "worker":
      return workerCommand({}, context, more);
    default:
      throw new UsageError(`no such command: ${process.argv[2]}`);
  }
});
