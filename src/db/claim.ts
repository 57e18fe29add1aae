/**
 * Who runs next: the statement with which a worker takes runs into its free slots.
 *
 * First come runs whose lease ran out: their users have waited longest. Then the queue, fair across organizations:
 * a candidate's turn is (runs of its organization that run now + its rank among those of its organization that wait)
 * / the organization's weight, smallest first, then by age. So each organization gets its share of the slots, however
 * many runs another has queued. Within an organization: priority, then age. A session has one active run at most and
 * its next run is queued behind what is there already, so sessions of an organization take turns by age.
 *
 * Runs that end before the next claim leave nothing behind in the table, and a worker with one slot would serve the
 * heaviest organization for ever. What a worker took lately it therefore remembers itself (start-time fair queuing):
 * `Turns` has a virtual time, and an organization is ahead of it by 1 / weight for each run that it was given. The
 * lead counts like a run that is still running. It is never more than one run, so that it cannot outweigh the table;
 * for each worker the runs given to two organizations that wait all the time differ from their weights' proportion
 * by at most one run of each.
 *
 * Cost. The queue's index begins with the organization; the first run of each is found by skipping from one to the
 * next (PostgreSQL before 18 cannot do that by itself, hence the recursion). Candidates are twice the slots,
 * shared out by weight, and not locked: only what is taken is, so that claims at the same moment pass each other by.
 * Ended and parked runs are in none of the indexes used: a claim of 50 took 2.5 ms beside 1,000 ended runs and 2.9 ms
 * beside 1,000,000 (one of 1: 0.5 ms in both), on a busy machine of two cores. The planner cannot know how few rows each part gives; the
 * orders, laterals and `any (array (…))` below leave it no choice but the index that is meant.
 */
import type { Controls } from "../contract/message.ts";
import type { Db } from "./pool.ts";

/** A run under a fresh lease. */
export interface ClaimedRun {
  id: string;
  organization_id: string;
  session_id: string;
  agent_id: string | null;
  attempt: number;
  /** How often its worker was lost since the last checkpoint, and put back for a passing error. */
  takeovers: number;
  retries: number;
  /** The worker that was lost, when this claim takes over from one. */
  lost_worker: string | null;
  lease_epoch: number;
  input_message_id: string;
  input_sequence: number;
  controls: Controls | null;
  iterations: number;
  has_deltas: boolean;
  queued_at: Date;
  /** When the first attempt began. */
  started_at: Date;
}

export interface Claim {
  workerId: string;
  slots: number;
  leaseMs: number;
  /** What this worker gave to whom lately; the claim brings it up to date. Without it each claim is the first. */
  turns?: Turns;
  /** False passes over runs whose lease ran out, which costs a look at every running one. */
  takesOver?: boolean;
  /** Moves the database's clock in tests; null in production. */
  now?: Date | null;
}

/** Times are virtual: one unit is one run of an organization of weight 1. */
export interface Turns {
  time: number;
  /** Until when an organization has had its turn; only those that are ahead of `time`. */
  servedUntil: Map<string, number>;
  /** The organization that the last claim looked at last, when there are more than it looks at; else empty. */
  after: string;
}

export const newTurns = (): Turns => ({ time: 0, servedUntil: new Map(), after: "" });

/** Candidates beyond twice the slots: what others may take from under our eyes when few slots are asked for. */
const SPARE_CANDIDATES = 16;
/** Organizations that one claim looks at; more than these take turns. */
const ORGANIZATIONS_MAX = 100;
/** A claim that came back short although there may be more is sent again this often. */
const ROUNDS_MAX = 8;

/**
 * Takes up to `slots` runs. Skips rows that another worker is looking at. Adds 1 to epoch and attempt, and to
 * `takeovers` where a worker was lost. Fewer than `slots` means that there are no more, or that others took them.
 */
export async function claimRuns(db: Db, claim: Claim): Promise<ClaimedRun[]> {
  const runs: ClaimedRun[] = [];
  const turns = claim.turns ?? newTurns();
  for (let round = 0; round < ROUNDS_MAX && runs.length < claim.slots; round += 1) {
    try {
      const more = await claimOnce(db, { ...claim, turns, slots: claim.slots - runs.length });
      runs.push(...more.runs);
      if (!more.isCut) break;
    } catch (error) {
      // What is claimed already must be driven; the next claim meets the error again.
      if (runs.length === 0) throw error;
      break;
    }
  }
  return runs;
}

interface Seen {
  is_cut: boolean;
  last_organization: string | null;
}
type Row = ClaimedRun & Seen & { weight: number };

/** @returns isCut: there may be more than the candidates that were looked at */
async function claimOnce(
  { sql }: Db,
  claim: Claim & { turns: Turns },
): Promise<{ runs: ClaimedRun[]; isCut: boolean }> {
  const now = claim.now ?? null;
  const candidates = 2 * claim.slots + SPARE_CANDIDATES;
  const turns = claim.turns;
  const leads = leadsOf(turns);
  const rows = await sql<(Row | (Seen & { id: null }))[]>`
    with recursive expired as materialized (
      select id, lease_owner as lost_worker from runs
       where ${claim.takesOver ?? true} and state = 'running' and lease_expires_at <= coalesce(${now}, now())
       order by lease_expires_at
       limit ${claim.slots}
         for no key update skip locked
    ), queued (organization_id, place) as (
      (select organization_id, 1 from runs where state = 'queued' and organization_id > ${turns.after}
        order by organization_id, priority desc, available_at, id limit 1)
      union all
      select (select r.organization_id from runs r
               where r.state = 'queued' and r.organization_id > queued.organization_id
               order by r.organization_id, r.priority desc, r.available_at, r.id limit 1), place + 1
        from queued where queued.organization_id is not null and place < ${ORGANIZATIONS_MAX}
    ), waiting as materialized (
      select o.id, o.weight from queued join organizations o on o.id = queued.organization_id
    ), running as materialized (
      select organization_id, count(*) as count from runs
       where state = 'running' and (select count(*) > 1 from waiting)
       group by organization_id
    ), share as materialized (
      select w.id, w.weight, coalesce(running.count, 0) / w.weight + coalesce(l.lead, 0) as turn,
             ceil(${candidates} * w.weight / sum(w.weight) over ())::int as count
        from waiting w
        left join running on running.organization_id = w.id
        left join unnest(${[...leads.keys()]}::text[], ${[...leads.values()]}::float8[]) as l(id, lead) on l.id = w.id
    ), candidate as materialized (
      select c.id, share.id as organization_id, share.weight, share.turn + (c.rank - 1) / share.weight as turn,
             c.available_at, c.rank = share.count as is_cut
        from share, lateral (
          select r.id, r.available_at,
                 row_number() over (order by r.priority desc, r.available_at, r.id) as rank
            from runs r
           where r.state = 'queued' and r.organization_id = share.id and r.available_at <= coalesce(${now}, now())
           order by r.priority desc, r.available_at, r.id
           limit share.count
        ) c
    ), due as materialized (
      select locked.id, c.weight
        from (select * from candidate order by turn, available_at, id) c, lateral (
          select r.id from runs r
           where r.id = c.id and r.state = 'queued' and r.available_at <= coalesce(${now}, now())
             for no key update skip locked
        ) locked
       limit greatest(0, ${claim.slots}::int - (select count(*)::int from expired))
    ), taken as materialized (
      select id, lost_worker, 1 as weight from expired union all select id, null, weight from due
    ), claimed as (
      update runs
         set state = 'running',
             lease_epoch = lease_epoch + 1,
             attempt = attempt + 1,
             takeovers = takeovers + (state = 'running')::int,
             lease_owner = ${claim.workerId},
             lease_expires_at = coalesce(${now}, now()) + ${claim.leaseMs} * interval '1 millisecond',
             started_at = coalesce(started_at, now())
       where id = any (array (select id from taken))
      returning id, organization_id, session_id, agent_id, attempt, takeovers, retries, lease_epoch, input_message_id,
                input_sequence, controls, iterations, has_deltas, queued_at, started_at
    )
    select claimed.*, taken.lost_worker, taken.weight, seen.*
      from (select (select coalesce(bool_or(is_cut), false) from candidate) as is_cut,
                   (select organization_id from queued where place = ${ORGANIZATIONS_MAX}) as last_organization) seen
      left join (claimed join taken using (id)) on true`;
  const taken = rows.filter((row): row is Row => row.id !== null);
  advance(turns, taken);
  const before = turns.after;
  turns.after = rows[0]?.last_organization ?? "";
  return { runs: taken, isCut: rows[0]?.is_cut === true || before !== turns.after };
}

function leadsOf(turns: Turns): Map<string, number> {
  return new Map([...turns.servedUntil].map(([organization, until]) => [organization, until - turns.time]));
}

/** Time moves to the start of the latest turn that was given; who is behind it starts from there. */
function advance(turns: Turns, taken: readonly Row[]): void {
  const before = turns.time;
  for (const run of taken.filter((row) => row.lost_worker === null)) {
    const start = Math.max(before, turns.servedUntil.get(run.organization_id) ?? 0);
    turns.servedUntil.set(run.organization_id, start + 1 / run.weight);
    turns.time = Math.max(turns.time, start);
  }
  for (const [organization, until] of turns.servedUntil) {
    if (until <= turns.time) turns.servedUntil.delete(organization);
  }
}
