/**
 * The files of a public repository, as the archive that its forge offers over https: no git, no credentials. What is
 * asked for goes through the same judge of addresses as `web_fetch`; what comes back is bounded before and after it
 * is unpacked.
 */
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { UserError } from "../base/errors.ts";
import { normalizePath } from "../base/path.ts";
import { limits } from "../contract/limits.ts";
import type { MemorySource } from "../contract/memory.ts";
import { safeFetch } from "./_safe-fetch.ts";
import { type OutboundOptions, outboundPolicy } from "./outbound.ts";
import { ToolError } from "./tool.ts";

export type RepositorySource = Exclude<MemorySource, { provider: "manual" }>;

export interface RepositoryFile {
  /** Normalized, below the source's root folder. */
  path: string;
  bytes: Uint8Array;
}

/**
 * All files of a branch that can be kept: what is too large, or has a path that no tree takes, is left out.
 *
 * @throws UserError not_fetched   why not, for people
 */
export type FetchRepository = (source: RepositorySource, signal: AbortSignal) => Promise<RepositoryFile[]>;

const TIMEOUT_MS = 120_000;
const REDIRECTS_MAX = 5;
const GITHUB = "https://github.com/";
const gunzipAsync = promisify(gunzip);

export function createRepositoryFetch(options: OutboundOptions = {}): FetchRepository {
  const policy = {
    network: { allowed: [], blocked: [] },
    ...outboundPolicy(options),
    timeoutMs: TIMEOUT_MS,
    bytesMax: limits.repositoryArchiveBytesMax,
    redirectsMax: REDIRECTS_MAX,
  };

  /** @returns null when there is nothing at this address */
  const fetchArchive = async (url: string, signal: AbortSignal): Promise<Uint8Array | null> => {
    let status = 0;
    const accepts = (code: number) => {
      status = code;
      return code === 200 ? null : `it answered ${code}`;
    };
    try {
      const fetched = await safeFetch(url, policy, signal, accepts);
      if (fetched.isCut) throw notFetched("its archive is larger than what is fetched");
      // A forge that wants a login answers with a page.
      return fetched.body[0] === 0x1f && fetched.body[1] === 0x8b ? fetched.body : null;
    } catch (error) {
      if (status === 404 || status === 401 || status === 403) return null;
      if (error instanceof ToolError) throw notFetched(error.message);
      throw error;
    }
  };

  return async (source, signal) => {
    for (const url of archiveUrls(source)) {
      const archive = await fetchArchive(url, signal);
      if (archive) return filesOf(await unpack(archive), source.root_folder ?? null);
    }
    throw notFetched(
      `there is no public archive of the branch ${source.branch}; only public repositories on GitHub, GitLab and ` +
        "Gitea can be fetched",
    );
  };
}

/** Where the archive of a branch may be, by the forges that offer one. */
export function archiveUrls(source: RepositorySource): string[] {
  const branch = source.branch.split("/").map(encodeURIComponent).join("/");
  if (source.provider === "github")
    return [`${GITHUB}${source.repository}/archive/refs/heads/${branch}.tar.gz`];
  const url = new URL(source.url);
  if (url.protocol !== "https:") throw notFetched("only https:// addresses can be fetched");
  url.search = "";
  const base = url.href.replace(/\/$/, "").replace(/\.git$/, "");
  if (base.startsWith(GITHUB)) return [`${base}/archive/refs/heads/${branch}.tar.gz`];
  const name = base.slice(base.lastIndexOf("/") + 1);
  const dashed = encodeURIComponent(source.branch.replaceAll("/", "-"));
  return [`${base}/-/archive/${branch}/${name}-${dashed}.tar.gz`, `${base}/archive/${branch}.tar.gz`];
}

/** Path in the archive → bytes. */
async function unpack(archive: Uint8Array): Promise<[string, Uint8Array][]> {
  try {
    // Counted while it is unpacked: a small archive may claim to be a huge one.
    const tar = await gunzipAsync(archive, { maxOutputLength: limits.repositoryBytesMax });
    const entries = await new Bun.Archive(tar).files();
    return await Promise.all(
      [...entries].map(async ([path, file]): Promise<[string, Uint8Array]> => [path, await file.bytes()]),
    );
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code === "ERR_BUFFER_TOO_LARGE") {
      throw notFetched(`unpacked it is larger than ${limits.repositoryBytesMax} bytes`);
    }
    throw new UserError("not_fetched", "its archive is damaged", { cause: error });
  }
}

function filesOf(entries: readonly [string, Uint8Array][], rootFolder: string | null): RepositoryFile[] {
  const below = rootFolder === null ? "" : `${rootFolder}/`;
  const files = new Map<string, Uint8Array>();
  for (const [archived, bytes] of entries) {
    // Archives have everything in one directory, named after the repository and the branch.
    const path = archived.replace(/^\.?\/+/, "").replace(/^[^/]+\//, "");
    if (!path.startsWith(below) || bytes.length > limits.wholeFileBytesMax) continue;
    const normalized = normalizedOrNull(path.slice(below.length));
    if (normalized !== null && !/^\/\.git(?:\/|$)/.test(normalized)) files.set(normalized, bytes);
  }
  if (files.size === 0 && rootFolder !== null)
    throw notFetched(`there are no files in the folder ${rootFolder}`);
  return [...files].map(([path, bytes]) => ({ path, bytes }));
}

function normalizedOrNull(path: string): string | null {
  try {
    const normalized = normalizePath(path, limits.pathCharsMax);
    return normalized === "/" ? null : normalized;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

const notFetched = (message: string) => new UserError("not_fetched", message);
