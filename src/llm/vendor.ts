export interface VendorOptions {
  /** Null for servers that ask for none. */
  apiKey: string | null;
  /** Null for the vendor's own address. */
  baseUrl: string | null;
}

/** Silence is measured by the watch; the packages' own limit on a whole request must not cut a long answer. */
export const NO_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * The packages take whatever came for a list, and a web page for an empty one: every model would seem to be gone.
 *
 * @throws Error   in words for people; classified like every other failure
 */
export function requireList(page: object): void {
  // Protected in both packages, and the only place where the answer is as it came.
  const { body } = page as { body?: unknown };
  const data = typeof body === "object" && body !== null ? (body as { data?: unknown }).data : null;
  if (!Array.isArray(data)) throw new Error("the answer is no list of models; is this the right address?");
}
