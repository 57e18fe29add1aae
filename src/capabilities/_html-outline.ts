/**
 * HTML from anywhere, reduced to a small, balanced subset: headings, paragraphs, lists, links, code, tables.
 *
 * Why not hand the page to the converter as it is: parsers that build a tree need time and memory out of all
 * proportion for hostile nesting (measured 2026-11-22: 500 KB of `<div>` take 100 s in domino and turndown, 60 KB of
 * `<b>` take 6 s), and the worker's event loop with it. What leaves here is closed in order, at most `DEPTH_MAX`
 * deep and no longer than asked for. One pass, no backtracking.
 */
import { type Attributes, readTag } from "./_html-tag.ts";

export interface Outline {
  html: string;
  /** As it stands in the page, entities and all; null when there is none. */
  title: string | null;
  isCut: boolean;
}

const DEPTH_MAX = 32;
/**
 * Sum of the depths of all elements. The converter looks at the whole of each element several times, so its work
 * grows with this; a page of 8,000 elements, 15 deep, needs 120,000.
 */
const DEPTHS_MAX = 300_000;
const LINK_CHARS_MAX = 2_000;
/**
 * White space in a row, over tags. The converter trims with a regular expression that takes quadratic time on a
 * long run that something follows.
 */
const SPACE_RUN_MAX = 200;
const LINE_BREAKS_IN_A_ROW_MAX = 4;

const INLINE = new Set(["a", "b", "strong", "i", "em", "code"]);
const HEADINGS = new Set(["h1", "h2", "h3", "h4", "h5", "h6"]);
const BLOCKS = new Set([...HEADINGS, "p", "ul", "ol", "li", "blockquote", "pre"]);
/** Blocks without a meaning of their own in Markdown. */
const BOXES = new Set(
  "div section article main aside header footer nav figure figcaption address dl dt dd form fieldset details summary".split(
    " ",
  ),
);
const TABLE = new Set(["table", "tr", "td", "th"]);
/** Their content is not text for readers. */
const DROPPED = new Set("svg math template object canvas audio video select datalist".split(" "));
/** Their content is not markup: it goes up to their end tag. */
const RAW = new Set("script style textarea title xmp iframe noembed noframes noscript".split(" "));

export function outlineHtml(html: string, options: { baseUrl: URL; charsMax: number }): Outline {
  const writer = new OutlineWriter(options.baseUrl, options.charsMax);
  let at = 0;
  while (at < html.length && !writer.isFull) {
    const open = html.indexOf("<", at);
    if (open < 0) {
      writer.text(html.slice(at));
      break;
    }
    if (open > at) writer.text(html.slice(at, open));
    at = readMarkup(html, open, writer);
  }
  return writer.finish();
}

/** @returns where the text goes on */
function readMarkup(html: string, open: number, writer: OutlineWriter): number {
  const next = html[open + 1] ?? "";
  if (next === "!" || next === "?") {
    const close = html.startsWith("<!--", open) ? "-->" : ">";
    const end = html.indexOf(close, open + 2);
    return end < 0 ? html.length : end + close.length;
  }
  const isEnd = next === "/";
  const tag = readTag(html, isEnd ? open + 2 : open + 1);
  if (tag === null) {
    writer.text("&lt;");
    return open + 1;
  }
  if (tag.end === null) return html.length;
  if (isEnd) {
    writer.end(tag.name);
    return tag.end;
  }
  if (!RAW.has(tag.name)) {
    writer.start(tag.name, tag.attributes);
    return tag.end;
  }
  const close = new RegExp(`</${tag.name}[\\s/>]`, "gi");
  close.lastIndex = tag.end;
  const match = close.exec(html);
  const end = match ? match.index : html.length;
  if (tag.name === "title") writer.title(html.slice(tag.end, end));
  return end;
}

class OutlineWriter {
  isFull = false;
  private readonly out: string[] = [];
  private chars = 0;
  private depths = 0;
  private spaceRun = 0;
  private readonly stack: string[] = [];
  private pageTitle: string | null = null;
  private base: URL;
  /** The element whose content is being passed over, and how many of its name are open in it. */
  private dropped: { name: string; depth: number } | null = null;
  private readonly charsMax: number;

  constructor(base: URL, charsMax: number) {
    this.base = base;
    this.charsMax = charsMax;
  }

  finish(): Outline {
    while (this.stack.length > 0) this.out.push(`</${this.stack.pop()}>`);
    return { html: this.out.join(""), title: this.pageTitle, isCut: this.isFull };
  }

  title(text: string): void {
    if (!this.dropped) this.pageTitle ??= text.slice(0, 500);
  }

  text(text: string): void {
    if (this.dropped) return;
    const room = this.charsMax - this.chars;
    if (text.length > room) this.isFull = true;
    // The converter takes a `pre` for code only when it holds a `code`.
    if (this.stack.at(-1) === "pre" && text.trim() !== "") this.push("code", "");
    this.emit(this.limitSpace(plainSpaces(text.slice(0, room))));
  }

  /** Passes over white space after the first `SPACE_RUN_MAX` characters in a row, also when tags are between. */
  private limitSpace(text: string): string {
    return text.replace(/(\s+)|\S+/g, (piece, space: string | undefined) => {
      if (space === undefined) {
        this.spaceRun = 0;
        return piece;
      }
      const kept = piece.slice(0, Math.max(0, SPACE_RUN_MAX - this.spaceRun));
      this.spaceRun += kept.length;
      return kept;
    });
  }

  start(name: string, attributes: Attributes): void {
    if (this.dropped) {
      if (name === this.dropped.name) this.dropped.depth += 1;
    } else if (DROPPED.has(name)) this.dropped = { name, depth: 1 };
    else if (name === "base") this.base = URL.parse(attributes.href ?? "", this.base.href) ?? this.base;
    else if (name === "br") this.lineBreak();
    else if (name === "hr") {
      this.closeUpTo("p", TABLE);
      this.emit("<hr>");
    } else if (name === "img") this.image(attributes);
    else if (TABLE.has(name)) this.tablePart(name);
    else if (BOXES.has(name)) this.block("div");
    else if (BLOCKS.has(name)) this.block(name);
    else if (INLINE.has(name)) this.inline(name, attributes);
  }

  end(name: string): void {
    if (this.dropped) {
      if (name === this.dropped.name && --this.dropped.depth === 0) this.dropped = null;
      return;
    }
    const kept = BOXES.has(name) ? "div" : name;
    if (HEADINGS.has(kept)) {
      const open = this.stack.findLast((other) => HEADINGS.has(other));
      if (open) this.closeUpTo(open, TABLE);
    } else this.closeUpTo(kept, kept === "table" ? NONE : TABLE);
  }

  private block(name: string): void {
    this.closeUpTo("p", TABLE);
    if (name === "li") this.closeUpTo("li", LIST_BOUNDS);
    if (HEADINGS.has(name)) for (const heading of HEADINGS) this.closeUpTo(heading, TABLE);
    this.push(name, "");
  }

  private inline(name: string, attributes: Attributes): void {
    if (name !== "code" && this.stack.includes("pre")) return;
    if (this.stack.includes(name)) {
      if (name !== "a") return;
      this.closeUpTo("a", TABLE);
    }
    const href = name === "a" ? this.link(attributes.href) : null;
    const language = name === "code" ? /\blanguage-[\w+#-]{1,30}/.exec(attributes.class ?? "")?.[0] : null;
    this.push(name, href ? ` href="${href}"` : language ? ` class="${language}"` : "");
  }

  private tablePart(name: string): void {
    if (name === "table") {
      this.closeUpTo("p", TABLE);
      this.push("table", "");
      return;
    }
    const table = this.stack.lastIndexOf("table");
    if (table < 0) {
      if (name !== "tr") this.block("div");
      return;
    }
    const row = this.stack.indexOf("tr", table);
    this.closeDownTo(name === "tr" || row < 0 ? table + 1 : row + 1);
    if (name !== "tr" && row < 0) this.push("tr", "");
    this.push(name, "");
  }

  private lineBreak(): void {
    if (this.spaceRun >= SPACE_RUN_MAX) return;
    this.spaceRun += SPACE_RUN_MAX / LINE_BREAKS_IN_A_ROW_MAX;
    this.emit("<br>");
  }

  private image(attributes: Attributes): void {
    const alt = attributes.alt?.replace(/\s+/g, " ").trim();
    const source = this.link(attributes.src);
    if (alt && source) this.emit(`<img alt="${quoted(alt.slice(0, 500))}" src="${source}">`);
  }

  /** Absolute and quoted for an attribute; null for what nobody can follow. */
  private link(href: string | undefined): string | null {
    if (!href || href.length > LINK_CHARS_MAX) return null;
    const url = URL.parse(href.replaceAll("&amp;", "&"), this.base.href);
    if (!url || !/^(https?|mailto):$/.test(url.protocol)) return null;
    return quoted(url.href);
  }

  private push(name: string, attributes: string): void {
    if (this.stack.length >= DEPTH_MAX) return;
    this.stack.push(name);
    this.depths += this.stack.length;
    if (this.depths > DEPTHS_MAX) this.isFull = true;
    this.emit(`<${name}${attributes}>`);
  }

  /** Closes the nearest open element of that name, and what is open in it; not across a bound. */
  private closeUpTo(name: string, bounds: ReadonlySet<string>): void {
    for (let index = this.stack.length - 1; index >= 0; index -= 1) {
      const open = this.stack[index] as string;
      if (open === name) {
        this.closeDownTo(index);
        return;
      }
      if (bounds.has(open)) return;
    }
  }

  private closeDownTo(length: number): void {
    while (this.stack.length > length) this.emit(`</${this.stack.pop()}>`);
  }

  private emit(text: string): void {
    this.chars += text.length;
    if (this.chars > this.charsMax) this.isFull = true;
    this.out.push(text);
  }
}

const NONE: ReadonlySet<string> = new Set();
const LIST_BOUNDS: ReadonlySet<string> = new Set(["ul", "ol", ...TABLE]);

/** Spaces of every kind, written as characters or entities, as plain ones; tabs and line ends stay. */
function plainSpaces(text: string): string {
  return text
    .replace(
      /&(?:#x0*([0-9a-f]{1,6})|#0*(\d{1,7})|([a-z]{3,16}\d{0,2}));?/gi,
      (entity, hex, decimal, name) => {
        if (name !== undefined) return SPACE_ENTITIES.has(name.toLowerCase()) ? " " : entity;
        const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
        return code <= 0x10ffff && /\s/.test(String.fromCodePoint(code)) ? " " : entity;
      },
    )
    .replace(/[^\S \t\r\n]/g, " ");
}

const SPACE_ENTITIES = new Set(
  "nbsp nonbreakingspace ensp emsp emsp13 emsp14 numsp puncsp thinsp thinspace hairsp verythinspace mediumspace thickspace tab newline".split(
    " ",
  ),
);

function quoted(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
}
