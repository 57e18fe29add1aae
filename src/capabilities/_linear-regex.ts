/**
 * Regular expressions whose cost grows with the text, never exponentially.
 *
 * The pattern comes from a model, which may have it from a hostile page. JavaScript's own engine backtracks:
 * `(a+)+$` on forty letters would hold the whole worker for hours, and nothing can interrupt it. Here a pattern
 * becomes an automaton that reads the text once, keeping the set of states it may be in (Thompson, 1968; Cox,
 * "Regular Expression Matching Can Be Simple And Fast"). The price: no backreferences and no lookaround.
 */
import { type CharSet, type Node, parseRegex, refusal } from "./_regex-parser.ts";

/** Work that may still be done; counts down. One unit is one state visited for one character. */
export interface Meter {
  left: number;
}

export interface LinearRegex {
  /** True when the pattern occurs in the line. Spends from the meter; below zero the answer means nothing. */
  test(line: string, meter: Meter): boolean;
  /** Where the first match to end has ended, as an index into the line; null when there is none. */
  matchEnd(line: string, meter: Meter): number | null;
}

const STATES_MAX = 5_000;

type Instruction =
  | { op: "set"; set: CharSet }
  | { op: "split"; to: readonly [number, number] }
  | { op: "jump"; to: number }
  | { op: "assert"; holds: (before: number, after: number) => boolean }
  | { op: "match" };

/** @throws UserError invalid_request   what is wrong with the pattern */
export function compileLinearRegex(source: string, options: { ignoreCase: boolean }): LinearRegex {
  const { node, ignoreCase } = parseRegex(source, options.ignoreCase);
  const program: Instruction[] = [];
  emit(node, program);
  program.push({ op: "match" });
  const marks: Marks = { seen: new Int32Array(program.length).fill(-1), step: 0 };
  const matchEnd = (line: string, meter: Meter) => run(program, line, ignoreCase, meter, marks);
  return { test: (line, meter) => matchEnd(line, meter) !== null, matchEnd };
}

function emit(node: Node, program: Instruction[]): void {
  const push = (instruction: Instruction): number => {
    if (program.length >= STATES_MAX) throw refusal("The pattern is too large; use smaller repetitions.");
    return program.push(instruction) - 1;
  };
  switch (node.kind) {
    case "empty":
      return;
    case "set":
      push({ op: "set", set: node.set });
      return;
    case "assert":
      push({ op: "assert", holds: ASSERTIONS[node.what] });
      return;
    case "sequence":
      for (const part of node.parts) emit(part, program);
      return;
    case "choice": {
      const ends: number[] = [];
      node.parts.forEach((part, index) => {
        const isLast = index === node.parts.length - 1;
        const split = isLast ? -1 : push({ op: "split", to: [program.length + 1, -1] });
        emit(part, program);
        if (isLast) return;
        ends.push(push({ op: "jump", to: -1 }));
        program[split] = { op: "split", to: [split + 1, program.length] };
      });
      for (const end of ends) program[end] = { op: "jump", to: program.length };
      return;
    }
    case "repeat": {
      for (let count = 0; count < node.min; count += 1) {
        const size = program.length;
        emit(node.part, program);
        // Nothing, repeated, is nothing: without this `(((){999}){999}){999}` would count to a billion.
        if (program.length === size) break;
      }
      if (node.max === null) {
        const split = push({ op: "split", to: [-1, -1] });
        emit(node.part, program);
        push({ op: "jump", to: split });
        program[split] = { op: "split", to: [split + 1, program.length] };
        return;
      }
      const splits: number[] = [];
      for (let count = node.min; count < node.max; count += 1) {
        splits.push(push({ op: "split", to: [-1, -1] }));
        emit(node.part, program);
      }
      for (const split of splits) program[split] = { op: "split", to: [split + 1, program.length] };
    }
  }
}

const NOTHING = -1;
const isWord = (code: number) =>
  (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || code === 95 || (code >= 97 && code <= 122);

const ASSERTIONS = {
  start: (before: number) => before === NOTHING,
  end: (_before: number, after: number) => after === NOTHING,
  word: (before: number, after: number) => isWord(before) !== isWord(after),
  notWord: (before: number, after: number) => isWord(before) === isWord(after),
};

/** `seen[state]` is the step at which a state was last added: nothing has to be cleared between steps or lines. */
interface Marks {
  seen: Int32Array;
  step: number;
}

function run(
  program: readonly Instruction[],
  line: string,
  ignoreCase: boolean,
  meter: Meter,
  marks: Marks,
): number | null {
  const { seen } = marks;
  if (marks.step > 2 ** 30) {
    seen.fill(-1);
    marks.step = 0;
  }
  marks.step += 1;
  let current: number[] = [];
  let next: number[] = [];
  const stack: number[] = [];
  let before = NOTHING;

  /** Follows everything that reads no character. True when the end of the pattern is reached. */
  const follow = (start: number, into: number[], left: number, right: number): boolean => {
    stack.push(start);
    for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
      if (seen[state] === marks.step) continue;
      seen[state] = marks.step;
      meter.left -= 1;
      const instruction = program[state] as Instruction;
      if (instruction.op === "set") into.push(state);
      else if (instruction.op === "jump") stack.push(instruction.to);
      else if (instruction.op === "split") stack.push(instruction.to[1], instruction.to[0]);
      else if (instruction.op === "match") {
        stack.length = 0;
        return true;
      } else if (instruction.holds(left, right)) stack.push(state + 1);
    }
    return false;
  };

  for (let at = 0; meter.left >= 0; ) {
    const code = line.codePointAt(at) ?? NOTHING;
    // The pattern may begin at any character. `current` was filled at this same step.
    if (follow(0, current, before, code)) return at;
    if (code === NOTHING) return null;
    const width = code > 0xffff ? 2 : 1;
    const after = line.codePointAt(at + width) ?? NOTHING;
    marks.step += 1;
    next.length = 0;
    for (const state of current) {
      meter.left -= 1;
      const { set } = program[state] as { set: CharSet };
      if (accepts(set, code, ignoreCase) && follow(state + 1, next, code, after)) return at + width;
    }
    [current, next] = [next, current];
    before = code;
    at += width;
  }
  return null;
}

function accepts(set: CharSet, code: number, ignoreCase: boolean): boolean {
  let isIn = includes(set, code);
  if (!isIn && ignoreCase) {
    const char = String.fromCodePoint(code);
    isIn =
      includes(set, char.toLowerCase().codePointAt(0) ?? code) ||
      includes(set, char.toUpperCase().codePointAt(0) ?? code);
  }
  return isIn !== set.isNegated;
}

function includes({ ranges }: CharSet, code: number): boolean {
  for (const [low, high] of ranges) if (code >= low && code <= high) return true;
  return false;
}
