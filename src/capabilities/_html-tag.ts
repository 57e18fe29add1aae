/** One tag of HTML: its name and the few attributes that matter. */
export interface Attributes {
  href?: string;
  src?: string;
  alt?: string;
  class?: string;
}

export interface Tag {
  /** Lowercase. */
  name: string;
  attributes: Attributes;
  /** Index after the `>`; null when the text ends first. */
  end: number | null;
}

const WANTED = new Set(["href", "src", "alt", "class"]);
/** Names go up to one of these. */
const NAME_END = /[\s/>=]/g;
const VALUE_END = /[\s>]/g;

/** @returns null when no tag begins here: `a < b` */
export function readTag(html: string, start: number): Tag | null {
  if (!/[a-zA-Z]/.test(html[start] ?? "")) return null;
  let at = endOf(html, start, NAME_END);
  const tag: Tag = { name: html.slice(start, at).toLowerCase(), attributes: {}, end: null };
  for (;;) {
    while (at < html.length && /[\s/]/.test(html[at] as string)) at += 1;
    if (at >= html.length) return tag;
    if (html[at] === ">") return { ...tag, end: at + 1 };
    // A name has at least one character, even if that is `=`.
    const nameEnd = endOf(html, at + 1, NAME_END);
    const name = html.slice(at, nameEnd).toLowerCase();
    at = skipSpace(html, nameEnd);
    if (html[at] !== "=") continue;
    at = skipSpace(html, at + 1);
    const quote = html[at];
    let value: string;
    if (quote === '"' || quote === "'") {
      const close = html.indexOf(quote, at + 1);
      value = html.slice(at + 1, close < 0 ? html.length : close);
      at = close < 0 ? html.length : close + 1;
    } else {
      const end = endOf(html, at, VALUE_END);
      value = html.slice(at, end);
      at = end;
    }
    if (WANTED.has(name)) tag.attributes[name as keyof Attributes] ??= value;
  }
}

function endOf(html: string, from: number, end: RegExp): number {
  end.lastIndex = from;
  return end.exec(html)?.index ?? html.length;
}

function skipSpace(html: string, from: number): number {
  let at = from;
  while (at < html.length && /\s/.test(html[at] as string)) at += 1;
  return at;
}
