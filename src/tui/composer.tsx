import { Box, Text, useInput, usePaste } from "ink";
import { useEffect, useRef, useState } from "react";
import { plainText } from "../client/plain-text.ts";
import type { Completion } from "./commands/registry.ts";
import {
  backspace,
  deleteForward,
  deleteToLineEnd,
  deleteToLineStart,
  deleteWord,
  down,
  type Edit,
  editOf,
  emptyEdit,
  insert,
  left,
  lineEnd,
  lineStart,
  right,
  up,
  wordLeft,
  wordRight,
} from "./edit.ts";
import { cut, wrapExact } from "./markdown.ts";
import { marks, type Paint } from "./theme.ts";

export interface ComposerProps {
  columns: number;
  /** Lines that the text may take; a longer one shows the part around the cursor. */
  rows: number;
  paint: Paint;
  placeholder: string;
  /** What was sent before, oldest first. */
  history: readonly string[];
  /** Text to begin with, whenever its id is another; null brings back what was typed before it. */
  draft: { id: number; draft: string } | null;
  /** @returns false when it could not be sent: the text comes back, unless something else has been typed */
  onSubmit(text: string): Promise<boolean>;
  /** @returns what becomes of the text */
  onEscape(): "clear" | "keep";
  onLeave(): void;
  onToggleExpanded(): void;
  onUnfoldLast(): void;
  /** Tab where there is nothing to complete. */
  onToggleDelivery(): void;
  /** Up in an empty line. @returns a message that did not have its turn yet; null when there is none */
  onTakeBack(): Promise<string | null>;
  /** @param before  what stands before the cursor. @returns null when nothing of it can be completed */
  onComplete(before: string): Promise<Completion | null>;
  /** A letter typed into an empty line. @returns whether it meant something and is not text */
  onShortcut(letter: string): boolean;
}

type Key = Parameters<Parameters<typeof useInput>[0]>[1];

/** Where a message is written: several lines, history, paste, and the keys that a shell has taught everyone. */
export function Composer(props: ComposerProps) {
  const [edit, setEdit] = useState(emptyEdit);
  // Several keys may arrive before the next render: the ref always has the newest text.
  const now = useRef(emptyEdit);
  const historyAt = useRef<number | null>(null);
  const draft = useRef(emptyEdit);
  const [choices, setChoices] = useState<readonly string[]>([]);

  const change = (next: Edit) => {
    now.current = next;
    setEdit(next);
    setChoices(NO_CHOICES);
  };
  const setAside = useRef(emptyEdit);
  const draftId = props.draft?.id ?? null;
  const lastDraftId = useRef<number | null>(null);
  useEffect(() => {
    if (draftId === lastDraftId.current) return;
    if (lastDraftId.current === null) setAside.current = now.current;
    lastDraftId.current = draftId;
    const next = draftId === null ? setAside.current : editOf(props.draft?.draft ?? "");
    now.current = next;
    setEdit(next);
  }, [draftId, props.draft]);
  const type = (text: string) => {
    historyAt.current = null;
    change(insert(now.current, plainText(text)));
  };
  const submit = async () => {
    const text = now.current.text.trim();
    if (text === "") return;
    historyAt.current = null;
    change(emptyEdit);
    const isSent = await props.onSubmit(text);
    if (!isSent && now.current.text === "") change(editOf(text));
  };
  const complete = async () => {
    const { text, cursor } = now.current;
    if (text === "") return props.onToggleDelivery();
    const found = await props.onComplete(text.slice(0, cursor));
    // Somebody typed on meanwhile: what was found is not about this text any more.
    if (found === null || now.current.text !== text || now.current.cursor !== cursor) return;
    change({ text: found.text + text.slice(cursor), cursor: found.text.length });
    setChoices(found.choices);
  };
  const takeBackOrRecall = async () => {
    if (now.current.text === "" && historyAt.current === null) {
      const text = await props.onTakeBack();
      if (text !== null) {
        if (now.current.text === "") change(editOf(text));
        return;
      }
    }
    recall(-1);
  };
  const recall = (step: -1 | 1) => {
    const { history } = props;
    if (historyAt.current === null) draft.current = now.current;
    const at = (historyAt.current ?? history.length) + step;
    if (at < 0 || at > history.length) return;
    historyAt.current = at === history.length ? null : at;
    change(at === history.length ? draft.current : editOf(history[at] ?? ""));
  };

  usePaste((text) => type(text));
  const press = (input: string, key: Key): void => {
    const current = now.current;
    if (key.ctrl && (input === "c" || (input === "d" && current.text === ""))) return props.onLeave();
    if (key.ctrl && input === "o") return props.onToggleExpanded();
    if (key.ctrl && input === "t") return props.onUnfoldLast();
    if (key.escape) {
      if (props.onEscape() === "clear") change(emptyEdit);
      return;
    }
    if (key.return) {
      if (key.meta || key.shift) return type("\n");
      if (current.text.endsWith("\\") && current.cursor === current.text.length) {
        return change(editOf(`${current.text.slice(0, -1)}\n`));
      }
      void submit();
      return;
    }
    if (key.tab) return void complete();
    if (key.upArrow) {
      const above = up(current);
      return above ? change(above) : void takeBackOrRecall();
    }
    if (key.downArrow) {
      const below = down(current);
      return below ? change(below) : recall(1);
    }
    if (current.text === "" && input.length === 1 && props.onShortcut(input)) return;
    const moved = applyKey(current, input, key);
    if (moved) return change(moved);
    if (input === "" || key.ctrl || key.meta) return;
    const pieces = input.split(CONTROL).filter((piece) => piece !== "");
    if (pieces.length > 1) {
      for (const piece of pieces) press(...keyOf(piece, key));
      return;
    }
    // A fast typist or a program sends "text<Enter>" as one piece; with more lines it is a paste. What was typed before
    // the chat had the terminal ends in a line feed.
    const [, typed, end] = /^([^\r\n\t]+)([\r\n\t])$/.exec(input) ?? [];
    type(typed ?? input);
    if (end === "\r" || end === "\n") void submit();
    if (end === "\t") void complete();
  };
  useInput(press);

  const { paint, columns, rows, placeholder } = props;
  if (edit.text === "") {
    const hint = cut(placeholder.slice(1), Math.max(1, columns - 4));
    return (
      <Text>{`${paint.cyan(marks.user)} ${paint.inverse(placeholder.slice(0, 1))}${paint.dim(hint)}`}</Text>
    );
  }
  const lines = composerLines(edit, columns - 2, rows, paint);
  return (
    <Box flexDirection="column">
      <Text>{lines.map((line, at) => `${at === 0 ? paint.cyan(marks.user) : " "} ${line}`).join("\n")}</Text>
      {choices.length > 0 && (
        <Text>
          {paint.dim(
            `  ${cut(plainText(choices.map(shortOf(edit.text)).join("  ")), Math.max(8, columns - 3))}`,
          )}
        </Text>
      )}
    </Box>
  );
}
const NO_CHOICES: readonly string[] = [];

/** A path by its last part, when it is one of many in a directory that stands in the composer anyway. */
function shortOf(text: string): (choice: string) => string {
  return (choice) => {
    const at = choice.replace(/\/$/, "").lastIndexOf("/");
    return at >= 0 && text.includes(choice.slice(0, at + 1)) ? choice.slice(at + 1) : choice;
  };
}

/** PURE: the text with its cursor as at most `rows` lines, so chosen that the cursor is among them. */
export function composerLines(edit: Edit, columns: number, rows: number, paint: Paint): string[] {
  const under = right(edit).cursor;
  const character = edit.text.slice(edit.cursor, under);
  const isBreak = character === "" || character === "\n";
  const text = `${edit.text.slice(0, edit.cursor)}${paint.inverse(isBreak ? " " : character)}${isBreak ? character : ""}${edit.text.slice(under)}`;
  const lines = text.split("\n").flatMap((line) => wrapExact(line, columns));
  const at = Math.max(
    0,
    lines.findIndex((line) => line.includes(CURSOR)),
  );
  const first = Math.max(0, Math.min(at - rows + 1, lines.length - rows), at - rows + 1);
  return lines.slice(first, first + rows);
}
const CURSOR = "\u001b[7m";

/** Keys that arrive in one piece with letters; line ends, tabs and escapes are told apart elsewhere. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
const CONTROL = /([\u0001-\u0008\u000b\u000c\u000e-\u001a\u007f])/;

/** A piece of what arrived as the key that it is by itself. */
function keyOf(piece: string, none: Key): [input: string, key: Key] {
  if (!CONTROL.test(piece)) return [piece, none];
  if (piece === "\u007f" || piece === "\b") return ["", { ...none, backspace: true }];
  return [String.fromCharCode(piece.charCodeAt(0) + 96), { ...none, ctrl: true }];
}

function applyKey(edit: Edit, input: string, key: Key): Edit | null {
  if (key.leftArrow) return key.ctrl || key.meta ? wordLeft(edit) : left(edit);
  if (key.rightArrow) return key.ctrl || key.meta ? wordRight(edit) : right(edit);
  if (key.home) return lineStart(edit);
  if (key.end) return lineEnd(edit);
  if (key.backspace) return key.meta || key.ctrl ? deleteWord(edit) : backspace(edit);
  if (key.delete) return deleteForward(edit);
  if (key.ctrl) return CONTROL_KEYS[input]?.(edit) ?? null;
  if (key.meta && input === "b") return wordLeft(edit);
  if (key.meta && input === "f") return wordRight(edit);
  return null;
}

const CONTROL_KEYS: Readonly<Record<string, (edit: Edit) => Edit>> = {
  a: lineStart,
  e: lineEnd,
  b: left,
  f: right,
  d: deleteForward,
  h: backspace,
  k: deleteToLineEnd,
  u: deleteToLineStart,
  w: deleteWord,
};
