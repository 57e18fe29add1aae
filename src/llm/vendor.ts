export interface VendorOptions {
  /** Null for servers that ask for none. */
  apiKey: string | null;
  /** Null for the vendor's own address. */
  baseUrl: string | null;
}

/** Silence is measured by the watch; the packages' own limit on a whole request must not cut a long answer. */
export const NO_TIMEOUT_MS = 2 ** 31 - 1;
