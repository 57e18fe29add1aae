/** Forks: a session that goes on from an event of another one, and what two of them did since they parted. */
import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { limits } from "../../contract/limits.ts";
import { Type } from "../../contract/schema.ts";
import { ForkSessionRequest, SessionDiff, SessionWithUrls } from "../../contract/session.ts";
import { readBranch, sessionHead } from "../../db/events.ts";
import { type Forked, forkSession } from "../../db/fork.ts";
import { commonAncestor } from "../../db/lineage.ts";
import type { SessionRow } from "../../db/session-rows.ts";
import { requireBytes, requireModel } from "../agents/layer.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { created, reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { findSessionAgent, readLocale } from "./session-start.ts";
import { sessionToWire } from "./sessions.ts";

type Deps = Pick<ApiDeps, "db" | "capabilities" | "caps">;

export function forkRoutes(deps: Deps): Route[] {
  return [forkRoute(deps), diffRoute(deps)];
}

function forkRoute(deps: Deps): Route {
  const { db } = deps;
  return defineRoute({
    method: "POST",
    path: "/sessions/{session_id}/fork",
    operationId: "fork_session",
    tag: "sessions",
    summary: "Fork a session",
    description:
      "A new session whose log begins with the events of this one, up to `at_sequence`, and goes on by itself. " +
      "Without `at_sequence` it begins at the newest event, and a session that is working on a turn answers 409; " +
      "with it any event will do, also while a turn runs. A point in the middle of a turn is kept as it is: in the " +
      "fork that turn ends there, with `turn.cancelled`. What is not given is inherited. Files, the values of " +
      "the session's storage and its databases are copied as they are now, whatever the point; a workspace that the session shares stays " +
      "shared, and its secrets stay behind. Usage begins at zero.",
    body: ForkSessionRequest,
    isBodyOptional: true,
    responses: { 201: SessionWithUrls },
    problems: ["invalid_id", "limit_exceeded", "not_found", "conflict", "session_busy"],
    async run({ params, body: sent, caller: { organizationId, principalId } }) {
      const sessionId = pathId("session", params.session_id);
      const body = sent ?? {};
      requireBytes("system_prompt", body.system_prompt, limits.systemPromptBytesMax);
      const locale = readLocale(body.locale ?? null);
      const agent = await findSessionAgent(db, organizationId, { agent_id: body.agent_id ?? null });
      const modelId =
        body.model_id == null
          ? null
          : await requireModel(db, organizationId, {
              field: "model_id",
              id: body.model_id,
              code: "not_found",
            });
      await deps.caps.admitSession(organizationId);
      const forked = await forkSession(db, {
        organizationId,
        sessionId,
        id: newId("session"),
        ownerPrincipalId: principalId,
        atSequence: body.at_sequence ?? null,
        agent:
          agent === null
            ? null
            : { id: agent.id, versionId: agent.default_version_id, harnessId: agent.harness_id },
        title: body.title ?? null,
        locale,
        modelId,
        systemPrompt: body.system_prompt ?? null,
        tags: body.tags == null ? null : [...new Set(body.tags)],
      });
      return created(await sessionToWire(deps, sessionOf(forked)));
    },
  });
}

function sessionOf(forked: Forked): SessionRow {
  switch (forked.outcome) {
    case "forked":
      return forked.session;
    case "not_found":
      throw noSession();
    case "busy":
      throw new UserError(
        "session_busy",
        `the session is working on ${forked.turnId}; wait for its end, or name an at_sequence`,
      );
    case "beyond_end":
      throw new UserError(
        "invalid_request",
        `at_sequence: the newest event of the session is ${forked.lastSequence}`,
      );
    case "too_deep":
      throw new UserError(
        "limit_exceeded",
        `a fork of a fork: at most ${limits.forkDepthMax} deep; fork one of the sessions before this one`,
      );
  }
}

function diffRoute({ db }: Deps): Route {
  return defineRoute({
    method: "GET",
    path: "/sessions/{session_id}/diff/{other_id}",
    operationId: "diff_sessions",
    tag: "sessions",
    summary: "What two sessions did after the last event that they share",
    description:
      "For a session and its fork, or two forks of one session. `a` is the first session's branch and `b` the " +
      "other's: the first `limit` events of each without token deltas, `has_more` when there are others. `usage` is " +
      "of the whole branches.",
    query: Type.Object({
      limit: Type.Optional(
        Type.Integer({ minimum: 1, maximum: limits.eventsPageMax, default: limits.eventsPageMax }),
      ),
    }),
    responses: { 200: SessionDiff },
    problems: ["invalid_id", "not_found", "unrelated_sessions"],
    async run({ params, query, caller: { organizationId } }) {
      const ids = [pathId("session", params.session_id), pathId("session", params.other_id)];
      const [a, b] = await Promise.all(ids.map((id) => sessionHead(db, organizationId, id)));
      if (!a || !b) throw noSession();
      const common = commonAncestor(
        { ...a.log, lastSequence: a.lastSequence },
        { ...b.log, lastSequence: b.lastSequence },
      );
      if (common === null) {
        throw new UserError(
          "unrelated_sessions",
          "neither session is a fork of the other or of its ancestors",
        );
      }
      const limit = query.limit ?? limits.eventsPageMax;
      const [one, other] = await Promise.all(
        [a, b].map(({ log, lastSequence }) =>
          readBranch(db, log, { after: common.sequence, upTo: lastSequence, limit }),
        ),
      );
      if (!one || !other) throw new Error("two branches were read");
      return reply(200, {
        common_ancestor: { session_id: common.sessionId, sequence: common.sequence },
        a: one.events,
        b: other.events,
        has_more: { a: one.hasMore, b: other.hasMore },
        usage: { a: one.usage, b: other.usage },
      });
    },
  });
}

const noSession = () => new UserError("not_found", "Session not found");
