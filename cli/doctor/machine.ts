/** What the doctor sees of this machine. */
import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { describeError } from "../../src/base/errors.ts";
import type { Config } from "../../src/config/config.ts";
import { encryptionKeyPath, loadEncryptionKey } from "../../src/config/encryption-key.ts";
import { bad, type Finding, ok, warn } from "./finding.ts";

const GIB = 2 ** 30;
/** PostgreSQL alone keeps up to 1 GiB of write-ahead log (`max_wal_size`) before a checkpoint frees it. */
const FREE_WARN_BYTES = 2 * GIB;
/** Below this the next checkpoint may find no room, and PostgreSQL stops. */
const FREE_BAD_BYTES = GIB / 4;

export function checkMachine(config: Config): Finding[] {
  const place = existingPart(config.dataDir);
  return [
    checkDataDirectory(config, place),
    ...(config.databaseUrl === null ? [checkDisk(place)] : []),
    checkKeyFile(config),
  ];
}

function checkDataDirectory({ dataDir }: Config, place: string): Finding {
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch {
    return bad(
      "data directory",
      `${dataDir}: not allowed to write in ${place}`,
      "choose another: --data-dir <path>",
    );
  }
  return ok("data directory", place === dataDir ? dataDir : `${dataDir}, made at the first start`);
}

function checkDisk(place: string): Finding {
  const { bavail, bsize } = statfsSync(place);
  const free = bavail * bsize;
  const found = `${(free / GIB).toFixed(1)} GiB free for the embedded database`;
  if (free >= FREE_WARN_BYTES) return ok("disk", found);
  const next = "make room, or choose another place: --data-dir <path>";
  return free < FREE_BAD_BYTES ? bad("disk", found, next) : warn("disk", found, next);
}

function checkKeyFile(config: Config): Finding {
  const path = encryptionKeyPath(config.dataDir);
  try {
    if (config.encryptionKey === null && !statSync(path, { throwIfNoEntry: false })) {
      return ok("encryption key", `${path}, made at the first start`);
    }
    return ok("encryption key", loadEncryptionKey(config.encryptionKey, config.dataDir).source);
  } catch (error) {
    return bad(
      "encryption key",
      describeError(error),
      "put it right; without it stored provider keys are lost",
    );
  }
}

/** The directory itself, or the nearest one above it that is there. */
function existingPart(path: string): string {
  let place = path;
  while (!existsSync(place) && place !== dirname(place)) place = dirname(place);
  return place;
}
