/** What the families of test/api/contract share. */

/**
 * Calls a route, expects the status, and keeps the answer to be held against the contract.
 *
 * @param route  `/v1/agents/{}`; each `{}` takes the next of `params`
 */
export type Step = (
  method: string,
  route: string,
  params: string[],
  status: number,
  body?: unknown,
  query?: string,
  headers?: Record<string, string>,
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
) => Promise<any>;
