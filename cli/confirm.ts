import { createInterface } from "node:readline/promises";
import { UserError } from "../src/base/errors.ts";
import { type CommandContext, UsageError } from "./action.ts";

/**
 * Asks before something that cannot be taken back.
 *
 * @throws UsageError  nobody can be asked: a script says --yes
 * @throws UserError   declined
 */
export async function confirm({ signal }: CommandContext, question: string): Promise<void> {
  if (!process.stdin.isTTY) throw new UsageError(`${question} Nobody can be asked here: add --yes`);
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(`${question} [y/N] `, { signal });
    if (/^y(es)?$/i.test(answer.trim())) return;
    throw new UserError("declined", "nothing was done");
  } finally {
    prompt.close();
  }
}
