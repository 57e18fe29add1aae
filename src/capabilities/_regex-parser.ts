/** Patterns as JavaScript spells them, read into a tree. Complaints name the place and are for whoever wrote them. */
import { UserError } from "../base/errors.ts";

export interface CharSet {
  /** Inclusive ranges of code points. */
  ranges: readonly (readonly [number, number])[];
  isNegated: boolean;
}

export type Node =
  | { kind: "empty" }
  | { kind: "set"; set: CharSet }
  | { kind: "assert"; what: "start" | "end" | "word" | "notWord" }
  | { kind: "sequence"; parts: Node[] }
  | { kind: "choice"; parts: Node[] }
  /** `max` null: without end. */
  | { kind: "repeat"; part: Node; min: number; max: number | null };

const REPEAT_MAX = 1_000;
const DEPTH_MAX = 50;
const CODE_POINT_MAX = 0x10ffff;

const DIGIT: [number, number][] = [[48, 57]];
const WORD: [number, number][] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const SPACE: [number, number][] = [
  [9, 13],
  [32, 32],
  [160, 160],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const LINE_BREAKS: [number, number][] = [
  [10, 10],
  [13, 13],
];
const ANY: CharSet = { ranges: LINE_BREAKS, isNegated: true };
const CLASSES: Record<string, [number, number][]> = { d: DIGIT, w: WORD, s: SPACE };
const CONTROLS: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13, "0": 0 };

/** @throws UserError invalid_request */
export function parseRegex(source: string, ignoreCase: boolean): { node: Node; ignoreCase: boolean } {
  // Not JavaScript, but written by models all the time.
  const flags = /^\(\?([a-z]+)\)/.exec(source);
  const body = flags ? source.slice(flags[0].length) : source;
  const parser = new Parser(body);
  const node = parser.parse();
  return { node, ignoreCase: ignoreCase || (flags?.[1]?.includes("i") ?? false) };
}

class Parser {
  private at = 0;
  private readonly source: string;

  constructor(source: string) {
    this.source = source;
  }

  parse(): Node {
    const node = this.choice(0);
    if (this.at < this.source.length)
      throw this.fault("this `)` closes nothing; write \\) for the character");
    return node;
  }

  private choice(depth: number): Node {
    if (depth > DEPTH_MAX) throw this.fault("groups are nested too deeply");
    const parts = [this.sequence(depth)];
    while (this.take("|")) parts.push(this.sequence(depth));
    return parts.length === 1 ? (parts[0] as Node) : { kind: "choice", parts };
  }

  private sequence(depth: number): Node {
    const parts: Node[] = [];
    while (this.at < this.source.length && !"|)".includes(this.peek())) {
      parts.push(this.quantified(this.atom(depth)));
    }
    if (parts.length === 0) return { kind: "empty" };
    return parts.length === 1 ? (parts[0] as Node) : { kind: "sequence", parts };
  }

  private quantified(part: Node): Node {
    const bounds = this.quantifier();
    if (!bounds) return part;
    // Lazy or greedy makes no difference to whether there is a match.
    if (!this.take("?")) this.take("+");
    if (this.quantifier()) throw this.fault("a quantifier follows a quantifier");
    return { kind: "repeat", part, ...bounds };
  }

  private quantifier(): { min: number; max: number | null } | null {
    if (this.take("*")) return { min: 0, max: null };
    if (this.take("+")) return { min: 1, max: null };
    if (this.take("?")) return { min: 0, max: 1 };
    const counted = /\{(\d+)(?:(,)(\d*))?\}/y;
    counted.lastIndex = this.at;
    const match = counted.exec(this.source);
    // As in JavaScript, a brace that begins no repetition is a brace.
    if (!match) return null;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] ? Number(match[3]) : null;
    if (min > REPEAT_MAX || (max ?? 0) > REPEAT_MAX) throw this.fault(`at most ${REPEAT_MAX} repetitions`);
    if (max !== null && max < min) throw this.fault("the repetition's numbers are in the wrong order");
    this.at += match[0].length;
    return { min, max };
  }

  private atom(depth: number): Node {
    const char = this.next();
    switch (char) {
      case "(":
        return this.group(depth);
      case "[":
        return { kind: "set", set: this.charClass() };
      case ".":
        return { kind: "set", set: ANY };
      case "^":
        return { kind: "assert", what: "start" };
      case "$":
        return { kind: "assert", what: "end" };
      case "*":
      case "+":
      case "?":
        throw this.fault(`\`${char}\` repeats nothing; write \\${char} for the character`, -1);
      case "\\":
        if (this.take("b")) return { kind: "assert", what: "word" };
        if (this.take("B")) return { kind: "assert", what: "notWord" };
        return { kind: "set", set: toSet(this.escaped()) };
      default:
        return { kind: "set", set: toSet(char.codePointAt(0) as number) };
    }
  }

  private group(depth: number): Node {
    if (this.source.startsWith("?", this.at)) {
      const name = /\?(?:P?<[A-Za-z_]\w*>|:)/y;
      name.lastIndex = this.at;
      const match = name.exec(this.source);
      if (!match) throw this.fault("lookahead, lookbehind and flags inside the pattern are not supported");
      this.at += match[0].length;
    }
    const node = this.choice(depth + 1);
    if (!this.take(")")) throw this.fault("a `(` is not closed; write \\( for the character");
    return node;
  }

  private charClass(): CharSet {
    const isNegated = this.take("^");
    const ranges: [number, number][] = [];
    while (!this.take("]")) {
      if (this.at >= this.source.length) throw this.fault("a `[` is not closed; write \\[ for the character");
      const low = this.classAtom();
      const isRange =
        this.peek() === "-" && this.at + 1 < this.source.length && this.source[this.at + 1] !== "]";
      if (typeof low !== "number" || !isRange) {
        ranges.push(...toSet(low).ranges.map(([from, to]): [number, number] => [from, to]));
        continue;
      }
      this.next();
      const high = this.classAtom();
      if (typeof high !== "number" || high < low) throw this.fault("this range of characters makes no sense");
      ranges.push([low, high]);
    }
    return { ranges, isNegated };
  }

  private classAtom(): number | CharSet {
    const char = this.next();
    if (char !== "\\") return char.codePointAt(0) as number;
    return this.take("b") ? 8 : this.escaped();
  }

  /** What stands after a backslash: one character or a class. */
  private escaped(): number | CharSet {
    const numbered = /x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}/y;
    numbered.lastIndex = this.at;
    const match = numbered.exec(this.source);
    if (match) {
      this.at += match[0].length;
      return Math.min(Number.parseInt(match[1] ?? match[2] ?? match[3] ?? "0", 16), CODE_POINT_MAX);
    }
    const char = this.next();
    const ranges = CLASSES[char.toLowerCase()];
    if (ranges) return char === char.toLowerCase() ? { ranges, isNegated: false } : complement(ranges);
    const control = CONTROLS[char];
    if (control !== undefined) return control;
    if (/[1-9k]/.test(char)) throw this.fault("backreferences are not supported", -1);
    if (/[A-Za-z]/.test(char)) throw this.fault(`\\${char} is not a known escape`, -1);
    return char.codePointAt(0) as number;
  }

  private next(): string {
    const code = this.source.codePointAt(this.at);
    if (code === undefined) throw this.fault("the pattern ends too early");
    const char = String.fromCodePoint(code);
    this.at += char.length;
    return char;
  }

  private peek(): string {
    return this.source[this.at] ?? "";
  }

  private take(char: string): boolean {
    if (this.peek() !== char) return false;
    this.at += 1;
    return true;
  }

  private fault(what: string, shift = 0): UserError {
    const at = this.at + shift;
    return refusal(
      `The pattern is not a regular expression that can be used: ${what} (at character ${at + 1}: ` +
        `${JSON.stringify(this.source.slice(Math.max(0, at - 10), at + 10))}).`,
    );
  }
}

function toSet(value: number | CharSet): CharSet {
  return typeof value === "number" ? { ranges: [[value, value]], isNegated: false } : value;
}

/** Inside `[…]` a negated class must be ranges like any other. */
function complement(ranges: readonly (readonly [number, number])[]): CharSet {
  const rest: [number, number][] = [];
  let from = 0;
  for (const [low, high] of ranges) {
    if (low > from) rest.push([from, low - 1]);
    from = high + 1;
  }
  rest.push([from, CODE_POINT_MAX]);
  return { ranges: rest, isNegated: false };
}

export const refusal = (message: string) => new UserError("invalid_request", message);
