/**
 * What bounded a figure, said of numbers alone: nothing is named that was not measured while the figure was taken,
 * and nothing is blamed that took little of the time.
 */

export interface Seen {
  cores: number;
  /** Processors that each of the watched used, as a number of cores. */
  used: readonly { name: string; cores: number }[];
  /** Processors that went to anything else. */
  others: number;
  /** The part of the time (0 to 1) in which something ready to run waited for a processor; null where unknown. */
  pressure: number | null;
  /** Writing transactions a second. */
  commits: number;
  /** Median of a write with fdatasync under the database, in milliseconds. */
  syncMs: number;
}

/** The part that one bound has to have of the whole before it is named. */
const FULL = 0.85;
/** Something ready to run waited for most of the time: the processors were what was scarce. */
const SCARCE = 0.5;

/** Other programs, all processors, one process that has one thread, the disk, or none of these. */
export function boundOf({ cores, used, others, pressure, commits, syncMs }: Seen): string {
  const sum = used.reduce((total, { cores: own }) => total + own, 0);
  const [busiest] = [...used].sort((a, b) => b.cores - a.cores);
  const all = `${sum.toFixed(1)} of ${cores} processors used`;
  const queued = pressure === null ? "" : `, ${percent(pressure)} of the time something waited for one`;
  if (others >= 0.2 * cores) {
    return `other programs: they took ${others.toFixed(1)} of ${cores} processors, the figure is too low`;
  }
  if (sum >= FULL * cores) return `the processors: ${all}${queued}, most of it ${busiest?.name}`;
  // PostgreSQL has a process for each connection; the others have one thread that counts.
  const single = used.find(({ name, cores: own }) => name !== "PostgreSQL" && own >= FULL);
  if (single) {
    return `one process, ${single.name}: ${single.cores.toFixed(2)} of the one processor that it can use`;
  }
  // A commit waits for a sync, but commits that meet share one: this is the most that it can have been.
  const syncing = Math.min(1, (commits * syncMs) / 1000);
  const disk = `the disk's syncs ${percent(syncing)} of the time at most`;
  if (syncing >= SCARCE) return `the disk: ${disk}; ${all}`;
  if (pressure !== null && pressure >= SCARCE) {
    return `the processors: ${all}${queued}, most of it ${busiest?.name}; ${disk}`;
  }
  return `none alone: ${all}${queued}; ${disk}`;
}

export function percent(part: number): string {
  return `${Math.round(100 * part)} %`;
}
