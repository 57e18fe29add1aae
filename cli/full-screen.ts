/**
 * Runs a program that has the whole screen. Whatever breaks while it runs ends it by the signal, so that it gives the
 * terminal back as it was, and is thrown afterwards, where it can be read.
 */
export async function onFullScreen(
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const broken = new AbortController();
  const failures: unknown[] = [];
  const onFailure = (error: unknown) => {
    failures.push(error);
    broken.abort();
  };
  process.on("uncaughtException", onFailure);
  process.on("unhandledRejection", onFailure);
  try {
    await run(AbortSignal.any([signal, broken.signal]));
  } finally {
    process.off("uncaughtException", onFailure);
    process.off("unhandledRejection", onFailure);
  }
  if (failures.length > 0) throw failures[0];
}
