import { Id, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const PARTICIPANT_KINDS = ["user", "agent"] as const;
export const PARTICIPANT_ROLES = ["member", "host"] as const;

/** Who takes part in a session. The host is the session's agent, or its owner when it has none. */
export const SessionParticipant = Type.Object({
  id: Id("part"),
  session_id: Id("session"),
  kind: OneOf(PARTICIPANT_KINDS),
  role: OneOf(PARTICIPANT_ROLES),
  /** The user; of an agent, who brought it. */
  principal_id: Type.String(),
  agent_id: Type.Optional(Id("agent")),
  joined_at: Timestamp,
  /** Absent: is there. */
  left_at: Type.Optional(Timestamp),
});
export type SessionParticipant = Static<typeof SessionParticipant>;

export const AddSessionParticipantRequest = Type.Object({
  /** `user` is the caller. */
  kind: OneOf(PARTICIPANT_KINDS),
  /** Of an agent; a user has none. */
  agent_id: Maybe(Type.String()),
  /** `host` comes with the session and cannot be added. */
  role: Maybe(OneOf(PARTICIPANT_ROLES)),
});
export type AddSessionParticipantRequest = Static<typeof AddSessionParticipantRequest>;
