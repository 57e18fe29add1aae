/** Tools of the three effects that do nothing but last a while and write down that they ran. */
import { openSync, readFileSync, writeSync } from "node:fs";
import { z } from "zod";
import { type Capability, defineCapability } from "../../src/capabilities/capability.ts";
import { defineTool, type Effect } from "../../src/capabilities/tool.ts";

export const CAPABILITY_ID = "torture";
export const EFFECTS = ["pure", "idempotent", "at_most_once"] as const satisfies readonly Effect[];
export const toolOf = (effect: Effect) => `torture_${effect}`;

/** One line of the file of executions. A killed execution has no line that says `ended`. */
export interface ExecutionMark {
  at: "began" | "ended";
  runId: string;
  callId: string;
  key: string;
  effect: Effect;
  pid: number;
  /** Unix time in milliseconds, by the clock that PostgreSQL has, too. */
  ms: number;
}

/** @param file  is appended to, one whole line a write, by all processes */
export function tortureCapability(file: string): Capability {
  const fd = openSync(file, "a");
  return defineCapability({
    id: CAPABILITY_ID,
    name: "Torture",
    description: "Writes down every execution of a tool.",
    category: "Test",
    icon: "hammer",
    tools: () => EFFECTS.map((effect) => tool(effect, (mark) => writeSync(fd, `${JSON.stringify(mark)}\n`))),
  });
}

function tool(effect: Effect, write: (mark: ExecutionMark) => void) {
  return defineTool({
    name: toolOf(effect),
    displayName: `Torture (${effect})`,
    description: "Lasts as many milliseconds as asked for.",
    effect,
    input: z.object({ ms: z.number().int().min(0).max(60_000) }),
    async run({ ms }, { clock, signal, turnId, toolCallId, idempotencyKey }) {
      const mark = (at: ExecutionMark["at"]) =>
        write({
          at,
          runId: turnId,
          callId: toolCallId,
          key: idempotencyKey,
          effect,
          pid: process.pid,
          ms: clock.now().getTime(),
        });
      mark("began");
      await clock.sleep(ms, signal);
      mark("ended");
      return `lasted ${ms} ms`;
    },
  });
}

/** Every whole line of the file; none when nothing has run. */
export function readExecutions(file: string): ExecutionMark[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as ExecutionMark);
}
