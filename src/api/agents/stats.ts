import type { ResourceStats } from "../../contract/common.ts";
import type { ResourceStatsRow } from "../../db/agents/stats.ts";
import { isoOrNull, present } from "../http/respond.ts";

/** Costs are estimates from list prices: no provider tells what a call did cost, so there is no actual cost. */
export function statsToWire(row: ResourceStatsRow): ResourceStats {
  return present({
    ...row,
    first_session_at: isoOrNull(row.first_session_at),
    last_session_at: isoOrNull(row.last_session_at),
    last_execution_at: isoOrNull(row.last_execution_at),
    total_estimated_cost_usd: row.total_cost_usd,
    total_actual_cost_usd: 0,
  });
}
