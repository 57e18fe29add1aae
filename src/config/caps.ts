/** What one organization may have at once, where it is not the only one or its callers are not known. */
import { type Setting, setting, wholeNumber } from "./setting.ts";

/** 0: no limit. null: the usual one where others than this machine's programs may call, else none. */
const cap = (env: string): Setting<number | null> =>
  setting<number | null>({ env, schema: wholeNumber(0, 100_000_000), fallback: () => null });

export const capSettings = {
  maxAgents: cap("EVERRUNS_MAX_AGENTS"),
  maxSessions: cap("EVERRUNS_MAX_SESSIONS"),
  maxActiveTurns: cap("EVERRUNS_MAX_ACTIVE_TURNS"),
};
