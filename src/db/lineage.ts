/**
 * Whose events a session's log is made of.
 *
 * A fork owns the events after the sequence that it was forked at; those before belong to the sessions that it
 * descends from, and stay theirs: they are immutable, so nothing has to be copied and nothing can differ. The
 * lineage stands flattened on the fork's row and never changes, so that a read of any part of the log is one
 * statement however deep the forks are, and a session without a parent is read as if there were no forks.
 */
import type { ISql, PendingQuery, Row } from "postgres";

/** A session that wrote the beginning of another's log. */
export interface Ancestor {
  sessionId: string;
  /** Its last event in that log. Its first is the one after the ancestor before it. */
  upTo: number;
}

/** Oldest first; empty for a session that is no fork. */
export type Lineage = readonly Ancestor[];

/** The log of a session, as readers need to know it. */
export interface SessionLog {
  id: string;
  lineage: Lineage;
}

/** The columns of a session's row that a lineage is made of. */
export interface LineageColumns {
  lineage_ids: string[] | null;
  lineage_up_to: number[] | null;
}

/** A part of a log that one session wrote. */
export interface LogPart {
  ownerId: string;
  /** Exclusive. */
  after: number;
  /** Inclusive. */
  upTo: number;
}

/** The events that a session wrote itself: all of them, unless it is a fork. */
export function ownLog(id: string): SessionLog {
  return { id, lineage: [] };
}

export function toLineage({ lineage_ids, lineage_up_to }: LineageColumns): Lineage {
  return (lineage_ids ?? []).map((sessionId, index) => ({ sessionId, upTo: lineage_up_to?.[index] ?? 0 }));
}

/** Sequence of the last event that the session did not write itself; 0 when it wrote all. */
export function inheritedUpTo(lineage: Lineage): number {
  return lineage.at(-1)?.upTo ?? 0;
}

/**
 * Who wrote the events of a range, oldest first; never empty, so that a statement over it is never without input.
 *
 * @param range.after   exclusive
 * @param range.before  exclusive
 */
export function partsOf(log: SessionLog, range: { after: number; before: number }): LogPart[] {
  const parts: LogPart[] = [];
  let after = 0;
  for (const { sessionId, upTo } of [...log.lineage, { sessionId: log.id, upTo: Number.MAX_SAFE_INTEGER }]) {
    const part = {
      ownerId: sessionId,
      after: Math.max(after, range.after),
      upTo: Math.min(upTo, range.before - 1),
    };
    if (part.after < part.upTo) parts.push(part);
    after = upTo;
  }
  return parts.length > 0 ? parts : [{ ownerId: log.id, after: range.after, upTo: range.after }];
}

/** The session that wrote the event of a sequence. */
export function ownerOf(log: SessionLog, sequence: number): string {
  return log.lineage.find(({ upTo }) => sequence <= upTo)?.sessionId ?? log.id;
}

/**
 * The last event that two logs share, and who wrote it; null when they have none in common.
 *
 * @param a.lastSequence  the newest of the log
 */
export function commonAncestor(
  a: SessionLog & { lastSequence: number },
  b: SessionLog & { lastSequence: number },
): { sessionId: string; sequence: number } | null {
  const [left, right] = [a, b].map((log) => [
    ...log.lineage,
    { sessionId: log.id, upTo: log.lastSequence },
  ]) as [Ancestor[], Ancestor[]];
  let common: { sessionId: string; sequence: number } | null = null;
  for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
    const [one, other] = [left[index] as Ancestor, right[index] as Ancestor];
    if (one.sessionId !== other.sessionId) break;
    common = { sessionId: one.sessionId, sequence: Math.min(one.upTo, other.upTo) };
    if (one.upTo !== other.upTo) break;
  }
  return common;
}

/**
 * For whoever removes sessions for good: true while a session that is not deleted shows events of this one.
 *
 * @param id  SQL for the id of the session in question, such as `` sql`s.id` ``
 */
export function isNeededByFork(sql: ISql<{ bigint: number }>, id: PendingQuery<Row[]>) {
  return sql`exists (
    select from sessions fork where fork.lineage_ids @> array[${id}]::text[] and fork.deleted_at is null)`;
}
