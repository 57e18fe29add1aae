/**
 * A session's subagents as its tools see them. The db room implements it, the capabilities room uses it; neither may
 * import the other, so the promise between them stands here.
 */
export interface SpawnAgent {
  /** Name or id of another agent; null: one like the session's own. */
  agent: string | null;
  title: string;
  /** What it is told. */
  task: string;
  /** Of the turn that asks: the subagent may reach no more. */
  network: { allowed: readonly string[]; blocked: readonly string[] };
  turnId: string;
  toolCallId: string;
  /** The same key comes to the same task. */
  idempotencyKey: string;
}

export type Spawned =
  /** It works; the call waits for it. */
  | { outcome: "running"; taskId: string }
  /** It had ended before: the call was repeated. */
  | { outcome: "ended"; isSuccess: boolean; text: string };

export interface TaskStore {
  /** @throws UserError what the caller can mend; RetryableError the database could not be reached */
  spawnAgent(spawn: SpawnAgent): Promise<Spawned>;
}
