/** Who takes part in a session. */
import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import { AddSessionParticipantRequest, SessionParticipant } from "../../contract/participant.ts";
import { Type } from "../../contract/schema.ts";
import { findAgent } from "../../db/agents/agents.ts";
import { sessionHead } from "../../db/events.ts";
import {
  addParticipant,
  findParticipant,
  leaveSession,
  listParticipants,
  type ParticipantRow,
} from "../../db/participants.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { iso, isoOrNull, present, reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

export function participantRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/participants",
      operationId: "list_session_participants",
      tag: "sessions",
      summary: "Who takes part in a session, those who left too",
      sessionRight: "read",
      responses: { 200: Type.Array(SessionParticipant) },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const sessionId = pathId("session", params.session_id);
        const limit = limits.participantsMax;
        const rows = await listParticipants(db, { organizationId, sessionId, limit });
        if (!rows) throw noSession();
        return reply(200, rows.map(toWire));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/sessions/{session_id}/participants",
      operationId: "add_session_participant",
      tag: "sessions",
      summary: "Let an agent, or the caller, take part",
      description:
        "A message with `addressed_participant_id` begins a turn that this agent answers, with the session's harness, " +
        "tools and history; without it the session's own agent does. A user who takes part already is answered with that; an agent is 409.",
      body: AddSessionParticipantRequest,
      responses: { 201: SessionParticipant },
      problems: ["invalid_id", "not_found", "conflict"],
      async run({ params, body, caller: { organizationId, principalId } }) {
        const sessionId = pathId("session", params.session_id);
        if (body.role === "host") {
          throw new UserError("invalid_request", "role: the host comes with the session; add a member");
        }
        if (body.kind === "user" && body.agent_id != null) {
          throw new UserError("invalid_request", "agent_id: a user has none");
        }
        if (body.kind === "agent" && body.agent_id == null) {
          throw new UserError("invalid_request", "agent_id: is required for an agent");
        }
        const agentId = body.agent_id == null ? null : pathId("agent", body.agent_id);
        if (agentId !== null && !(await findAgent(db, organizationId, agentId))) {
          throw new UserError("not_found", "Agent not found");
        }
        const max = limits.participantsMax;
        const added = await addParticipant(db, { organizationId, sessionId, agentId, principalId, max });
        if (added.outcome === "not_found") throw noSession();
        if (added.outcome === "full") {
          throw new UserError("conflict", `at most ${max} have taken part in a session`);
        }
        if (added.outcome === "present" && agentId !== null) {
          throw new UserError("conflict", "the agent takes part already");
        }
        return reply(201, toWire(added.participant));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/sessions/{session_id}/participants/{participant_id}",
      operationId: "leave_session_participant",
      tag: "sessions",
      summary: "Let somebody leave",
      description: "The host stays as long as the session. Who has left already stays as they are.",
      responses: { 200: SessionParticipant },
      problems: ["invalid_id", "not_found", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const left = await leaveSession(db, {
          organizationId,
          sessionId: pathId("session", params.session_id),
          participantId: pathId("part", params.participant_id),
        });
        if (left.outcome === "not_found") throw new UserError("not_found", "Participant not found");
        if (left.outcome === "host") {
          throw new UserError("conflict", "the host stays as long as the session");
        }
        return reply(200, toWire(left.participant));
      },
    }),
  ];
}

/**
 * The agent that a message is addressed to; null when it is addressed to nobody.
 *
 * @throws UserError invalid_id, invalid_request, not_found
 */
export async function addressedAgent(
  db: ApiDeps["db"],
  input: { organizationId: string; sessionId: string; participantId: string | null },
): Promise<string | null> {
  if (input.participantId === null) return null;
  const participantId = pathId("part", input.participantId);
  const found = await findParticipant(db, { ...input, participantId });
  const complain = (what: string) => new UserError("invalid_request", `addressed_participant_id: ${what}`);
  if (!found && !(await sessionHead(db, input.organizationId, input.sessionId))) throw noSession();
  if (!found) throw complain("nobody of that id takes part in the session");
  if (found.left_at !== null) throw complain("has left the session");
  if (found.agent_id === null) throw complain("is a user; only agents answer");
  return found.agent_id;
}

const noSession = () => new UserError("not_found", "Session not found");

function toWire(row: ParticipantRow): SessionParticipant {
  return present({ ...row, joined_at: iso(row.joined_at), left_at: isoOrNull(row.left_at) });
}
