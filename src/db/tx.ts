import { createSemaphore, type Semaphore } from "../base/semaphore.ts";
import { type Db, TRANSACTION_LANE, type TransactionSql } from "./pool.ts";

/** One semaphore a pool: never more transactions than the lane has connections (see `pool.ts`). */
const permits = new WeakMap<object, Semaphore>();

/** The only transaction in the house. The hot path does not need it: one statement is one change of state. */
export async function transaction<T>(db: Db, body: (sql: TransactionSql) => Promise<T>): Promise<T> {
  let semaphore = permits.get(db.transactions);
  if (!semaphore) {
    semaphore = createSemaphore(TRANSACTION_LANE);
    permits.set(db.transactions, semaphore);
  }
  const release = await semaphore.acquire();
  try {
    return (await db.transactions.begin(body as never)) as T;
  } finally {
    release();
  }
}
