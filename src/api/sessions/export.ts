/** A session to take away: its messages line by line, or its log as a trajectory document. */
import { UserError } from "../../base/errors.ts";
import type { Event, EventType } from "../../contract/event.ts";
import { limits } from "../../contract/limits.ts";
import { messageOfEvent, withResultValues } from "../../contract/message-view.ts";
import { OneOf, Type } from "../../contract/schema.ts";
import { findAgent } from "../../db/agents/agents.ts";
import { listEvents, sessionHead } from "../../db/events.ts";
import type { SessionLog } from "../../db/lineage.ts";
import type { Db } from "../../db/pool.ts";
import { findSession } from "../../db/session-rows.ts";
import type { ApiDeps } from "../deps.ts";
import { Raw, RawBody } from "../http/media.ts";
import { pathId } from "../http/path-id.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { ATIF_EVENTS, atifDocument, createAtifFold } from "./atif.ts";

const PAGE_EVENTS = 200;
const MESSAGE_EVENTS: readonly EventType[] = ["input.message", "output.message.completed", "tool.completed"];

export function exportRoutes({ db, version }: Pick<ApiDeps, "db" | "version">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/export",
      operationId: "export_session_jsonl",
      tag: "sessions",
      summary: "Take a session away",
      description:
        "One message a line, as `GET …/messages` has them. `format=atif`: one document in the Agent Trajectory " +
        "Interchange Format 1.7, up to 50 MiB; with `segmented=true` as a chain of documents of some 8 MiB, each of " +
        "which stands for itself and names the next in `continued_trajectory_ref` and `X-Atif-Next-Cursor`. Pictures " +
        "are left out of it; `X-Atif-Images-Omitted` counts them.",
      sessionRight: "read",
      query: Type.Object({
        format: Type.Optional(OneOf(["jsonl", "atif"])),
        segmented: Type.Optional(Type.Boolean()),
        cursor: Type.Optional(Type.String({ maxLength: 500 })),
      }),
      responses: { 200: Raw("application/x-ndjson") },
      otherContentTypes: { 200: ["application/json"] },
      problems: ["invalid_id", "invalid_cursor", "not_found", "export_too_large"],
      async run({ params, query, caller: { organizationId } }) {
        const sessionId = pathId("session", params.session_id);
        const { format = "jsonl", segmented = false, cursor = null } = query;
        if (format === "jsonl" && (segmented || cursor !== null)) {
          throw new UserError(
            "invalid_request",
            "segmented: only a trajectory (format=atif) comes in segments",
          );
        }
        if (cursor !== null && !segmented) {
          throw new UserError("invalid_request", "cursor: only segments have one; add segmented=true");
        }
        const head = await sessionHead(db, organizationId, sessionId);
        if (!head) throw new UserError("not_found", "Session not found");
        const { log, lastSequence } = head;
        if (format === "jsonl") {
          const name = { "content-disposition": `attachment; filename="${sessionId}.jsonl"` };
          return reply(200, messageLines(db, log, lastSequence), name);
        }
        const place = cursor === null ? { after: 0, upTo: lastSequence, index: 0 } : readCursor(cursor, head);
        const agent = await agentOf({ db, version }, organizationId, sessionId);
        const { document, headers } = await trajectory(db, log, agent, { ...place, isSegmented: segmented });
        return reply(200, new RawBody(document, "application/json"), {
          ...headers,
          "content-disposition": `attachment; filename="${sessionId}.atif.json"`,
        });
      },
    }),
  ];
}

/** Pages of a log, read one after the other, in order. */
async function* eventsOf(
  db: Db,
  log: SessionLog,
  range: { after: number; upTo: number; types: readonly EventType[] },
): AsyncGenerator<Event, void, undefined> {
  let after = range.after;
  for (;;) {
    const page = await listEvents(
      db,
      log,
      {
        types: range.types,
        exclude: [],
        afterSequence: after,
        beforeSequence: range.upTo + 1,
        since: null,
        until: null,
        turnId: null,
        execId: null,
        traceId: null,
        toolName: null,
        tags: null,
        q: null,
      },
      { limit: PAGE_EVENTS, from: "start" },
    );
    yield* page;
    after = page.at(-1)?.sequence ?? range.upTo;
    if (page.length < PAGE_EVENTS) return;
  }
}

/** A reader that stops reading stops the reading of the log; nothing is held but one page. */
function messageLines(db: Db, log: SessionLog, upTo: number): ReadableStream<Uint8Array> {
  const events = eventsOf(db, log, { after: 0, upTo, types: MESSAGE_EVENTS });
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      for (;;) {
        const { done, value: event } = await events.next();
        if (done) return controller.close();
        const message = messageOfEvent(event);
        if (message === null) continue;
        const line = JSON.stringify({
          ...withResultValues(message),
          session_id: log.id,
          sequence: event.sequence,
        });
        return controller.enqueue(encoder.encode(`${line}\n`));
      }
    },
    async cancel() {
      await events.return();
    },
  });
}

async function agentOf(
  { db, version }: Pick<ApiDeps, "db" | "version">,
  organizationId: string,
  sessionId: string,
): Promise<{ name: string; version: string }> {
  const session = await findSession(db, organizationId, sessionId);
  const agent = session?.agent_id == null ? null : await findAgent(db, organizationId, session.agent_id);
  return { name: agent?.name ?? "everruns", version };
}

interface Place {
  /** Sequence before the first event of the segment. */
  after: number;
  /** The last event of the export: what comes while a chain is read is not part of it. */
  upTo: number;
  index: number;
}

async function trajectory(
  db: Db,
  log: SessionLog,
  agent: { name: string; version: string },
  { isSegmented, ...place }: Place & { isSegmented: boolean },
): Promise<{ document: string; headers: Record<string, string> }> {
  const fold = createAtifFold();
  let next: Place | null = null;
  for await (const event of eventsOf(db, log, { ...place, types: ATIF_EVENTS })) {
    if (isSegmented && fold.bytes() > limits.exportSegmentBytes && fold.isBoundary(event)) {
      next = { after: event.sequence - 1, upTo: place.upTo, index: place.index + 1 };
      break;
    }
    fold.add(event);
    if (!isSegmented && fold.bytes() > limits.exportBytesMax) throw tooLarge();
  }
  const parts = fold.parts();
  const cursor = next === null ? null : writeCursor(log.id, next);
  const nextUrl = `/v1/sessions/${log.id}/export?format=atif&segmented=true&cursor=${cursor}`;
  const document = JSON.stringify(
    atifDocument(
      log.id,
      agent,
      parts,
      isSegmented ? { index: place.index, nextUrl: cursor === null ? null : nextUrl } : null,
    ),
  );
  if (!isSegmented && Buffer.byteLength(document) > limits.exportBytesMax) throw tooLarge();
  return {
    document,
    headers: {
      ...(parts.imagesOmitted === 0 ? {} : { "x-atif-images-omitted": String(parts.imagesOmitted) }),
      ...(isSegmented ? { "x-atif-segment-index": String(place.index) } : {}),
      ...(cursor === null ? {} : { "x-atif-next-cursor": cursor }),
    },
  };
}

const tooLarge = () =>
  new UserError(
    "export_too_large",
    `the trajectory is larger than ${limits.exportBytesMax} bytes; ask for it with segmented=true`,
  );

function writeCursor(sessionId: string, { after, upTo, index }: Place): string {
  return Buffer.from(JSON.stringify([sessionId, after, upTo, index])).toString("base64url");
}

/** @throws UserError invalid_cursor */
function readCursor(text: string, { log, lastSequence }: { log: SessionLog; lastSequence: number }): Place {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, "base64url").toString());
  } catch {
    parsed = null;
  }
  const [sessionId, after, upTo, index] = Array.isArray(parsed) ? parsed : [];
  const isPlace = [after, upTo, index].every((value) => Number.isSafeInteger(value) && value >= 0);
  if (sessionId !== log.id || !isPlace || after > upTo || upTo > lastSequence) {
    throw new UserError("invalid_cursor", "cursor: is none of this session's export; begin again without it");
  }
  return { after, upTo, index };
}
