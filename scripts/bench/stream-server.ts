/**
 * The API in a process of its own, without workers and without caps on streams: 1,000 readers of one session are
 * more than the server allows to one. Its one argument is the database's address as JSON.
 */
import type { DatabaseAddress } from "../../src/db/pool.ts";
import { startServer } from "../../test/support/live.ts";

const address = JSON.parse(process.argv[2] ?? "") as DatabaseAddress;
const { url } = await startServer({ address }, { streams: { take: () => () => {}, open: () => 0 } });
console.log(`listens on ${new URL(url).port}`);
