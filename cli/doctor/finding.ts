/** One line of the doctor's report. */
export interface Finding {
  what: string;
  /** `warn`: works, but somebody should know. `bad`: does not work. */
  state: "ok" | "warn" | "bad";
  found: string;
  /** What to type or to do; only where something should change. */
  next?: string;
}

export const ok = (what: string, found: string): Finding => ({ what, state: "ok", found });
export const warn = (what: string, found: string, next: string): Finding => ({
  what,
  state: "warn",
  found,
  next,
});
export const bad = (what: string, found: string, next: string): Finding => ({
  what,
  state: "bad",
  found,
  next,
});
