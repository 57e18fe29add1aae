/**
 * Which SQL may run in a session's database. SQLite itself would open any file of this machine (`attach`, `vacuum
 * into`) and let its own limits be changed (`pragma`), and the binding has no authorizer. So the first word of each
 * statement must be one that cannot: everything else is refused, known or not. Should a statement get by all the same,
 * it finds a process that can open no file (no-files.ts).
 */

const WRITES = new Set([
  ...["select", "with", "values", "insert", "replace", "update", "delete", "create", "drop", "alter"],
  ...["reindex", "analyze", "begin", "commit", "end", "rollback", "savepoint", "release"],
]);
const READS = new Set(["select", "with", "values"]);

/** Says why the text may not run, for the model; null lets it through. */
export function refuseSql(sql: string, mode: "execute" | "query"): string | null {
  if (sql.includes("\0")) return "the SQL contains a NUL character";
  const statements = firstWords(sql);
  if (statements === null) {
    return "the SQL has a comment, string or quoted name that does not end, or a parameter with brackets";
  }
  if (statements.length === 0) return "the SQL is empty";
  const allowed = mode === "query" ? READS : WRITES;
  const bad = statements.find((word) => !allowed.has(word));
  if (bad !== undefined) {
    return mode === "query" && WRITES.has(bad)
      ? `${bad} is not for sql_query, which only reads; use sql_execute`
      : `${JSON.stringify(bad.slice(0, 40))} is not allowed here; allowed: ${[...allowed].join(", ")}${ADVICE[bad] ?? ""}`;
  }
  if (mode === "query" && statements.length > 1) return "sql_query takes one statement";
  return null;
}

const ADVICE: Record<string, string> = { pragma: ". sql_schema shows tables and columns" };

/**
 * The first word of each statement, in lower case; `explain` and `query plan` are passed over, so that what they
 * explain is judged. Inside a trigger the statements of its body count as statements, too.
 *
 * @returns null when a comment, string or quoted name does not end, or a parameter has brackets: what follows could
 *          not be told
 */
export function firstWords(sql: string): string[] | null {
  const words: string[] = [];
  let isStart = true;
  let at = 0;
  while (at < sql.length) {
    const token = tokenAt(sql, at);
    if (token === null) return null;
    at = token.end;
    if (token.kind === "blank") continue;
    if (token.kind === "semicolon") {
      isStart = true;
      continue;
    }
    if (!isStart) continue;
    const word = token.text.toLowerCase();
    if (word === "explain") continue;
    const plan = word === "query" ? /^\s+plan\b/i.exec(sql.slice(at)) : null;
    if (plan) {
      at += plan[0].length;
      continue;
    }
    words.push(word);
    isStart = false;
  }
  return words;
}

const PARAMETER_CHARS_MAX = 200;

interface Token {
  kind: "blank" | "semicolon" | "other";
  text: string;
  end: number;
}

/**
 * As SQLite's tokenizer (tokenize.c) tells them apart; whatever is no blank, comment, string, quoted name, word,
 * parameter or semicolon is one character.
 */
function tokenAt(sql: string, at: number): Token | null {
  const char = sql[at] as string;
  const rest = (kind: Token["kind"], end: number): Token => ({ kind, text: sql.slice(at, end), end });
  if (/[ \t\n\f\r]/.test(char)) return rest("blank", at + 1);
  if (char === ";") return rest("semicolon", at + 1);
  if (sql.startsWith("--", at)) {
    const end = sql.indexOf("\n", at);
    return rest("blank", end < 0 ? sql.length : end + 1);
  }
  if (sql.startsWith("/*", at)) {
    const end = sql.indexOf("*/", at + 2);
    return end < 0 ? null : rest("blank", end + 2);
  }
  if (char === "'" || char === '"' || char === "`") {
    for (let from = at + 1; ; ) {
      const end = sql.indexOf(char, from);
      if (end < 0) return null;
      if (sql[end + 1] !== char) return rest("other", end + 1);
      from = end + 2;
    }
  }
  if (char === "[") {
    const end = sql.indexOf("]", at);
    return end < 0 ? null : rest("other", end + 1);
  }
  const parameter = /^[$@:#](?:[A-Za-z0-9_$\u0080-\uffff]|::)*/.exec(sql.slice(at, at + PARAMETER_CHARS_MAX));
  if (parameter !== null) {
    const end = at + parameter[0].length;
    // In the brackets of a name as Tcl has them, `$a(…)`, a quote is no quote: what follows could not be told.
    return sql[end] === "(" || parameter[0].length === PARAMETER_CHARS_MAX ? null : rest("other", end);
  }
  const word = /^[A-Za-z0-9_$\u0080-\uffff]+/.exec(sql.slice(at, at + 200));
  return rest("other", at + (word?.[0].length ?? 1));
}
