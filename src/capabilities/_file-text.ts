/** PURE: file contents as a model reads them, and the edits that it makes. */
import { UserError } from "../base/errors.ts";
import type { FileContent, FileEntry } from "../contract/file-store.ts";
import { ToolError } from "./tool.ts";

/** A longer line is cut: one minified file must not fill the whole answer. */
const LINE_CHARS_MAX = 4_000;

/**
 * Numbered lines, as many as fit, under a head that says which they are and what hash the file has.
 *
 * @param window.offset  1-based number of the first line
 * @param window.bytesMax  UTF-8 bytes of the answer, roughly: the head comes on top
 */
export function showFile(
  file: FileContent,
  window: { offset: number; limit: number; bytesMax: number },
): string {
  if (file.encoding === "base64") {
    return `${file.path} (binary, ${file.sizeBytes} bytes, hash ${file.hash}): its content is not text and is not shown.`;
  }
  const lines = linesOf(file.content);
  if (lines.length === 0) return `${file.path} (empty, hash ${file.hash})`;
  const start = window.offset - 1;
  if (start >= lines.length) {
    throw new ToolError(`${file.path} has ${lines.length} lines; there is no line ${window.offset}.`);
  }
  const shown: string[] = [];
  let bytes = 0;
  for (const line of lines.slice(start, start + window.limit)) {
    const text = `${String(start + shown.length + 1).padStart(6)}\t${shorten(line)}`;
    bytes += Buffer.byteLength(text) + 1;
    if (bytes > window.bytesMax && shown.length > 0) break;
    shown.push(text);
  }
  const last = start + shown.length;
  const head = `${file.path} (lines ${window.offset}-${last} of ${lines.length}, ${file.sizeBytes} bytes, hash ${file.hash})`;
  const more = last < lines.length ? [`[… read on with offset=${last + 1}]`] : [];
  return [head, ...shown, ...more].join("\n");
}

/** Without line ends; a last line end begins no further line. */
export function linesOf(content: string): string[] {
  if (content === "") return [];
  const lines = content.split(/\r\n|\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

export function shorten(line: string): string {
  if (line.length <= LINE_CHARS_MAX) return line;
  return `${line.slice(0, LINE_CHARS_MAX)}[… ${line.length - LINE_CHARS_MAX} more characters]`;
}

/**
 * Replaces `oldString`, which must occur exactly once unless `replaceAll`.
 *
 * @throws ToolError   for the model, with what it needs to do better
 */
export function replaceText(
  file: FileContent,
  edit: { oldString: string; newString: string; replaceAll: boolean },
): { content: string; replacements: number } {
  if (file.encoding === "base64") {
    throw new ToolError(`${file.path} is binary; write it whole with write_file.`);
  }
  const { oldString, newString } = edit;
  if (oldString === newString) throw new ToolError("old_string and new_string are the same.");
  const parts = file.content.split(oldString);
  const replacements = parts.length - 1;
  if (replacements === 0) throw new ToolError(notFound(file, oldString));
  if (replacements > 1 && !edit.replaceAll) {
    throw new ToolError(
      `old_string occurs ${replacements} times in ${file.path}. Include more of the text around the place, or set ` +
        "replace_all.",
    );
  }
  return { content: parts.join(newString), replacements };
}

function notFound(file: FileContent, oldString: string): string {
  const hint =
    !oldString.includes("\r") && file.content.includes(oldString.replaceAll("\n", "\r\n"))
      ? " The file's lines end in \\r\\n."
      : /^\s*\d+\t/.test(oldString)
        ? " The line numbers of read_file do not belong to the text."
        : collapse(file.content).includes(collapse(oldString))
          ? " It occurs with other white space: read the file and copy the text exactly."
          : " Read the file again: it may have changed.";
  return `old_string does not occur in ${file.path}.${hint}`;
}

const collapse = (text: string) => text.replace(/\s+/g, " ").trim();

/** One line for each entry: `dir/` or the file with its size. */
export function showEntries(entries: readonly FileEntry[], entriesMax: number): string {
  if (entries.length === 0) return "(empty)";
  const lines = entries
    .slice(0, entriesMax)
    .map((entry) =>
      entry.isDirectory
        ? `${entry.path}/`
        : `${entry.path} (${entry.sizeBytes} bytes${entry.isReadonly ? ", read-only" : ""})`,
    );
  const left = entries.length - lines.length;
  return [...lines, ...(left > 0 ? [`[… ${left} more entries]`] : [])].join("\n");
}

export function noSuchFile(path: string): UserError {
  return new UserError("not_found", `There is no file ${path}.`);
}
