/**
 * Something with a lifetime.
 *
 * Contract: `start` resolves when it is ready for use. `stop` is idempotent, is allowed before `start`, and
 * resolves when everything it began has ended.
 */
export interface Service {
  start(): Promise<void>;
  stop(): Promise<void>;
}
