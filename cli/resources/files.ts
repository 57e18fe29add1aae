/** `everruns files list|get|put|delete`: the files of a session or a workspace. */
import { stringify } from "yaml";
import { UserError } from "../../src/base/errors.ts";
import { age } from "../../src/client/age.ts";
import type { Client } from "../../src/client/client.ts";
import { ClientError } from "../../src/client/errors.ts";
import { plainText } from "../../src/client/plain-text.ts";
import type { Item } from "../../src/client/resources.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import { confirm } from "../confirm.ts";
import { table } from "../table.ts";
import type { Format } from "./formats.ts";
import { readBytes } from "./input.ts";
import { printItem } from "./output.ts";
import { writeOutput } from "./write-files.ts";

interface FileFlags {
  output: Format;
  apiUrl?: string;
  verbose?: boolean;
  recursive?: boolean;
}

interface FileInfo {
  path: string;
  is_directory: boolean;
  is_readonly: boolean;
  size_bytes: number;
  updated_at: string;
}

export async function listFiles(
  context: CommandContext,
  owner: string,
  path: string,
  flags: FileFlags,
): Promise<void> {
  const { out, err } = context;
  const answer = await clientOf(context, flags).request<{ data?: FileInfo[] } & Item>(
    "GET",
    addressOf(owner, path),
    {
      query: { recursive: flags.recursive ? "true" : undefined },
    },
  );
  if (!answer.data) return printItem(context, answer, flags.output);
  if (flags.output === "json") return out.line(JSON.stringify(answer.data, null, 2));
  if (flags.output === "yaml") return out.write(stringify(answer.data));
  if (flags.output === "id") return void answer.data.map((file) => out.line(plainText(file.path)));
  if (answer.data.length === 0) return err.line("there are no files");
  const rows = answer.data.map((file) => [
    file.is_directory ? "" : String(file.size_bytes),
    age(file.updated_at),
    file.is_readonly ? "yes" : "",
    plainText(file.path) + (file.is_directory ? "/" : ""),
  ]);
  for (const line of table(["bytes", "changed", "readonly", "path"], rows)) out.line(line);
}

/** To stdout byte by byte, or into a file. */
export async function getFile(
  context: CommandContext,
  owner: string,
  path: string,
  flags: FileFlags & { file?: string },
): Promise<void> {
  const bytes = await clientOf(context, flags).requestBytes("GET", addressOf(owner, path, "_/download"));
  if (flags.file !== undefined) writeOutput(flags.file, bytes);
  else process.stdout.write(bytes);
}

/** From a file or stdin; what is there already is replaced. */
export async function putFile(
  context: CommandContext,
  owner: string,
  path: string,
  flags: FileFlags & { file?: string },
): Promise<void> {
  requireFile(path);
  const bytes = await readBytes(flags.file ?? "-");
  const body = { content: Buffer.from(bytes).toString("base64"), encoding: "base64" };
  const client = clientOf(context, flags);
  const address = addressOf(owner, path);
  const create = () => client.request<Item>("POST", address, { body });
  const replace = () =>
    client.request<Item>("PUT", address, { body }).catch((error) => {
      if (!isNotFound(error)) throw error;
      return create();
    });
  // A large one is not sent in vain.
  const isNew = bytes.byteLength > ASKED_BEFORE_BYTES && (await isMissing(client, owner, path));
  const written = await (isNew ? create() : replace());
  if (flags.output === "table") context.err.line(`${written.path}: ${bytes.byteLength} bytes`);
  else printItem(context, { ...written, content: undefined }, flags.output);
}

const ASKED_BEFORE_BYTES = 1024 * 1024;
const isNotFound = (error: unknown) => error instanceof ClientError && error.status === 404;

async function isMissing(client: Client, owner: string, path: string): Promise<boolean> {
  try {
    await client.request("POST", addressOf(owner, "", "_/stat"), { body: { path } });
    return false;
  } catch (error) {
    if (isNotFound(error)) return true;
    throw error;
  }
}

export async function deleteFile(
  context: CommandContext,
  owner: string,
  path: string,
  flags: FileFlags & { yes?: boolean },
): Promise<void> {
  requireFile(path);
  if (!flags.yes) await confirm(context, `delete ${path} of ${owner}?`);
  const query = { recursive: flags.recursive ? "true" : undefined };
  const { deleted } = await clientOf(context, flags)
    .request<{ deleted: boolean }>("DELETE", addressOf(owner, path), { query })
    .catch((error) => {
      if (!(error instanceof ClientError) || error.code !== "directory_not_empty") throw error;
      throw new UserError("directory_not_empty", `${path} has entries; -r deletes it with all of them`);
    });
  if (!deleted) throw new UserError("not_found", `there is no ${path}`);
  context.err.line(`deleted ${path}`);
}

/** @throws UsageError  it is the directory of all of them */
function requireFile(path: string): void {
  if (/^[/.]*$/.test(path)) throw new UsageError(`${path} is the root directory; name a file, as /notes.md`);
}

const HOMES: Readonly<Record<string, string>> = { wsp: "workspaces", mem: "memories" };

/** A session's files, a workspace's, or a memory's. @throws UserError the path is none */
function addressOf(owner: string, path: string, action = ""): string {
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.includes("..")) throw new UserError("path_invalid", `${path}: paths are absolute, without ..`);
  const [prefix = ""] = owner.split("_");
  const home = HOMES[prefix] ?? "sessions";
  return [`/${home}/${encodeURIComponent(owner)}/fs`, action, ...parts.map(encodeURIComponent)]
    .filter((part) => part !== "")
    .join("/");
}
