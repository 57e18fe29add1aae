import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { type CommandContext, UsageError } from "./action.ts";

/** A line from a person. */
export async function askLine({ signal }: CommandContext, question: string): Promise<string> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await prompt.question(question, { signal })).trim();
  } finally {
    prompt.close();
  }
}

/** A secret: what is typed is not shown. @throws UsageError there is no terminal to type it in */
export async function askHidden({ signal, err }: CommandContext, question: string): Promise<string> {
  if (!process.stdin.isTTY)
    throw new UsageError("a password is typed in a terminal; in scripts use an access token");
  err.write(question);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const prompt = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    return (await prompt.question("", { signal })).trim();
  } finally {
    prompt.close();
    err.line("");
  }
}
