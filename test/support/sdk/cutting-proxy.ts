/** A network that breaks: a TCP proxy whose connections are cut at a byte, or all at once. */
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";

export interface CuttingProxy {
  url: string;
  /** Where new connections lead; a server that starts again may listen elsewhere. */
  leadTo(url: string): void;
  /** The connections that answer next each break after so many bytes of answer; empty: they hold. */
  cutAfter(bytes: readonly number[]): void;
  /** Breaks every connection that is open. */
  cutAll(): void;
  /** Connections that were cut. */
  cuts(): number;
  stop(): Promise<void>;
}

export async function startCuttingProxy(target: string): Promise<CuttingProxy> {
  let goal = new URL(target);
  let plan: number[] = [];
  let plans = 0;
  let cuts = 0;
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = createConnection(Number(goal.port), goal.hostname);
    let left = Number.POSITIVE_INFINITY;
    let planOfLeft = 0;
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        open.delete(one);
        other.destroy();
      });
    }
    near.pipe(far);
    far.on("data", (bytes: Buffer) => {
      // A connection that was kept alive takes its part of a new plan, too.
      if (planOfLeft !== plans) left = plan.shift() ?? Number.POSITIVE_INFINITY;
      planOfLeft = plans;
      near.write(bytes.subarray(0, Math.min(left, bytes.length)));
      left -= bytes.length;
      if (left > 0) return;
      cuts += 1;
      // What was written goes out before the connection breaks.
      near.end(() => near.resetAndDestroy());
      far.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    leadTo: (url) => {
      goal = new URL(url);
    },
    cutAfter: (bytes) => {
      plan = [...bytes];
      plans += 1;
    },
    cutAll() {
      for (const socket of open) socket.resetAndDestroy();
      cuts += 1;
    },
    cuts: () => cuts,
    async stop() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
