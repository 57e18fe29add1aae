/** What a session has put aside: values that can be read, and secrets of which only the names can. */
import { UserError } from "../../base/errors.ts";
import {
  BatchSetSecretsRequest,
  BatchSetSecretsResponse,
  KeyValueList,
  SecretList,
} from "../../contract/session-storage.ts";
import { sessionHead } from "../../db/events.ts";
import {
  listSessionSecrets,
  listSessionValues,
  putSessionSecrets,
  type SessionScope,
} from "../../db/session-storage.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { iso, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

export function storageRoutes({ db, seal }: Pick<ApiDeps, "db" | "seal">): Route[] {
  const sessionOf = async (id: string, { organizationId }: Caller): Promise<SessionScope> => {
    const sessionId = pathId("session", id);
    if (await sessionHead(db, organizationId, sessionId)) return { organizationId, sessionId };
    throw new UserError("not_found", "Session not found");
  };

  return [
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/storage/keys",
      sessionRight: "read",
      operationId: "list_keys",
      tag: "session-storage",
      summary: "The values that the session has put aside, by key",
      description: "The tool `kv_store` of the capability `session_storage` writes them.",
      responses: { 200: KeyValueList },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const rows = await listSessionValues(db, await sessionOf(params.session_id, caller));
        return reply(
          200,
          whole(
            rows.map(({ key, value, created_at, updated_at }) => ({
              key,
              value,
              created_at: iso(created_at),
              updated_at: iso(updated_at),
            })),
          ),
        );
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/storage/secrets",
      operationId: "list_secrets",
      tag: "session-storage",
      summary: "The names of the session's secrets",
      description: "Their values never leave the server by this API.",
      responses: { 200: SecretList },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const rows = await listSessionSecrets(db, await sessionOf(params.session_id, caller));
        return reply(
          200,
          whole(
            rows.map(({ name, created_at, updated_at }) => ({
              name,
              created_at: iso(created_at),
              updated_at: iso(updated_at),
            })),
          ),
        );
      },
    }),
    defineRoute({
      method: "PUT",
      path: "/sessions/{session_id}/storage/secrets",
      operationId: "batch_set_secrets",
      tag: "session-storage",
      summary: "Set secrets of the session by name",
      description:
        "All or none; others stay. They are encrypted before they are stored. The agent sees their names (tool " +
        "`secret_store` of the capability `session_storage`), and their values only when that capability is " +
        'configured with `{"reveal_secrets": true}`. A fork does not take them along.',
      body: BatchSetSecretsRequest,
      responses: { 200: BatchSetSecretsResponse },
      problems: ["invalid_id", "limit_exceeded", "not_found"],
      async run({ params, body, caller }) {
        const scope = await sessionOf(params.session_id, caller);
        return reply(200, { count: await putSessionSecrets(db, { seal }, scope, body.secrets) });
      },
    }),
  ];
}
