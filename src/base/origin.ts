/** An origin as browsers send it, or null: `https://app.example.com/` loses its slash, a path is refused. */
export function parseOrigin(text: string): string | null {
  const url = URL.parse(text);
  if (!url || !["http:", "https:"].includes(url.protocol)) return null;
  const isBare = url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "";
  return isBare ? url.origin : null;
}
