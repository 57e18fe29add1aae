/** A database of the run's server under an address that fits into DATABASE_URL. */
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import type { DatabaseAddress } from "../../../src/db/pool.ts";

export interface DatabaseUrl {
  url: string;
  stop(): Promise<void>;
}

/**
 * The run's server listens on a unix socket, for which postgres.js has no URL form: a port on this machine leads
 * to it. When a process dies, both ends of its connections close, as they would without the detour.
 */
export async function databaseUrl(address: DatabaseAddress): Promise<DatabaseUrl> {
  if ("url" in address) return { url: address.url, stop: async () => {} };
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = createConnection(address.socketPath);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.pipe(other);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        open.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `postgres://${address.user}@127.0.0.1:${port}/${address.database}`,
    stop() {
      for (const socket of open) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
