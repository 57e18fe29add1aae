import { EventContext } from "./event.ts";
import { Id, JsonObject, Timestamp, Type } from "./schema.ts";

/**
 * The envelope as JSON Schema. `data` stays open in the union's place: a client tells the shapes apart by
 * `type`, and the shapes are published beside it, one schema a type, as `EventData_<type>`.
 */
export const EventSchema = Type.Object({
  id: Id("event"),
  type: Type.String({ description: "One of the event types listed in the documentation." }),
  ts: Timestamp,
  session_id: Id("session"),
  sequence: Type.Integer({ minimum: 1 }),
  context: EventContext,
  data: JsonObject,
  metadata: Type.Optional(JsonObject),
  tags: Type.Optional(Type.Array(Type.String())),
});
