/** Random choices from a seed: the plan of a run can be had again, its timing cannot. */
export interface Random {
  /** From 0 up to 1. */
  next(): number;
  /** A whole number from `min` to `max`, both included. */
  between(min: number, max: number): number;
  /** True so often, from 0 to 1. */
  chance(part: number): boolean;
  pick<T>(list: readonly [T, ...T[]]): T;
  /** A generator of its own, so that one who draws more does not shift what another gets. */
  fork(): Random;
}

/** mulberry32: small, and the same everywhere. */
export function randomFrom(seed: number): Random {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    next,
    between,
    chance: (part) => next() < part,
    pick: (list) => list[between(0, list.length - 1)] as (typeof list)[0],
    fork: () => randomFrom(between(0, 0x7f_ff_ff_ff)),
  };
}
