/** What a running program costs, as Linux counts it. */
import { readFileSync } from "node:fs";

const CLOCK_TICKS = 100;

const SHELLS = new Set(["sh", "bash", "dash", "zsh", "tmux"]);

/** The executable's process whose command line matches. @throws Error when it does not run */
export function pidOf(commandLine: string): number {
  const found = Bun.spawnSync(["pgrep", "-f", commandLine]).stdout.toString().trim();
  const pid = found
    .split("\n")
    .map(Number)
    // The shell that started it has the same words.
    .find((each) => {
      const name = each > 0 ? nameOf(each) : null;
      return name !== null && !SHELLS.has(name);
    });
  if (pid === undefined) throw new Error(`does not run: ${commandLine}`);
  return pid;
}

/** In its first fifteen letters ("tmux: server" is tmux); null when the process has ended meanwhile. */
function nameOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim().split(":")[0] ?? null;
  } catch {
    return null;
  }
}

export const rssMbOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;

export function cpuSecondsOf(pid: number): number {
  // After the name, which may have spaces: utime and stime are the 12th and 13th.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS;
}
