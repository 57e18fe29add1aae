/** What is done to the processes and the database, at random. */
import type { Stop, TortureDatabase } from "./database.ts";
import type { Member, Members } from "./members.ts";
import type { Random } from "./random.ts";

export interface FaultCounts {
  kills: number;
  stops: number;
  drains: number;
  databaseRestarts: number;
  cuts: number;
}

export const noFaults: FaultCounts = { kills: 0, stops: 0, drains: 0, databaseRestarts: 0, cuts: 0 };

type Fault = "kill" | "stop" | "drain" | "cut" | "database";

const WEIGHTS: Record<Fault, number> = { kill: 8, stop: 5, drain: 3, cut: 3, database: 1 };
/** After so many faults the weather changes: what was rare may come often. */
const FAULTS_PER_WEATHER = 25;
const WEATHER = { min: 0.2, max: 4 };
const GAP_MS = { min: 100, max: 1_200 };
const STOPS: readonly [Stop, ...Stop[]] = ["fast", "immediate", "kill -9"];

/**
 * One fault after the other, some of them at the same time, until `isOver`; resolves when every trouble has passed.
 * @param leaseMs  a process that is put to sleep sleeps longer
 */
export async function disturb(
  { members, database }: { members: Members; database: TortureDatabase },
  random: Random,
  options: { leaseMs: number; isOver(): boolean; counts: FaultCounts },
): Promise<void> {
  const { counts } = options;
  const passing = new Set<Promise<void>>();
  const begin = (trouble: Promise<void>) => {
    passing.add(trouble);
    void trouble.finally(() => passing.delete(trouble));
  };
  const free = (): Member | null => {
    const candidates = members.all.filter((member) => member.isFree());
    return candidates.length === 0 ? null : random.pick(candidates as [Member, ...Member[]]);
  };
  /** One of each kind first: the shortest of runs has all of them. */
  const order: Fault[] = shuffled(Object.keys(WEIGHTS) as Fault[], random);
  let weights = WEIGHTS;

  for (let faults = 1; !options.isOver(); faults += 1) {
    if (faults % FAULTS_PER_WEATHER === 0) weights = otherWeather(random);
    await Bun.sleep(random.between(GAP_MS.min, GAP_MS.max));
    const fault = order.pop() ?? drawn(weights, random);
    if (fault === "database") {
      counts.databaseRestarts += 1;
      const how = random.pick(STOPS);
      database.stop(how);
      await database.ready();
      continue;
    }
    if (fault === "cut") {
      if (database.cut(random) > 0) counts.cuts += 1;
      continue;
    }
    const member = free();
    if (member === null) continue;
    if (fault === "kill") {
      counts.kills += 1;
      begin(member.kill(random.between(0, 1_500)));
    } else if (fault === "drain") {
      counts.drains += 1;
      begin(member.drain());
    } else {
      counts.stops += 1;
      begin(member.sleep(Math.round(options.leaseMs * (1.1 + random.next()))));
    }
  }
  await Promise.all(passing);
}

function otherWeather(random: Random): Record<Fault, number> {
  const factor = () => WEATHER.min * (WEATHER.max / WEATHER.min) ** random.next();
  return Object.fromEntries(
    Object.entries(WEIGHTS).map(([name, weight]) => [name, weight * factor()]),
  ) as Record<Fault, number>;
}

function drawn(weights: Record<Fault, number>, random: Random): Fault {
  const all = Object.entries(weights) as [Fault, number][];
  let left = random.next() * all.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [fault, weight] of all) {
    left -= weight;
    if (left < 0) return fault;
  }
  return "kill";
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  return list
    .map((item) => ({ item, at: random.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
