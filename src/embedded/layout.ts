/**
 * Where the embedded PostgreSQL lives on disk, and under which user it runs.
 *
 *   <dataDir>/postgres-18/           entered by the server's user, written by ours
 *     program-<id>/                  the unpacked program, readable by everyone
 *     data/                          the cluster, 0700, owned by the server's user
 *     run/                           the socket, 0700, owned by the server's user
 *     start.lock  users.lock         see postgres.ts
 *     postgres.log                   what the server says
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  realpathSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { UserError } from "../base/errors.ts";
import { MAJOR_VERSION, UNPRIVILEGED_UID } from "./names.ts";

/** The user that the server's process and files belong to. */
export interface Identity {
  uid: number;
  gid: number;
  /** True when our own process is root and the server's is not. */
  isOther: boolean;
}

export interface Layout {
  home: string;
  programDir: string;
  clusterDir: string;
  socketDir: string;
  startLock: string;
  usersLock: string;
  logFile: string;
  identity: Identity;
}

const SOCKET_FILE = ".s.PGSQL.5432";

/** `sun_path` is 108 bytes on Linux and 104 on macOS, with its closing zero. */
const SOCKET_PATH_BYTES_MAX = process.platform === "darwin" ? 103 : 107;

export function socketPath(socketDir: string): string {
  return join(socketDir, SOCKET_FILE);
}

/**
 * Decides the paths and the user and creates what is missing, except program and cluster.
 *
 * @param dataDir     the program's data directory; created when missing
 * @param programDir  where the unpacked program is or goes; null puts it beside the cluster
 * @throws UserError  the directory belongs to somebody else, or the server's user could not enter it
 */
export function prepareLayout(dataDir: string, programId: string, programDir: string | null): Layout {
  createHome(dataDir);
  // One spelling of the path for everybody: the server is recognised by it.
  const home = realpathSync(join(dataDir, `postgres-${MAJOR_VERSION}`));
  const clusterDir = join(home, "data");
  const identity = chooseIdentity(home, clusterDir);
  const layout: Layout = {
    home,
    clusterDir,
    programDir: programDir ?? join(home, `program-${programId}`),
    socketDir: chooseSocketDir(home, clusterDir),
    startLock: join(home, "start.lock"),
    usersLock: join(home, "users.lock"),
    logFile: join(home, "postgres.log"),
    identity,
  };
  if (identity.isOther) {
    chmodSync(home, 0o711);
    requireEntry(dirname(layout.programDir), identity);
    requireEntry(home, identity);
  }
  privateDirectory(layout.socketDir, identity);
  return layout;
}

/**
 * Where the cluster of a data directory is and its socket would be; null when it has none. Changes nothing.
 * @throws UserError  it belongs to somebody else
 */
export function findCluster(dataDir: string): { clusterDir: string; socketDir: string } | null {
  const path = join(dataDir, `postgres-${MAJOR_VERSION}`);
  if (lstat(join(path, "data")) === null) return null;
  const home = realpathSync(path);
  const clusterDir = join(home, "data");
  chooseIdentity(home, clusterDir);
  return { clusterDir, socketDir: chooseSocketDir(home, clusterDir) };
}

/** Makes a directory that only the server's user can enter. An existing one must already be its own. */
export function privateDirectory(path: string, identity: Identity): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const found = lstatSync(path);
  // A symbolic link or another owner in a shared directory could be somebody waiting for our connections.
  const isOurs = found.isDirectory() && (found.uid === identity.uid || found.uid === process.getuid?.());
  if (!isOurs) {
    throw new UserError(
      "data_dir_unusable",
      `${path} is not a directory of uid ${identity.uid}: remove it, or choose another data directory`,
    );
  }
  if (found.uid !== identity.uid) chownSync(path, identity.uid, identity.gid);
  if ((found.mode & 0o777) !== 0o700) chmodSync(path, 0o700);
}

/** As root, what it creates can be entered by everyone (the server's user is not root), whatever the umask says. */
function createHome(dataDir: string): void {
  const isRoot = process.getuid?.() === 0;
  const home = resolve(dataDir, `postgres-${MAJOR_VERSION}`);
  try {
    const firstCreated = mkdirSync(home, { recursive: true, mode: isRoot ? 0o755 : 0o700 });
    if (firstCreated === undefined || !isRoot) return;
    for (let path = home; path.length >= firstCreated.length; path = dirname(path)) chmodSync(path, 0o755);
  } catch (error) {
    throw new UserError(
      "data_dir_unusable",
      `cannot create the data directory ${dataDir}; choose another with --data-dir`,
      {
        cause: error,
      },
    );
  }
}

function chooseIdentity(home: string, clusterDir: string): Identity {
  const uid = process.getuid?.() ?? -1;
  const gid = process.getgid?.() ?? -1;
  const owner = lstat(clusterDir);
  if (uid === 0) {
    // A cluster that an ordinary user made stays that user's.
    if (owner !== null && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid, isOther: true };
    return { uid: UNPRIVILEGED_UID, gid: UNPRIVILEGED_UID, isOther: true };
  }
  const stranger = [owner, lstat(home)].find((found) => found !== null && found.uid !== uid);
  if (stranger) {
    throw new UserError(
      "data_dir_unusable",
      `${home} belongs to uid ${stranger.uid}, and this is uid ${uid}: run as that user, or choose another data directory`,
    );
  }
  return { uid, gid, isOther: false };
}

/**
 * Beside the cluster, or, when that path is too long for a socket, in a directory of /tmp named after the cluster.
 * /tmp and not $TMPDIR: processes with different environments must come to the same place.
 */
function chooseSocketDir(home: string, clusterDir: string): string {
  const beside = join(home, "run");
  if (Buffer.byteLength(socketPath(beside)) <= SOCKET_PATH_BYTES_MAX) return beside;
  const name = createHash("sha256").update(clusterDir).digest("hex").slice(0, 16);
  return join(realpathSync("/tmp"), `everruns-${name}`);
}

/** Removes the socket's directory when it is not in the data directory, where nobody would look for remains. */
export function removeFarSocketDir(layout: Layout): void {
  if (dirname(layout.socketDir) !== layout.home) rmSync(layout.socketDir, { recursive: true, force: true });
}

/** Complains about the first directory on the way to `path` that the server's user could not enter. */
function requireEntry(path: string, identity: Identity): void {
  for (let directory = path; ; directory = dirname(directory)) {
    const { mode, uid, gid } = statSync(directory);
    const bit = uid === identity.uid ? 0o100 : gid === identity.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) {
      throw new UserError(
        "data_dir_unusable",
        `PostgreSQL never runs as root, and uid ${identity.uid} cannot enter ${directory}: ` +
          `choose another data directory, or type: chmod o+x ${directory}`,
      );
    }
    if (directory === dirname(directory)) return;
  }
}

function lstat(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}
