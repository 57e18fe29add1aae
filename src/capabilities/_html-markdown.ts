/** A page as Markdown, for a model to read. */
import TurndownService from "turndown";
import { outlineHtml } from "./_html-outline.ts";

export interface MarkdownPage {
  /** null when the page has none. */
  title: string | null;
  markdown: string;
  /** The page goes on, but was not read further. */
  isCut: boolean;
}

/** Several times what a model is shown at once; converting as much takes a fraction of a second. */
const OUTLINE_CHARS_MAX = 256 * 1024;

export type ToMarkdown = (html: string, baseUrl: URL) => MarkdownPage;

export function createToMarkdown(): ToMarkdown {
  const turndown = new TurndownService({
    headingStyle: "atx",
    codeBlockStyle: "fenced",
    bulletListMarker: "-",
    hr: "---",
  });
  addTables(turndown);
  return (html, baseUrl) => {
    const outline = outlineHtml(html, { baseUrl, charsMax: OUTLINE_CHARS_MAX });
    const title = outline.title?.replace(/\s+/g, " ").trim();
    return {
      // The same way, so that entities come out as characters.
      title: title ? turndown.turndown(`<p>${title.replaceAll("<", "&lt;")}</p>`) : null,
      markdown: turndown.turndown(outline.html),
      isCut: outline.isCut,
    };
  };
}

/** Tables as GitHub writes them, when every cell is one line of text; tables for layout stay paragraphs. */
function addTables(turndown: TurndownService): void {
  const plain = new WeakMap<Element, boolean>();
  /** Looked up once a table: each cell and row asks. */
  const isPlainTable = (table: Element | null): boolean => {
    if (table === null) return false;
    // What is not found is undefined here, not null.
    const known = plain.get(table) ?? !table.querySelector(COMPLEX);
    plain.set(table, known);
    return known;
  };
  turndown.addRule("tableCell", {
    filter: (node) => isCell(asElement(node)) && isPlainTable(tableOf(asElement(node))),
    replacement: (content) =>
      ` ${content
        .trim()
        .replace(/\s*\n\s*/g, " ")
        .replaceAll("|", "\\|")} |`,
  });
  turndown.addRule("tableRow", {
    filter: (node) => asElement(node).nodeName === "TR" && isPlainTable(tableOf(asElement(node))),
    replacement(content, node) {
      const row = asElement(node);
      const cells = [...row.childNodes].filter(isCell).length;
      const isFirst = tableOf(row)?.querySelector("tr") === row;
      return `|${content}\n${isFirst ? `|${" --- |".repeat(cells)}\n` : ""}`;
    },
  });
  turndown.addRule("table", {
    filter: (node) => asElement(node).nodeName === "TABLE" && isPlainTable(asElement(node)),
    replacement: (content) => `\n\n${content.trim()}\n\n`,
  });
}

/** What is used of the document; the project does not load the browser's types. */
interface Element {
  nodeName: string;
  parentNode: Element | null;
  childNodes: Iterable<Element>;
  querySelector(selector: string): unknown;
}

const asElement = (node: unknown) => node as Element;
const isCell = (node: Element) => node.nodeName === "TD" || node.nodeName === "TH";

function tableOf(node: Element): Element | null {
  let at: Element | null = node;
  while (at && at.nodeName !== "TABLE") at = at.parentNode;
  return at;
}

/** What a cell of one line cannot hold. */
const COMPLEX = "table, ul, ol, pre, blockquote, h1, h2, h3, p + p, div + div";
