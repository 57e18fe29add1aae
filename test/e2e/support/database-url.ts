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
 *
 * @param options.losesNotifications  as a pooler in transaction mode does: they go to whoever has the connection then
 */
export async function databaseUrl(
  address: DatabaseAddress,
  options: { losesNotifications?: boolean } = {},
): Promise<DatabaseUrl> {
  if ("url" in address) return { url: address.url, stop: async () => {} };
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = createConnection(address.socketPath);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      if (one === far && options.losesNotifications)
        one.on(
          "data",
          withoutNotifications((kept) => near.write(kept)),
        );
      else one.pipe(other);
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

/**
 * Messages of the backend have a type of one byte and a length of four that counts itself (PostgreSQL's manual, "Message
 * Formats"); the type of a notification is `A`.
 */
function withoutNotifications(write: (kept: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 5) {
      const length = 1 + rest.readUInt32BE(1);
      if (rest.length < length) return;
      if (rest[0] !== 0x41) write(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
  };
}
