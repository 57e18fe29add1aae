/** PURE: where the files of a memory come from, checked and in one spelling. No credential is ever part of it. */
import { UserError } from "../../base/errors.ts";
import { normalizePath } from "../../base/path.ts";
import { limits } from "../../contract/limits.ts";
import type { CreateMemorySource, MemorySource } from "../../contract/memory.ts";
import { present } from "../http/respond.ts";

type StoredSource = Exclude<MemorySource, { provider: "manual" }>;

const BRANCH_DEFAULT = "main";

/** @throws UserError invalid_request   names the field */
export function readSource(source: CreateMemorySource): StoredSource {
  const common = {
    branch: readBranch(source.branch ?? BRANCH_DEFAULT),
    root_folder: readFolder(source.root_folder ?? null),
    sync_interval_secs: source.sync_interval_secs ?? null,
  };
  return isOnGitHub(source)
    ? present({ provider: "github" as const, repository: readRepository(source.repository), ...common })
    : present({ provider: "git" as const, url: readUrl(source.url), ...common });
}

/** Without its `type`, a source is what its address says. */
const isOnGitHub = (
  source: CreateMemorySource,
): source is Extract<CreateMemorySource, { repository: string }> =>
  source.type === undefined ? "repository" in source : source.type === "github";

/** `owner/repo`, whatever form of address it was given in. */
function readRepository(text: string): string {
  const path = text
    .trim()
    .replace(/^(?:https?:\/\/)?(?:www\.)?github\.com\//i, "")
    .replace(/\/$/, "")
    .replace(/\.git$/, "");
  if (/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})\/[A-Za-z0-9._-]{1,100}$/.test(path) && !/\/\.{1,2}$/.test(path)) {
    return path;
  }
  throw new UserError(
    "invalid_request",
    "source.repository: owner/repo is expected, or its address on github.com",
  );
}

function readUrl(text: string): string {
  const url = URL.parse(text);
  if (!url || !["https:", "ssh:"].includes(url.protocol) || url.hostname === "") {
    throw new UserError("invalid_request", "source.url: an https:// or ssh:// address is expected");
  }
  // `ssh://git@host/…` names the account that every client uses, and tells no secret.
  const isAccount = url.protocol === "ssh:" && url.username === "git";
  if (url.password !== "" || (url.username !== "" && !isAccount)) {
    throw new UserError("invalid_request", "source.url: it must not carry credentials");
  }
  url.hash = "";
  return url.href;
}

function readBranch(branch: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9._/-]*$/.test(branch) && !/\.\.|\/\/|\/$|\.lock$/.test(branch)) return branch;
  throw new UserError("invalid_request", "source.branch: not the name of a branch");
}

/** Below the repository's root, without slashes around; null for the root itself. */
function readFolder(folder: string | null): string | null {
  if (folder === null) return null;
  const path = normalizePath(folder, limits.pathCharsMax).slice(1);
  return path === "" ? null : path;
}
