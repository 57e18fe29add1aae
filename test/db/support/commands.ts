/** What may happen to the sessions of the interleavings, drawn at random. */
import fc from "fast-check";
import { DELIVERIES, type Delivery } from "../../../src/contract/message.ts";

export const SESSIONS = 2;
export const WORKERS = ["worker-a", "worker-b"] as const;

/** `lease` counts from the newest lease that was ever handed out, whatever became of it. */
export type Command =
  | { do: "send"; session: number; delivery: Delivery; clientId: string | null }
  | { do: "claim"; worker: number; slots: number }
  | { do: "step"; lease: number; name: string; isPending: boolean }
  | { do: "end"; lease: number; seen: "all" | "none" | "any"; state: "completed" | "failed" }
  | { do: "cancel"; session: number }
  | { do: "promote"; session: number }
  | { do: "release"; lease: number; isDelayed: boolean; isRetry: boolean }
  | { do: "park"; lease: number; isNewerSeen: boolean }
  | { do: "answer"; session: number }
  | { do: "heartbeat"; lease: number }
  | { do: "expire"; session: number }
  | { do: "bury"; worker: number };

const session = fc.integer({ min: 0, max: SESSIONS - 1 });
const worker = fc.integer({ min: 0, max: WORKERS.length - 1 });
/** Half of them the newest, half of them one that was probably taken over. */
const lease = fc.constantFrom(0, 0, 0, 1, 1, 2);
export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      session,
      delivery: fc.constantFrom(...DELIVERIES),
      clientId: fc.constantFrom(null, null, "one", "two"),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("claim" as const),
      worker,
      slots: fc.integer({ min: 1, max: SESSIONS }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("step" as const),
      lease,
      name: fc.constantFrom("reason:1", "tool:a", "tool:b"),
      isPending: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("end" as const),
      lease,
      seen: fc.constantFrom("all" as const, "none" as const, "any" as const),
      state: fc.constantFrom("completed" as const, "failed" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), session }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("promote" as const), session }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("release" as const),
      lease,
      isDelayed: fc.boolean(),
      isRetry: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("park" as const), lease, isNewerSeen: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("answer" as const), session }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("heartbeat" as const), lease }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("expire" as const), session }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("bury" as const), worker }) },
);

/** What a command came to, in the words of both sides. */
export type Outcome = Record<string, unknown>;
