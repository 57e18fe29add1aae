/** What the tests of the wire contract share. */
import contract from "../golden/contract-openapi.json";

/** Schemas that are wrong in the published contract, and what the wire really carries. */
export const CORRECTED: Record<string, unknown> = {
  // A name collision: it shows an app channel's status.
  SessionStatus: { type: "string", enum: ["started", "active", "idle", "waitingfortoolresults"] },
  // Printed as the server's own constant names.
  ExecutionPhase: { type: "string", enum: ["commentary", "final_answer"] },
  // Untagged: one object may fit several of the shapes, and `oneOf` would refuse it.
  EventData: {
    anyOf: [
      ...(contract.components.schemas.EventData as { oneOf: unknown[] }).oneOf,
      // session.title.updated, which the contract's text has and its OpenAPI not yet.
      { type: "object", properties: { title: { type: "string" } }, additionalProperties: false },
    ],
  },
};

/**
 * Calls a route, expects the status, and keeps the answer to be held against the contract.
 *
 * @param route  `/v1/agents/{}`; each `{}` takes the next of `params`
 */
export type Step = (
  method: string,
  route: string,
  params: string[],
  status: number,
  body?: unknown,
  query?: string,
  headers?: Record<string, string>,
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
) => Promise<any>;
