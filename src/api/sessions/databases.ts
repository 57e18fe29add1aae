/** SQL databases of a session: made, looked at and taken away here; filled by the agent's tools. */
import { UserError } from "../../base/errors.ts";
import { List } from "../../contract/schema.ts";
import { CreateDatabaseRequest, DatabaseInfo, DatabaseSchema } from "../../contract/session-database.ts";
import { sessionHead } from "../../db/events.ts";
import {
  type DatabaseRow,
  databaseTables,
  deleteDatabase,
  findDatabase,
  listDatabases,
  makeDatabase,
} from "../../db/session-databases.ts";
import type { SessionScope } from "../../db/session-storage.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { iso, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

export function databaseRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  const sessionOf = async (id: string, { organizationId }: Caller): Promise<SessionScope> => {
    const sessionId = pathId("session", id);
    if (await sessionHead(db, organizationId, sessionId)) return { organizationId, sessionId };
    throw new UserError("not_found", "Session not found");
  };

  return [
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/databases",
      sessionRight: "read",
      operationId: "list_databases",
      tag: "session-databases",
      summary: "The SQL databases of a session, by name",
      description: "The tools of the capability `session_sql_database` make, fill and read them.",
      responses: { 200: List(DatabaseInfo) },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const rows = await listDatabases(db, await sessionOf(params.session_id, caller));
        return reply(200, whole(rows.map(toWire)));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/sessions/{session_id}/databases",
      operationId: "create_database",
      tag: "session-databases",
      summary: "Make an empty database",
      body: CreateDatabaseRequest,
      responses: { 201: DatabaseInfo },
      problems: ["invalid_id", "limit_exceeded", "not_found", "name_taken", "database_limit"],
      async run({ params, body, caller }) {
        const scope = await sessionOf(params.session_id, caller);
        const row = await makeDatabase(db, scope, body.name);
        if (!row) throw new UserError("name_taken", `the session has a database ${body.name} already`);
        return reply(201, toWire(row), {
          location: `/v1/sessions/${scope.sessionId}/databases/${row.name}`,
        });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/databases/{name}",
      sessionRight: "read",
      operationId: "get_database",
      tag: "session-databases",
      summary: "How large a database is",
      responses: { 200: DatabaseInfo },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const row = await findDatabase(db, await sessionOf(params.session_id, caller), params.name);
        if (!row) throw noDatabase();
        return reply(200, toWire(row));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/sessions/{session_id}/databases/{name}",
      operationId: "delete_database",
      tag: "session-databases",
      summary: "Take a database away with all that is in it",
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        if (await deleteDatabase(db, await sessionOf(params.session_id, caller), params.name)) {
          return reply(204, null);
        }
        throw noDatabase();
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/databases/{name}/schema",
      sessionRight: "read",
      operationId: "get_schema",
      tag: "session-databases",
      summary: "The tables and views of a database with their columns",
      responses: { 200: DatabaseSchema },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const tables = await databaseTables(db, await sessionOf(params.session_id, caller), params.name);
        if (tables === null) throw noDatabase();
        return reply(200, { database: params.name, tables });
      },
    }),
  ];
}

const noDatabase = () => new UserError("not_found", "Database not found");

function toWire(row: DatabaseRow): DatabaseInfo {
  return {
    name: row.name,
    size_bytes: row.size_bytes,
    page_count: row.page_count,
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  };
}
