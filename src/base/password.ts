import { createSemaphore } from "./semaphore.ts";

/** Hashes and checks passwords: Argon2id with the platform's parameters (64 MiB, two passes). */
export interface Passwords {
  hash(password: string): Promise<string>;
  /**
   * Whether the password is the one that was hashed.
   *
   * @param hash  null: there is none. It takes as long, so that the time does not tell who exists, and is false.
   */
  verify(password: string, hash: string | null): Promise<boolean>;
}

/** Hashes under way at once: each takes 64 MiB, and a flood of sign-ins must not take all memory. */
const AT_ONCE = 4;

export function createPasswords(): Passwords {
  const permits = createSemaphore(AT_ONCE);
  const bounded = async <T>(work: () => Promise<T>): Promise<T> => {
    const release = await permits.acquire();
    try {
      return await work();
    } finally {
      release();
    }
  };
  const hash = (password: string) => bounded(() => Bun.password.hash(password, "argon2id"));
  let nobodys: Promise<string> | null = null;
  return {
    hash,
    async verify(password, stored) {
      nobodys ??= hash(crypto.randomUUID());
      const against = stored ?? (await nobodys);
      return (await bounded(() => Bun.password.verify(password, against))) && stored !== null;
    },
  };
}
