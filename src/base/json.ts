/**
 * JSON text that PostgreSQL's jsonb takes. jsonb refuses NUL and lone surrogates, which models and tools do
 * produce; both become U+FFFD. The check on the finished text keeps the usual case at one pass.
 */
export function toJsonText(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  if (!/\\u(?:0000|d[89a-f])/i.test(text)) return text;
  return JSON.stringify(value, (_name, item: unknown) =>
    typeof item === "string" ? wellFormed(item) : item,
  );
}

/**
 * JSON text as PostgreSQL's jsonb would give it back, parsed: the keys of an object by their length in bytes, then by
 * their bytes.
 */
export function parseLikeJsonb(text: string): unknown {
  return inJsonbOrder(JSON.parse(text));
}

function inJsonbOrder(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(inJsonbOrder);
  // Not by assignment: a key may be `__proto__`.
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => byLengthAndBytes(a, b))
      .map(([key, item]) => [key, inJsonbOrder(item)]),
  );
}

function byLengthAndBytes(a: string, b: string): number {
  if (isAscii(a) && isAscii(b)) return a.length - b.length || (a < b ? -1 : 1);
  const [bytesOfA, bytesOfB] = [Buffer.from(a), Buffer.from(b)];
  return bytesOfA.length - bytesOfB.length || Buffer.compare(bytesOfA, bytesOfB);
}

const isAscii = (text: string) => !/[^ -~]/.test(text);

/** Text without NUL and lone surrogates. */
export function wellFormed(text: string): string {
  return text.replaceAll("\0", "\uFFFD").toWellFormed();
}

/** At most `max` UTF-16 units, not cut inside a surrogate pair. */
export function preview(text: string, max: number): string {
  return text.length <= max
    ? text
    : text
        .slice(0, max)
        .toWellFormed()
        .replace(/\uFFFD$/, "");
}

/**
 * Where JSON text stops being JSON. `JSON.parse` says only that it does; people and models who must mend the text
 * want the place.
 */

export interface JsonFault {
  /** Index of the first character that does not fit; the length of the text when it ends too early. */
  offset: number;
  /** 1-based. */
  line: number;
  column: number;
  /** What was found and what was expected, for people. */
  message: string;
  /** The text around the place, on one line, with `→` before it. */
  excerpt: string;
}

/** Deeper nesting is reported as a fault: the parsers of others give up there, too. */
const DEPTH_MAX = 500;
const EXCERPT_CHARS = 30;

/** The first fault, or null when the text is JSON. */
export function findJsonFault(text: string): JsonFault | null {
  const scanner = new Scanner(text);
  const message = scanner.scan();
  if (message === null) return null;
  const offset = Math.min(scanner.at, text.length);
  const before = text.slice(0, offset);
  const lastBreak = before.lastIndexOf("\n");
  return {
    offset,
    line: before.split("\n").length,
    column: offset - lastBreak,
    message,
    excerpt: oneLine(
      `${text.slice(Math.max(0, offset - EXCERPT_CHARS), offset)}→${text.slice(offset, offset + EXCERPT_CHARS)}`,
    ),
  };
}

/** Walks the text once. `scan` returns null or the complaint, with `at` at the place. */
class Scanner {
  at = 0;
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  scan(): string | null {
    const complaint = this.value(0);
    if (complaint !== null) return complaint;
    this.space();
    return this.at < this.text.length ? `expected the end, found ${this.found()}` : null;
  }

  private value(depth: number): string | null {
    if (depth > DEPTH_MAX) return `nested deeper than ${DEPTH_MAX} levels`;
    this.space();
    const first = this.text[this.at];
    if (first === "{") return this.members("}", () => this.member(depth));
    if (first === "[") return this.members("]", () => this.value(depth + 1));
    if (first === '"') return this.string();
    const literal = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
    literal.lastIndex = this.at;
    const match = literal.exec(this.text);
    if (match === null) return `expected a value, found ${this.found()}`;
    this.at += match[0].length;
    return null;
  }

  private members(close: "}" | "]", member: () => string | null): string | null {
    this.at += 1;
    this.space();
    if (this.text[this.at] === close) return this.step();
    for (;;) {
      const complaint = member();
      if (complaint !== null) return complaint;
      this.space();
      if (this.text[this.at] === close) return this.step();
      if (this.text[this.at] !== ",") return `expected \`,\` or \`${close}\`, found ${this.found()}`;
      this.at += 1;
    }
  }

  private member(depth: number): string | null {
    this.space();
    if (this.text[this.at] !== '"') return `expected a name in double quotes, found ${this.found()}`;
    const complaint = this.string();
    if (complaint !== null) return complaint;
    this.space();
    if (this.text[this.at] !== ":") return `expected \`:\` after the name, found ${this.found()}`;
    this.at += 1;
    return this.value(depth + 1);
  }

  private string(): string | null {
    this.at += 1;
    for (;;) {
      const char = this.text[this.at];
      if (char === undefined) return "the text ends inside a string";
      if (char === '"') return this.step();
      if (char < " ")
        return "a line break or control character inside a string must be written as \\n or \\u00XX";
      if (char === "\\") {
        const sequence = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
        sequence.lastIndex = this.at;
        const match = sequence.exec(this.text);
        if (match === null) return "this backslash begins no escape; a backslash itself is written \\\\";
        this.at += match[0].length;
      } else {
        this.at += 1;
      }
    }
  }

  private step(): null {
    this.at += 1;
    return null;
  }

  private space(): void {
    while (this.at < this.text.length && " \t\n\r".includes(this.text[this.at] as string)) this.at += 1;
  }

  private found(): string {
    const char = this.text[this.at];
    return char === undefined ? "the end of the text" : `\`${oneLine(char)}\``;
  }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").toWellFormed();
}

/** A copy of a JSON value whose objects have their keys in one order, so that equal values print equally. */
export function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, sortKeys(member)]),
  );
}
