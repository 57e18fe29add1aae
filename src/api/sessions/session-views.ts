/** What can be seen of a session beside itself and its messages. */
import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import { Type } from "../../contract/schema.ts";
import {
  EventsSummaryResult,
  SessionContextReport,
  SessionResourceEntry,
} from "../../contract/session-view.ts";
import { sessionHead, summarizeEvents } from "../../db/events.ts";
import { sessionResources } from "../../db/session-resources.ts";
import { findSession } from "../../db/session-rows.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { iso, isoOrNull, present, reply, usageOf } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

export function sessionViewRoutes({ db, reportContext }: Pick<ApiDeps, "db" | "reportContext">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/context-report",
      operationId: "get_session_context_report",
      tag: "sessions",
      summary: "What the next model call would carry, in tokens",
      description:
        "By section and source: the prompts of harness, agent, session and capabilities, the definitions of the tools, " +
        "and the part of the conversation that the model is shown. Tokens are estimated, three bytes each. " +
        "Tools of MCP servers are not counted: only a worker asks those servers for them.",
      sessionRight: "read",
      responses: { 200: SessionContextReport },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const sessionId = pathId("session", params.session_id);
        const [report, session] = await Promise.all([
          reportContext({ organizationId, sessionId }),
          findSession(db, organizationId, sessionId),
        ]);
        if (!report || !session) throw noSession();
        return reply(200, { session_id: sessionId, ...report, cumulative_usage: usageOf(session) });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/events/summary",
      operationId: "events_summary",
      tag: "events",
      summary: "The session's log in numbers",
      sessionRight: "read",
      responses: { 200: EventsSummaryResult },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const head = await sessionHead(db, organizationId, pathId("session", params.session_id));
        if (!head) throw noSession();
        const summary = await summarizeEvents(db, head.log);
        const { first_ts, last_ts } = summary;
        return reply(
          200,
          present({ ...summary, first_ts: isoOrNull(first_ts), last_ts: isoOrNull(last_ts) }),
        );
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/resources",
      operationId: "list_resources",
      tag: "sessions",
      summary: "What a session holds",
      description:
        "Its workspace, with the number and size of its files, its databases, and the tasks that it has handed out, oldest " +
        "first, up to 1,000. This server leases nothing else: no sandboxes and no browsers.",
      sessionRight: "read",
      responses: { 200: Type.Array(SessionResourceEntry) },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const sessionId = pathId("session", params.session_id);
        const rows = await sessionResources(db, {
          organizationId,
          sessionId,
          limit: limits.resourcesShownMax,
        });
        if (!rows) throw noSession();
        const entries: SessionResourceEntry[] = rows.map((row) => ({
          ...row,
          session_id: sessionId,
          created_at: iso(row.created_at),
          updated_at: iso(row.updated_at),
        }));
        return reply(200, entries);
      },
    }),
  ];
}

const noSession = () => new UserError("not_found", "Session not found");
