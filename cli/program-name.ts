/** How to call this program again: a checkout has its launcher, the executable is itself. */
export function programName(): string {
  return Bun.main.startsWith("/$bunfs") ? "everruns" : "./everruns";
}
