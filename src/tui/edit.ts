/** PURE: the text in the composer and what the keys do to it. `cursor` counts UTF-16 units and never splits a character. */
export interface Edit {
  text: string;
  cursor: number;
}

export const emptyEdit: Edit = { text: "", cursor: 0 };

export function editOf(text: string): Edit {
  return { text, cursor: text.length };
}

export function insert({ text, cursor }: Edit, piece: string): Edit {
  return { text: text.slice(0, cursor) + piece + text.slice(cursor), cursor: cursor + piece.length };
}

export function left({ text, cursor }: Edit): Edit {
  return { text, cursor: before(text, cursor) };
}

export function right({ text, cursor }: Edit): Edit {
  return { text, cursor: after(text, cursor) };
}

export function backspace({ text, cursor }: Edit): Edit {
  const from = before(text, cursor);
  return { text: text.slice(0, from) + text.slice(cursor), cursor: from };
}

export function deleteForward({ text, cursor }: Edit): Edit {
  return { text: text.slice(0, cursor) + text.slice(after(text, cursor)), cursor };
}

export function lineStart({ text, cursor }: Edit): Edit {
  return { text, cursor: text.lastIndexOf("\n", cursor - 1) + 1 };
}

export function lineEnd({ text, cursor }: Edit): Edit {
  const end = text.indexOf("\n", cursor);
  return { text, cursor: end < 0 ? text.length : end };
}

export function wordLeft({ text, cursor }: Edit): Edit {
  return { text, cursor: text.slice(0, cursor).search(/\S+\s*$/u) < 0 ? 0 : wordStart(text, cursor) };
}

export function wordRight({ text, cursor }: Edit): Edit {
  const ahead = /^\s*\S+/u.exec(text.slice(cursor));
  return { text, cursor: ahead ? cursor + ahead[0].length : text.length };
}

export function deleteWord(edit: Edit): Edit {
  const from = wordLeft(edit).cursor;
  return { text: edit.text.slice(0, from) + edit.text.slice(edit.cursor), cursor: from };
}

export function deleteToLineStart(edit: Edit): Edit {
  const from = lineStart(edit).cursor;
  return { text: edit.text.slice(0, from) + edit.text.slice(edit.cursor), cursor: from };
}

export function deleteToLineEnd(edit: Edit): Edit {
  return {
    text: edit.text.slice(0, edit.cursor) + edit.text.slice(lineEnd(edit).cursor),
    cursor: edit.cursor,
  };
}

/** One line up in the same column, or null on the first line. */
export function up(edit: Edit): Edit | null {
  const start = lineStart(edit).cursor;
  if (start === 0) return null;
  const above = lineStart({ text: edit.text, cursor: start - 1 }).cursor;
  return whole({ text: edit.text, cursor: Math.min(above + edit.cursor - start, start - 1) });
}

/** One line down in the same column, or null on the last line. */
export function down(edit: Edit): Edit | null {
  const end = lineEnd(edit).cursor;
  if (end === edit.text.length) return null;
  const column = edit.cursor - lineStart(edit).cursor;
  const below = { text: edit.text, cursor: end + 1 };
  return whole({ text: edit.text, cursor: Math.min(end + 1 + column, lineEnd(below).cursor) });
}

function wordStart(text: string, cursor: number): number {
  return text.slice(0, cursor).search(/\S+\s*$/u);
}

/** Steps over what a reader takes for one character: an emoji with its modifiers, a letter with its accents. */
function before(text: string, cursor: number): number {
  const last = [...GRAPHEMES.segment(text.slice(0, cursor))].at(-1);
  return last ? last.index : 0;
}

function after(text: string, cursor: number): number {
  const [next] = GRAPHEMES.segment(text.slice(cursor));
  return next ? cursor + next.segment.length : cursor;
}

function whole({ text, cursor }: Edit): Edit {
  const found = GRAPHEMES.segment(text).containing(cursor);
  return { text, cursor: found?.index ?? cursor };
}

const GRAPHEMES = new Intl.Segmenter(undefined, { granularity: "grapheme" });
