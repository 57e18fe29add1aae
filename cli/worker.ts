/** `everruns worker`: workers only, beside a server or on another machine. */
import type { Capability } from "../src/capabilities/capability.ts";
import { createCapabilities } from "../src/capabilities/registry.ts";
import { createHints } from "../src/db/hints.ts";
import { asRetryable } from "../src/db/sqlstate.ts";
import type { CommandContext } from "./action.ts";
import { startWorkers } from "./engine.ts";
import { ensureSchema, openLog, openPlatform, openSealer, readConfig } from "./platform.ts";
import { untilStopped } from "./until-stopped.ts";

/** @param more  capabilities beside those of the house */
export async function workerCommand(
  flags: Record<string, unknown>,
  context: CommandContext,
  more: readonly Capability[] = [],
): Promise<number> {
  const config = readConfig(flags, context, "other");
  const log = openLog(config, context);
  const platform = await openPlatform(config, log, context);
  try {
    await ensureSchema(platform);
    const { sealer } = await openSealer(platform);
    const hints = createHints({ db: platform.db, log });
    await hints.start();
    const capabilities = createCapabilities({
      webFetch: { allowPrivateHosts: config.allowPrivateHosts },
      more,
    });
    const workers = await startWorkers(platform, { sealer, hints, capabilities, count: 1 });
    context.out.line(
      `everruns worker: up to ${config.concurrency} turns at once, on ${platform.databaseName}`,
    );
    await untilStopped(context.signal);
    log.info("stopping: turns in hand are finished or handed back");
    await workers.stop();
    await hints.stop();
    return 0;
  } catch (error) {
    throw asRetryable(error);
  } finally {
    await platform.close();
  }
}
