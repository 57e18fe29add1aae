import { type CommandContext, UsageError } from "./action.ts";
import { clientOf } from "./api.ts";
import { type ServerFlags, serverOf } from "./contexts.ts";
import { onFullScreen } from "./full-screen.ts";
import { hasColour } from "./terminal.ts";

/** The monitor, from a look at the server to the end of the screen. */
export async function monitor(
  context: CommandContext,
  flags: ServerFlags & { readonly?: boolean },
): Promise<number> {
  if (!context.out.isTty || !process.stdin.isTTY) {
    throw new UsageError(
      "monitor needs a terminal; in a script use the lists: everruns runs -o json --watch",
    );
  }
  const client = clientOf(context, flags);
  // Before the screen is ours: whatever is wrong with the server is one line.
  await client.request("GET", "/sessions/stats");
  const { baseUrl, context: name } = serverOf(context.env, flags);
  const { openMonitor } = await import("../src/tui/monitor/monitor.tsx");
  const host = baseUrl.replace(/^https?:\/\//, "");
  await onFullScreen(context.signal, (signal) =>
    openMonitor({
      client,
      server: name === null ? host : `${name} (${host})`,
      isReadonly: flags.readonly ?? false,
      isColoured: hasColour(true, context.env),
      signal,
    }),
  );
  return 0;
}
