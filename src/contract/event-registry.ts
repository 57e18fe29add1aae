/**
 * Event types of the contract's registry beside those that event.ts describes: clients may filter by them. A type
 * that something writes stands in event.ts with its shape; then its line here says the same twice and may go.
 */
export const REGISTERED_TYPES: readonly string[] = [
  "capability.usage",
  "context.compacted",
  "context.compacting",
  "context.compaction.failed",
  "context.compaction.skipped",
  "output.message.replaced",
  "session.model.changed",
  "task.message.received",
  "tool.call_repaired",
  "tool.hosted_call",
  "tool.output.delta",
  "transcript.repaired",
];
