/** Guards an impossibility. A failed assertion is a bug and is allowed to end the operation. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Makes a `switch` exhaustive: a new member of the union does not compile until it has been decided on. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`);
}
