/** Access tokens of the caller, over a server's API. */
import type { PersonalAccessToken } from "../../src/contract/access.ts";
import type { CommandContext } from "../action.ts";
import { clientOf } from "../api.ts";
import type { ServerFlags } from "../contexts.ts";
import type { Key, KeyPlace } from "./keys.ts";

const PATH = "/auth/personal-access-tokens";

export async function openKeysOfServer(
  flags: ServerFlags & { verbose?: boolean | undefined },
  context: CommandContext,
): Promise<KeyPlace> {
  const client = clientOf(context, flags);
  return {
    where: client.baseUrl,
    list: async () => (await client.request<{ data: PersonalAccessToken[] }>("GET", PATH)).data.map(shown),
    async create({ name, scopes, organizations, expiresAt }) {
      const body = {
        name,
        scopes,
        ...(organizations === null ? {} : { organization_ids: organizations }),
        ...(expiresAt === null ? {} : { expires_at: expiresAt.toISOString() }),
      };
      const made = await client.request<PersonalAccessToken & { token: string }>("POST", PATH, { body });
      return { ...shown(made), token: made.token };
    },
    async revoke(id) {
      await client.request("DELETE", `${PATH}/${id}`);
      return client.baseUrl;
    },
    close: async () => {},
  };
}

const shown = (key: PersonalAccessToken): Key => ({
  id: key.id,
  name: key.name,
  user_id: key.user_id,
  scopes: key.scopes,
  organization_ids: key.organization_ids,
  created_at: key.created_at,
  expires_at: key.expires_at ?? null,
  last_used_at: key.last_used_at ?? null,
});
