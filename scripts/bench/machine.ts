/** The machine: what it is, how busy it is, and who used its processors during a measurement. */
import { readdirSync, readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
/** Clock ticks a second in /proc; 100 on every Linux of today. */
const TICKS = 100;

export interface Machine {
  cpu: string;
  cores: number;
  memoryGib: number;
  kernel: string;
  bun: string;
  /** Short hash; says so when files differ from it. */
  commit: string;
}

export function describeMachine(): Machine {
  const git = (...args: string[]) =>
    Bun.spawnSync(["git", ...args], { cwd: ROOT, stderr: "ignore" })
      .stdout.toString()
      .trim();
  const changed = git(
    "status",
    "--porcelain",
    "--untracked-files=no",
    "--",
    "src",
    "cli",
    "migrations",
    "package.json",
  );
  const hash = git("rev-parse", "--short=10", "HEAD") || "unknown";
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: `${process.platform} ${release()}`,
    bun: Bun.version,
    commit: changed === "" ? hash : `${hash} with uncommitted changes`,
  };
}

export function load(): string {
  return loadavg()
    .map((value) => value.toFixed(2))
    .join(" ");
}

export interface CpuUse {
  /** `processors used: bench 0.6, PostgreSQL 0.9` */
  text(): string;
  /** Processors that one of the watched used, as a number of cores. */
  of(name: string): number;
  /** What others used, as a number of cores. */
  others(): number;
}

/**
 * Counts processor time from now on. A process counts with its children, the living and the ended.
 *
 * @param watched  process ids by the name to show them under
 */
export function watchCpu(watched: Readonly<Record<string, number>>): CpuUse {
  const start = performance.now();
  const busyBefore = busyTicks();
  const before = Object.fromEntries(Object.entries(watched).map(([name, pid]) => [name, ticksOf(pid)]));
  const of = (name: string) => {
    const seconds = (performance.now() - start) / 1000;
    return (ticksOf(watched[name] ?? 0) - (before[name] ?? 0)) / TICKS / seconds;
  };
  const names = Object.keys(watched);
  const others = () => {
    const seconds = (performance.now() - start) / 1000;
    const busy = (busyTicks() - busyBefore) / TICKS / seconds;
    return Math.max(0, busy - names.reduce((sum, name) => sum + of(name), 0));
  };
  return {
    of,
    others,
    text() {
      const each = names.map((name) => `${name} ${of(name).toFixed(2)}`);
      return `processors used: ${[...each, `anything else ${others().toFixed(2)}`].join(", ")}`;
    },
  };
}

/** Ticks of all processors that were not idle, those that a hypervisor took away included; 0 without /proc. */
function busyTicks(): number {
  try {
    const fields = readFileSync("/proc/stat", "utf8")
      .split("\n")[0]
      ?.trim()
      .split(/\s+/)
      .slice(1, 9)
      .map(Number);
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields ?? [];
    return user + nice + system + irq + softirq + steal;
  } catch {
    return 0;
  }
}

/** Ticks of a process, its living children and its ended ones; 0 where there is no /proc. */
function ticksOf(pid: number): number {
  const own = statOf(pid);
  if (own === null) return 0;
  // The bench starts the servers that it watches: they are counted under their own names.
  if (pid === process.pid) return own.ticks;
  const children = readdirSync("/proc")
    .map(Number)
    .filter((id) => Number.isInteger(id))
    .map(statOf)
    .filter((stat) => stat?.parent === pid);
  return children.reduce((sum, stat) => sum + (stat?.ticks ?? 0), own.ticks + own.endedChildren);
}

function statOf(pid: number): { parent: number; ticks: number; endedChildren: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const number = (index: number) => Number(fields[index] ?? 0);
    return { parent: number(1), ticks: number(11) + number(12), endedChildren: number(13) + number(14) };
  } catch {
    return null;
  }
}

/** Microseconds since the start of the machine in which something ready to run waited; null where that is not counted. */
export function pressureUs(): number | null {
  try {
    const total = /^some .*total=(\d+)$/m.exec(readFileSync("/proc/pressure/cpu", "utf8"))?.[1];
    return total === undefined ? null : Number(total);
  } catch {
    return null;
  }
}

/** Resident memory of a process in bytes; null where there is no /proc. */
export function memoryOf(pid: number): number | null {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kib === undefined ? null : Number(kib) * 1024;
  } catch {
    return null;
  }
}
