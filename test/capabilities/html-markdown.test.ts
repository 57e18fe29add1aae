import { expect, test } from "bun:test";
import fc from "fast-check";
import { createToMarkdown } from "../../src/capabilities/_html-markdown.ts";
import { outlineHtml } from "../../src/capabilities/_html-outline.ts";

const toMarkdown = createToMarkdown();
const baseUrl = new URL("https://example.com/docs/page");
const markdown = (html: string) => toMarkdown(html, baseUrl).markdown;

const pages: [string, string, string][] = [
  ["headings and paragraphs", "<h1>One</h1><p>two<p>three", "# One\n\ntwo\n\nthree"],
  ["emphasis that is closed in the wrong order", "<p>a <b>b <i>c</b> d</i>", "a **b _c_** d"],
  ["links, made whole", '<a href="../x?a=1&amp;b=2#c">x</a>', "[x](https://example.com/x?a=1&b=2#c)"],
  ["links that run a script", '<a href="javascript:alert(1)">x</a>', "x"],
  ["links under another base", '<base href="/other/"><a href="x">x</a>', "[x](https://example.com/other/x)"],
  ["lists without end tags", "<ul><li>1<li>2<ul><li>3</ul><li>4</ul>", "-   1\n-   2\n    -   3\n-   4"],
  ["numbered lists", "<ol><li>a<li>b</ol>", "1.  a\n2.  b"],
  [
    "code with its language",
    '<pre><code class="x language-ts">a &lt; b\n  c</code></pre>',
    "```ts\na < b\n  c\n```",
  ],
  ["preformatted text without code", "<pre><span>a</span>\n  <b>b</b></pre>", "```\na\n  b\n```"],
  [
    "tables",
    "<table><tr><th>a<th>b<tr><td>1|2<td>3<br>4</table>",
    "| a | b |\n| --- | --- |\n| 1\\|2 | 3 4 |",
  ],
  [
    "tables with a head and a body",
    "<table><thead><tr><th>a</thead><tbody><tr><td>1</tbody></table>",
    "| a |\n| --- |\n| 1 |",
  ],
  ["tables for layout", "<table><tr><td><p>a</p><p>b</p><td>c</table>", "a\n\nb\n\nc"],
  [
    "images with words",
    '<img src="a.png" alt="A  pic"><img src="data:image/png;base64,AAAA" alt=x><img src=b.png>',
    "![A pic](https://example.com/docs/a.png)",
  ],
  ["quotes", "<blockquote>a<p>b</blockquote>c", "> a\n> \n> b\n\nc"],
  [
    "no scripts, styles, pictures or comments",
    "a<script>'</p><b>'</script><style>b{}</style><svg><text>c</text></svg><!-- d -->e",
    "ae",
  ],
  ["a comparison", "<p>1 < 2 && 3 > 2", "1 < 2 && 3 > 2"],
  ["entities", "<p>&lt;b&gt; &eacute; &#x2603; &unknown;", "<b> é ☃ &unknown;"],
  [
    "attributes with any quotes",
    `<a title=it's href='https://a.example/"'>x</a>`,
    "[x](https://a.example/%22)",
  ],
  ["a tag that never ends", "before <a href='x", "before"],
  ["a comment that never ends", "before <!-- after", "before"],
  ["a script that never ends", "before <script> after", "before"],
  ["upper case", "<H2>A</H2><P>B</P>", "## A\n\nB"],
  ["boxes as paragraphs", "<div>a<section>b</section></div><main>c</main>", "a\n\nb\n\nc"],
  ["nothing", "", ""],
];
for (const [name, html, expected] of pages)
  test(`shows ${name}`, () => expect(markdown(html)).toBe(expected));

test("the title, with its entities read and its tags shown", () => {
  expect(toMarkdown("<title> A &amp;\n B <x> </title>c", baseUrl).title).toBe("A & B <x>");
  expect(toMarkdown("c", baseUrl).title).toBeNull();
});

test("a large page is cut, and says so", () => {
  const page = toMarkdown("<p>word</p>".repeat(100_000), baseUrl);
  expect(page.isCut).toBe(true);
  expect(page.markdown.length).toBeLessThan(300_000);
  expect(toMarkdown("<p>word</p>", baseUrl).isCut).toBe(false);
});

// Each of these took the tree-building converter alone from seconds to minutes, or ended it with a full stack.
const hostile: [string, string][] = [
  ["elements in elements", "<div>".repeat(300_000)],
  ["formatting in formatting", "<b>".repeat(300_000)],
  ["ever new formatting", Array.from({ length: 50_000 }, (_, index) => `<b a=${index}><p>x`).join("")],
  ["lists in lists", "<ul><li>".repeat(200_000)],
  ["tables in tables", "<table><tr><td>".repeat(100_000)],
  ["cells", `<table><tr>${"<td>x".repeat(200_000)}`],
  ["white space that something follows", `${"\u00a0".repeat(250_000)}x`],
  ["white space as entities", `${"&#160;".repeat(40_000)}x`],
  ["line breaks that something follows", `${"<br>".repeat(60_000)}x`],
  ["white space in code", `<pre><code>${"\n".repeat(250_000)}x</code></pre>y`],
  ["open brackets", "<".repeat(1_000_000)],
  ["open quotes", '<a x="'.repeat(500_000)],
  ["open comments", "<!--".repeat(500_000)],
  ["open scripts", "<script>".repeat(300_000)],
];
for (const [name, html] of hostile) {
  test(`comes to an end: ${name}`, () => {
    const outline = outlineHtml(html, { baseUrl, charsMax: 256 * 1024 });
    expect(outline.html.length).toBeLessThan(300_000);
    expect(depthOf(outline.html)).toBeLessThanOrEqual(32);
    expect(markdown(html).length).toBeLessThan(1_000_000);
  });
}

test("whatever comes in, what goes on is balanced, shallow and without anything but the subset", () => {
  const piece = fc.constantFrom(
    ..."<b> </b> <a\thref=x> </a> <p> </p> <div> </div> <ul> <li> </li> </ul> <table> <tr> <td> </td> </table> <pre> </pre>".split(
      " ",
    ),
    ...[
      "<code>",
      "<svg>",
      "</svg>",
      "<script>",
      "</script>",
      "text",
      "<",
      ">",
      "&",
      '"',
      "<!--",
      "-->",
      "<h1>",
      "</h2>",
      "<br>",
    ],
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (parts) => {
      const { html } = outlineHtml(parts.join(""), { baseUrl, charsMax: 10_000 });
      expect(depthOf(html)).toBeLessThanOrEqual(32);
      expect(html).not.toMatch(/<(script|svg|style)/i);
      markdown(parts.join(""));
    }),
    { numRuns: 1000 },
  );
});

/** The deepest nesting; throws when tags do not close in order. */
function depthOf(html: string): number {
  const stack: string[] = [];
  let deepest = 0;
  for (const [, slash, name] of html.matchAll(/<(\/?)([a-z0-9]+)[^>]*>/g)) {
    if (name === "br" || name === "hr" || name === "img") continue;
    if (slash) expect(stack.pop()).toBe(name!);
    else stack.push(name!);
    deepest = Math.max(deepest, stack.length);
  }
  expect(stack).toEqual([]);
  return deepest;
}
