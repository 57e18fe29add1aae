/** `everruns runs cancel` and `everruns runs retry`. */
import { type CommandContext, UsageError } from "./action.ts";
import { clientOf } from "./api.ts";

export interface RunActionFlags {
  output: "table" | "json";
  apiUrl?: string;
}

/** Prints what was done; for a retry the id of the new turn, for scripts. */
export async function runAction(
  context: CommandContext,
  action: "cancel" | "retry",
  { id, ...options }: RunActionFlags & { id: string | undefined },
): Promise<undefined> {
  if (!id) throw new UsageError(`which one? everruns runs ${action} <id>`);
  const client = clientOf(context, options);
  if (action === "cancel") {
    const cancelled = await client.cancelRun(id);
    context.out.line(options.output === "json" ? JSON.stringify(cancelled, null, 2) : cancelled.message);
    return;
  }
  const run = await client.retryRun(id);
  context.out.line(options.output === "json" ? JSON.stringify(run, null, 2) : run.id);
}
