import { UserError } from "../../base/errors.ts";
import { CreateSessionTokenRequest, type SessionRight, SessionToken } from "../../contract/access.ts";
import { sessionHead } from "../../db/events.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { iso, reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

const TTL_SECONDS = 900;

/** Tokens for browsers: of one session, for minutes, instead of the organization's own. */
export function sessionTokenRoutes(deps: Pick<ApiDeps, "db" | "access" | "clock">): Route[] {
  return [
    defineRoute({
      method: "POST",
      path: "/sessions/{session_id}/tokens",
      operationId: "create_session_token",
      tag: "sessions",
      summary: "Make a token that opens this session alone",
      description:
        "For a browser, which must never see an organization's token. `read` opens the session, its events, stream, " +
        "messages, files, queue and runs; `write` sends messages and tool results, cancels, and changes the queue and the " +
        "files; `approve` decides tool approvals. Without any of the three it reads. It lives `ttl_seconds` (900; at most 3600), and ends with " +
        "the credential that it was made with.",
      access: "read",
      body: CreateSessionTokenRequest,
      isBodyOptional: true,
      responses: { 201: SessionToken },
      problems: ["invalid_id", "not_found", "forbidden"],
      async run({ params, body, caller }) {
        const sessionId = pathId("session", params.session_id);
        const { write = false, approve = false, ttl_seconds } = body ?? {};
        const isReader = body?.read ?? !(write || approve);
        if ((write || approve) && !caller.canWrite) {
          throw new UserError("forbidden", "who may only read cannot let others write");
        }
        if (!(await sessionHead(deps.db, caller.organizationId, sessionId))) {
          throw new UserError("not_found", "Session not found");
        }
        const rights: SessionRight[] = [
          ...(isReader ? (["read"] as const) : []),
          ...(write ? (["write"] as const) : []),
          ...(approve ? (["approve"] as const) : []),
        ];
        if (rights.length === 0) throw new UserError("invalid_request", "a token must open something");
        const { credential } = caller;
        const lifeSeconds = ttl_seconds ?? TTL_SECONDS;
        const token = await deps.access.jwts.sign(
          "session",
          {
            sub: caller.userId,
            org: caller.organizationId,
            session: sessionId,
            rights,
            by: "id" in credential ? credential.id : "",
          },
          lifeSeconds,
        );
        return reply(201, {
          token,
          token_type: "Bearer" as const,
          session_id: sessionId,
          read: rights.includes("read"),
          write: rights.includes("write"),
          approve: rights.includes("approve"),
          expires_at: iso(new Date(deps.clock.now().getTime() + lifeSeconds * 1_000)),
        });
      },
    }),
  ];
}
