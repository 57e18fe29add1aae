/** What has happened in a session, however long that is: read page by page. */
import type { Event } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";
import type { Client, EventsQuery } from "./client.ts";

/** Every event that the query names, oldest first, until there is none left. @throws ClientError */
export async function* pastEvents(
  client: Client,
  sessionId: string,
  query: Omit<EventsQuery, "limit" | "afterSequence"> = {},
): AsyncGenerator<Event> {
  const limit = limits.eventsPageMax;
  for (let afterSequence = 0; ; ) {
    const page = await client.listEvents(sessionId, { ...query, limit, afterSequence });
    // A server that knows no cursor answers with what it has answered before.
    const fresh = page.filter(({ sequence }) => sequence > afterSequence);
    yield* fresh;
    if (fresh.length < limit) return;
    afterSequence = fresh.at(-1)?.sequence ?? 0;
  }
}
