// Files that are imported as assets; the bundler embeds them into the executable.

/** A migration, imported `with { type: "text" }`. */
declare module "*.sql" {
  const text: string;
  export default text;
}

/** A packed archive, imported `with { type: "file" }`: its path, inside the executable an embedded one. */
declare module "*.zst" {
  const path: string;
  export default path;
}

/** One line of text that names the content of an archive, imported `with { type: "text" }`. */
declare module "*.id" {
  const text: string;
  export default text;
}

/** A style sheet that is written into a page, imported `with { type: "text" }`. */
declare module "*.css" {
  const text: string;
  export default text;
}

/** A script for browsers that is written into a page, imported `with { type: "text" }`. */
declare module "*/page.js" {
  const text: string;
  export default text;
}
