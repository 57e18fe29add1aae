import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import {
  type ScheduleTarget,
  TARGET_NAMES,
  TARGET_TYPE,
  type TargetInput,
  type TargetName,
} from "../../contract/schedule.ts";
import { findAgent } from "../../db/agents/agents.ts";
import type { Db } from "../../db/pool.ts";
import { findSession } from "../../db/session-rows.ts";
import { idField, messageField, objectInput } from "../operations/_turn-input.ts";

/** What a schedule is to do, checked against what there is. @throws UserError invalid_request, limit_exceeded, not_found */
export async function readTarget(
  db: Db,
  organizationId: string,
  { type, name, input }: TargetInput,
): Promise<ScheduleTarget> {
  const isServed = type === TARGET_TYPE && (TARGET_NAMES as readonly string[]).includes(name);
  if (!isServed) {
    throw new UserError(
      "invalid_request",
      `target: there is type "${TARGET_TYPE}" with the names ${TARGET_NAMES.join(" and ")}`,
    );
  }
  const given = objectInput(input ?? {});
  if (Buffer.byteLength(JSON.stringify(given)) > limits.metadataBytesMax) {
    throw new UserError("limit_exceeded", `target.input: at most ${limits.metadataBytesMax} bytes of JSON`);
  }
  const message = given.message == null ? {} : { message: messageField(given, null) };
  if ((name as TargetName) === "session.run") {
    const sessionId = idField(given, "session_id", "session");
    if (!(await findSession(db, organizationId, sessionId)))
      throw new UserError("not_found", "Session not found");
    return { type, name, input: { session_id: sessionId, ...message } };
  }
  const title = titleOf(given);
  const ref = given.agent_id ?? given.agent_name;
  if (typeof ref !== "string") {
    throw new UserError("invalid_request", "input.agent_id, or input.agent_name, is expected");
  }
  const agent = await findAgent(db, organizationId, ref);
  if (!agent) throw new UserError("not_found", "Agent not found");
  return { type, name, input: { agent_id: agent.id, ...title, ...message } };
}

function titleOf({ title }: Record<string, unknown>): { title?: string } {
  if (title == null) return {};
  if (typeof title === "string" && title.length <= limits.titleCharsMax) return { title };
  throw new UserError("invalid_request", `input.title: a text of at most ${limits.titleCharsMax} characters`);
}
