import { OneOf, type Static, Type } from "./schema.ts";

/** `GET /health`: the process is alive. */
export const Health = Type.Object({
  status: Type.Literal("ok"),
  version: Type.String(),
  auth_mode: OneOf(["None", "Admin", "Full"]),
});
export type Health = Static<typeof Health>;

/** `GET /ready`: requests can be served. 503 with a problem when not. */
export const Ready = Type.Object({ status: Type.Literal("ready") });
export type Ready = Static<typeof Ready>;
