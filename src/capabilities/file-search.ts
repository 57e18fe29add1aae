/** Looking for files by name and by content. Bounded in time and size whatever the pattern and the files are. */
import type { FileContent, FileEntry, FileStore } from "../contract/file-store.ts";
import { limits } from "../contract/limits.ts";
import { shorten } from "./_file-text.ts";
import { compileLinearRegex, type Meter } from "./_linear-regex.ts";
import { refusal } from "./_regex-parser.ts";

export interface GrepMatch {
  path: string;
  lineNumber: number;
  line: string;
}

export interface GrepResult {
  matches: GrepMatch[];
  /** What kept the search from being complete; null when it is. */
  incomplete: string | null;
}

/** Fetched at once, so that a large workspace never lies in memory as a whole. */
const BATCH_BYTES = 4 * 1024 * 1024;
const SCAN_BYTES_MAX = 64 * 1024 * 1024;
/** One to two seconds on one core (measured 2026-11-22: 65 million a second). */
const WORK_MAX = 100_000_000;
/** The event loop, with its leases and streams, gets a turn at least this often. */
const WORK_PER_TURN = 2_000_000;

/** @throws UserError invalid_request   the pattern is too long */
export function compileGlob(pattern: string): (path: string) => boolean {
  if (pattern.length > limits.globCharsMax) {
    throw refusal(`A glob pattern has at most ${limits.globCharsMax} characters.`);
  }
  const glob = new Bun.Glob(pattern.replace(/^\.?\/+/, ""));
  return (path) => glob.match(path);
}

/** The path as seen from a directory: `/src/a.ts` from `/src` is `a.ts`. */
export function relativeTo(directory: string, path: string): string {
  return directory === "/" ? path.slice(1) : path.slice(directory.length + 1);
}

/** @throws UserError */
export async function grep(
  context: { files: Pick<FileStore, "readMany">; signal: AbortSignal },
  query: {
    pattern: string;
    isLiteral: boolean;
    ignoreCase: boolean;
    matchesMax: number;
    files: readonly FileEntry[];
  },
): Promise<GrepResult> {
  const meter: Meter = { left: WORK_MAX };
  const test = compileTest(query, meter);
  const result: GrepResult = { matches: [], incomplete: null };
  let scannedBytes = 0;
  let turnEndsAt = meter.left - WORK_PER_TURN;
  const searched = query.files.filter(({ sizeBytes }) => sizeBytes <= limits.wholeFileBytesMax);
  const passedOver = query.files.length - searched.length;
  if (passedOver > 0) {
    result.incomplete =
      `${passedOver} ${passedOver === 1 ? "file was" : "files were"} passed over: ` +
      `larger than ${limits.wholeFileBytesMax / 1024 / 1024} MiB`;
  }
  for (const batch of batches(searched)) {
    context.signal.throwIfAborted();
    scannedBytes += batch.reduce((sum, entry) => sum + entry.sizeBytes, 0);
    if (scannedBytes > SCAN_BYTES_MAX) {
      result.incomplete = `only the first ${SCAN_BYTES_MAX / 1024 / 1024} MiB were searched; search below a directory`;
      return result;
    }
    for (const file of await context.files.readMany(batch.map((entry) => entry.path))) {
      for (const match of matchesIn(file, test)) {
        if (meter.left < 0) {
          result.incomplete = "the pattern takes too long; use a simpler one, or search below a directory";
          return result;
        }
        if (match !== null) result.matches.push(match);
        if (result.matches.length > query.matchesMax) {
          result.matches.pop();
          result.incomplete = `only the first ${query.matchesMax} matches are shown`;
          return result;
        }
        if (meter.left < turnEndsAt) {
          turnEndsAt = meter.left - WORK_PER_TURN;
          await new Promise((resolve) => setImmediate(resolve));
          context.signal.throwIfAborted();
        }
      }
    }
  }
  return result;
}

/** One value a line, so that the caller can stop or rest at any line: the match, or null. */
function* matchesIn(file: FileContent, test: (line: string) => boolean): Generator<GrepMatch | null> {
  if (file.encoding === "base64") return;
  let lineNumber = 0;
  for (let start = 0; start < file.content.length; ) {
    const lineBreak = file.content.indexOf("\n", start);
    const end = lineBreak < 0 ? file.content.length : lineBreak;
    const line = file.content.slice(start, file.content[end - 1] === "\r" && end > start ? end - 1 : end);
    lineNumber += 1;
    start = end + 1;
    yield test(line) ? { path: file.path, lineNumber, line: shorten(line) } : null;
  }
}

function compileTest(
  query: { pattern: string; isLiteral: boolean; ignoreCase: boolean },
  meter: Meter,
): (line: string) => boolean {
  const { pattern, isLiteral, ignoreCase } = query;
  if (pattern === "" || pattern.length > limits.searchPatternCharsMax) {
    throw refusal(`A pattern has 1 to ${limits.searchPatternCharsMax} characters.`);
  }
  const isPlain = isLiteral || !/[\\^$.|?*+()[\]{}]/.test(pattern);
  if (!isPlain) {
    const regex = compileLinearRegex(pattern, { ignoreCase });
    return (line) => regex.test(line, meter);
  }
  const wanted = ignoreCase ? pattern.toLowerCase() : pattern;
  return (line) => {
    // Native search is far cheaper than a state of the automaton, but not free.
    meter.left -= 1 + (line.length >> 4);
    return (ignoreCase ? line.toLowerCase() : line).includes(wanted);
  };
}

function* batches(files: readonly FileEntry[]): Generator<FileEntry[]> {
  let batch: FileEntry[] = [];
  let bytes = 0;
  for (const file of files) {
    if (batch.length > 0 && bytes + file.sizeBytes > BATCH_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.sizeBytes;
  }
  if (batch.length > 0) yield batch;
}
