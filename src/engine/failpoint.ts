/**
 * Named places where a process may die. In production a failpoint does nothing; the crash tests hand in a
 * function that kills the process, throws or waits at one of them.
 */
export const FAILPOINTS = [
  "claim:after",
  "reason:before-start",
  "reason:before-call",
  "reason:mid-stream",
  "reason:before-commit",
  "reason:after-commit",
  "tool:before-run",
  "tool:before-commit",
  "tool:after-commit",
  "park:before-commit",
  "park:after-commit",
  "finish:before-commit",
  "finish:after-commit",
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

export type ReachFailpoint = (name: Failpoint) => void | Promise<void>;

export const noFailpoint: ReachFailpoint = () => {};
