import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { UserError } from "../../src/base/errors.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { parseObject } from "./input.ts";

/**
 * Lets a person change fields as YAML in $VISUAL, $EDITOR or vi.
 *
 * @param use  told what is in the file afterwards, unless it is as it was; when it rejects, the file is kept
 * @throws UserError  there is no terminal, the editor failed, or what it left is no YAML: then the file is kept, too
 */
export async function editText(
  { env, err }: CommandContext,
  { name, fields }: { name: string; fields: Record<string, unknown> },
  use: (edited: Record<string, unknown>) => Promise<void>,
): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new UsageError("edit needs a terminal; scripts use update with -f or --set");
  }
  const directory = mkdtempSync(join(tmpdir(), "everruns-"));
  const path = join(directory, `${name.replace(/[^\w.-]/g, "_")}.yaml`);
  const text = stringify(fields, { lineWidth: 0 });
  writeFileSync(path, text, { mode: 0o600 });
  const editor = env.VISUAL || env.EDITOR || "vi";
  // As git does: the variable may hold arguments, so a shell reads it.
  const ended = spawnSync("sh", ["-c", `${editor} "$1"`, "sh", path], { stdio: "inherit" });
  if (ended.status !== 0) {
    rmSync(directory, { recursive: true });
    throw new UserError(
      "editor_failed",
      `${editor} ended with ${ended.status ?? ended.signal}; nothing was sent`,
    );
  }
  const edited = readFileSync(path, "utf8");
  try {
    if (edited !== text) await use(parseObject(edited, path));
    rmSync(directory, { recursive: true });
  } catch (error) {
    err.line(`your text is kept in ${path}`);
    throw error;
  }
}
