/**
 * The API reference for people: one page that draws the OpenAPI document beside it. It loads nothing from anywhere
 * else, and its policy lets the browser run this script and this style and no other.
 */
import { Elysia } from "elysia";
import style from "./page.css" with { type: "text" };
import script from "./page.js" with { type: "text" };

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Everruns API</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<nav>
<input type="search" id="search" placeholder="Search ( / )" aria-label="Search the operations" autocomplete="off">
<p class="quiet" id="count" role="status"></p>
<div id="index"></div>
</nav>
<main>
<h1 id="title">Everruns API</h1>
<p class="quiet"><span id="about"></span> <a href="/api-doc/openapi.json">openapi.json</a></p>
<noscript><p>This page is drawn by a script; the document itself is <a href="/api-doc/openapi.json">openapi.json</a>.</p></noscript>
<div id="operations"></div>
</main>
<script>${script}</script>
</body>
</html>
`;

/** `'sha256-…'` of what stands between two tags. */
const hashOf = (text: string) => `'sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}'`;

const HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

/** `GET /api-doc`: for everybody, like the document that it shows. */
export function referenceRoute() {
  return new Elysia().get("/api-doc", () => new Response(PAGE, { headers: HEADERS }));
}
