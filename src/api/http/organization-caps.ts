/**
 * What one organization may have at once. The caps keep one organization from taking the installation from the
 * others; they are no accounts. So a process counts in the database now and then and adds what it lets in itself:
 * with several servers a cap may be passed by what they let in within a few seconds. At the cap every request counts
 * again, so room that was made is there at once.
 */
import type { Clock } from "../../base/clock.ts";
import { UserError } from "../../base/errors.ts";
import {
  agentExists,
  countActiveTurns,
  countAgents,
  countSessions,
  startsNoTurn,
} from "../../db/organization-counts.ts";
import type { Db } from "../../db/pool.ts";

/** null: no cap. */
export interface CapSettings {
  agents: number | null;
  sessions: number | null;
  /** Queued and running. */
  activeTurns: number | null;
}

export const NO_CAPS: CapSettings = { agents: null, sessions: null, activeTurns: null };

export interface OrganizationCaps {
  /**
   * Before an agent is written; one that is there may always be changed.
   *
   * @param agent  null: a new one, whatever there is
   * @throws UserError conflict
   */
  admitAgent(organizationId: string, agent: { id: string | null; name: string } | null): Promise<void>;
  /** @throws UserError conflict */
  admitSession(organizationId: string): Promise<void>;
  /** Before a message; one that starts no turn is always let in. @throws UserError rate_limited */
  admitMessage(
    organizationId: string,
    message: { sessionId: string; clientMessageId: string | null },
  ): Promise<void>;
  /** Before a turn that begins without a message of its caller: tried again, or triggered. @throws UserError rate_limited */
  admitTurn(organizationId: string): Promise<void>;
}

/** How old a count may be. */
const FRESH_MS = 5_000;
/** What a client that was refused a turn should wait. */
const TURN_WAIT_SECONDS = 5;
/** Organizations whose counts are kept in memory. */
const COUNTS_MAX = 10_000;

export function createOrganizationCaps(
  db: Db,
  clock: Pick<Clock, "monotonicMs">,
  caps: CapSettings,
): OrganizationCaps {
  const agents = cap(caps.agents, (id, upTo) => countAgents(db, id, upTo), clock);
  const sessions = cap(caps.sessions, (id, upTo) => countSessions(db, id, upTo), clock);
  const turns = cap(caps.activeTurns, (id, upTo) => countActiveTurns(db, id, upTo), clock);
  const tooManyTurns = () =>
    new UserError(
      "rate_limited",
      `the organization has ${caps.activeTurns} turns at work already; nothing was written, try again`,
      { fields: { retry_after_seconds: TURN_WAIT_SECONDS } },
    );
  return {
    async admitAgent(organizationId, agent) {
      if (await agents.take(organizationId)) return;
      if (agent !== null && (await agentExists(db, organizationId, agent))) return;
      throw new UserError(
        "conflict",
        `the organization has ${caps.agents} agents already; delete one first (those that are archived count)`,
      );
    },
    async admitSession(organizationId) {
      if (await sessions.take(organizationId)) return;
      throw new UserError(
        "conflict",
        `the organization has ${caps.sessions} sessions already; delete some first`,
      );
    },
    async admitMessage(organizationId, message) {
      if (await turns.take(organizationId)) return;
      if (await startsNoTurn(db, organizationId, message)) return;
      throw tooManyTurns();
    },
    async admitTurn(organizationId) {
      if (!(await turns.take(organizationId))) throw tooManyTurns();
    },
  };
}

function cap(
  max: number | null,
  count: (organizationId: string, upTo: number) => Promise<number>,
  clock: Pick<Clock, "monotonicMs">,
) {
  const counts = new Map<string, { count: number; atMs: number }>();
  return {
    /** Counts one more, unless that is too many. */
    async take(organizationId: string): Promise<boolean> {
      if (max === null) return true;
      let known = counts.get(organizationId);
      if (!known || known.count >= max || clock.monotonicMs() - known.atMs >= FRESH_MS) {
        known = { count: await count(organizationId, max), atMs: clock.monotonicMs() };
        counts.delete(organizationId);
        counts.set(organizationId, known);
        if (counts.size > COUNTS_MAX) counts.delete(counts.keys().next().value as string);
      }
      if (known.count >= max) return false;
      known.count += 1;
      return true;
    },
  };
}
