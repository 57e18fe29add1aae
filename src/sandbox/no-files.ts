/**
 * The second wall around what a model wrote: a process that can open no file, no socket and no pipe, whatever is asked
 * of it. What is open already stays open.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";

/** Of <sys/resource.h>; `struct rlimit` is two 64-bit numbers on all of them. */
const PLATFORMS: Readonly<Record<string, { libraries: readonly string[]; nofile: number }>> = {
  linux: {
    libraries: ["libc.so.6", "libc.so", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"],
    nofile: 7,
  },
  darwin: { libraries: ["libSystem.B.dylib"], nofile: 8 },
};

/** Does something that opens nothing. @throws Error  the limit could not be set: then nothing was done */
export function withoutFiles<T>(act: () => T): T {
  const { nofile, getrlimit, setrlimit } = openLibrary();
  const limit = new BigUint64Array(2);
  const check = (code: number) => {
    if (code !== 0) throw new Error("the limit of open files could not be set");
  };
  check(getrlimit(nofile, ptr(limit)));
  const [soft = 0n, hard = 0n] = limit;
  check(setrlimit(nofile, ptr(new BigUint64Array([0n, hard]))));
  try {
    return act();
  } finally {
    check(setrlimit(nofile, ptr(new BigUint64Array([soft, hard]))));
  }
}

function openLibrary() {
  const platform = PLATFORMS[process.platform];
  const call = { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 } as const;
  for (const name of platform?.libraries ?? []) {
    try {
      const { symbols } = dlopen(name, { getrlimit: call, setrlimit: call });
      return { nofile: platform?.nofile ?? 0, ...symbols };
    } catch {
      // Named differently here.
    }
  }
  throw new Error(`no C library was found that sets limits on ${process.platform}`);
}
