/** The engine's figures over the last hour, taken by this process and kept in its memory. */
import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Service } from "../../base/service.ts";
import type { MetricsPoint, MetricsTimeSeriesResponse } from "../../contract/durable.ts";
import { limits } from "../../contract/limits.ts";
import { readEngineFigures } from "../../db/durable/figures.ts";
import type { Db } from "../../db/pool.ts";
import { pointOf } from "./_health-wire.ts";

export interface FiguresHistory extends Service {
  timeSeries(): MetricsTimeSeriesResponse;
}

/** Takes its first point when it starts. A point that cannot be had is left out. */
export function createFiguresHistory(deps: { db: Db; clock: Clock; log: Log }): FiguresHistory {
  const points: MetricsPoint[] = [];
  const stopped = new AbortController();
  let loop: Promise<void> | null = null;

  const take = async () => {
    try {
      points.push(pointOf(deps.clock.now(), await readEngineFigures(deps.db)));
      if (points.length > limits.figurePoints) points.shift();
    } catch (error) {
      deps.log.debug("the engine's figures could not be read", { cause: describeError(error) });
    }
  };

  return {
    async start() {
      loop ??= (async () => {
        while (!stopped.signal.aborted) {
          await take();
          await deps.clock.sleep(limits.figureIntervalMs, stopped.signal);
        }
      })();
    },
    async stop() {
      stopped.abort();
      await loop;
    },
    timeSeries: () => ({
      points: [...points],
      resolution_seconds: limits.figureIntervalMs / 1_000,
      instance_count: 1,
    }),
  };
}
