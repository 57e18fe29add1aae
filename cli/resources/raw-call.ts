/** `everruns api`: one call of the API, as it is. */
import { ClientError } from "../../src/client/errors.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import { readText } from "./input.ts";

export interface RawCallFlags {
  apiUrl?: string;
  context?: string;
  verbose?: boolean;
  data?: string;
  contentType?: string;
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/** Prints the answer's body; a JSON one is laid out for people on a terminal, and left as it came in a pipe. */
export async function rawCall(
  context: CommandContext,
  { method, path }: { method: string; path: string },
  flags: RawCallFlags,
): Promise<number> {
  const verb = method.toUpperCase();
  if (!METHODS.includes(verb)) throw new UsageError(`${METHODS.join(", ")} are expected, not "${method}"`);
  if (verb === "GET" && flags.data !== undefined)
    throw new UsageError("a GET has no body: -d does not go with it");
  const body = flags.data === undefined ? undefined : await bodyOf(flags.data);
  const contentType = flags.contentType ?? (body === undefined ? undefined : "application/json");
  try {
    const bytes = await clientOf(context, flags).requestBytes(verb, below(path), {
      ...(body === undefined ? {} : { body, contentType: contentType ?? "application/json" }),
      signal: context.signal,
    });
    const text = new TextDecoder().decode(bytes);
    const json = parsed(text);
    if (context.out.isTty && json !== undefined) context.out.line(JSON.stringify(json, null, 2));
    else if (json !== undefined) context.out.line(text);
    else process.stdout.write(bytes);
    return 0;
  } catch (error) {
    if (error instanceof ClientError && error.body !== null) context.out.line(error.body);
    throw error;
  }
}

/** `/v1/agents`, `/api/v1/agents`, `agents` → `/agents`. */
function below(path: string): string {
  const from = path.startsWith("/") ? path : `/${path}`;
  return from.replace(/^(?:\/api)?\/v1(?=\/)/, "");
}

/** @throws UserError file_unreadable */
const bodyOf = async (said: string): Promise<string> =>
  said === "-" ? await readText("-") : said.startsWith("@") ? await readText(said.slice(1)) : said;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
