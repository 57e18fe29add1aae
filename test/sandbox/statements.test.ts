import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { firstWords, refuseSql } from "../../src/sandbox/statements.ts";

const words: [string, string[] | null][] = [
  ["", []],
  [" ;; \n", []],
  ["select 1", ["select"]],
  ["SELECT 1;;DELETE from t;", ["select", "delete"]],
  ["-- attach\nselect 1", ["select"]],
  ["/* ; attach */ select ';attach' , \"a;b\"\"c\", `d;`, [e;], 'it''s;'", ["select"]],
  ["/**/attach", ["attach"]],
  ["select 1/* \n */;/* x */attach 'y' as z", ["select", "attach"]],
  ["explain select 1", ["select"]],
  ["EXPLAIN QUERY PLAN attach 'x' as y", ["attach"]],
  ["explain query\n plan explain attach 'x' as y", ["attach"]],
  [
    "create trigger t after insert on a begin delete from b; end; insert into a values (1)",
    ["create", "end", "insert"],
  ],
  ["(select 1)", ["("]],
  ["\uFEFFattach 'x' as y", ["\uFEFFattach"]],
  ["select 1;\u00a0attach 'x' as y", ["select", "\u00a0attach"]],
  ["select 1 /* open", null],
  ["select 'open", null],
  ['select "open', null],
  ["select [open", null],
  ["select $a, :b, @c::d, ?1;delete from t", ["select", "delete"]],
  ["select $a(');attach 'x' as y;--')", null],
  ["select @a::b(\");vacuum into 'x';--\")", null],
  ["select a$b('x');attach 'x' as y", ["select", "attach"]],
];
for (const [sql, expected] of words) {
  test(`first words of ${JSON.stringify(sql)}`, () => expect(firstWords(sql)).toEqual(expected));
}

const modes: ["execute" | "query", string, string | null][] = [
  ["execute", "create table t (a); insert into t values (1)", null],
  ["execute", "begin; delete from t; commit", null],
  ["query", "with x as (select 1) select * from x;", null],
  ["query", "explain query plan select 1", null],
  ["query", "select 1; select 2", "one statement"],
  ["query", "delete from t", "use sql_execute"],
  ["execute", "attach '/etc/passwd' as p", "not allowed"],
  ["execute", "vacuum into '/tmp/x'", "not allowed"],
  ["execute", "pragma journal_mode", "sql_schema"],
  ["query", "pragma table_info(t)", "not allowed"],
  ["execute", "detach x", "not allowed"],
  ["execute", ".import /etc/passwd t", "not allowed"],
  ["execute", "constructor", "not allowed"],
  ["execute", "", "empty"],
  ["execute", "select '\0'", "NUL"],
];
describe("what may run", () => {
  for (const [mode, sql, complaint] of modes) {
    test(`${mode}: ${JSON.stringify(sql)}`, () => {
      if (complaint === null) expect(refuseSql(sql, mode)).toBeNull();
      else expect(refuseSql(sql, mode)).toContain(complaint);
    });
  }

  test("however a statement is wrapped, its first word is seen", () => {
    const filler = fc.constantFrom(
      " ",
      "\n",
      "\t",
      "-- x;\n",
      "/* ; ' */",
      ";",
      ";;",
      "/***/",
      "--'\n",
      "\f",
      "\r",
    );
    const before = fc.constantFrom(
      "",
      "select 1;",
      "select ';';",
      'select "a;" ;',
      "select '''' ;",
      "select [;];",
    );
    fc.assert(
      fc.property(before, fc.array(filler, { maxLength: 8 }), (head, parts) => {
        expect(refuseSql(`${head}${parts.join("")}attach 'x' as y`, "execute")).toContain('"attach"');
      }),
    );
  });

  test("what SQLite would carry out is what was judged", () => {
    const opening = fc.constantFrom("'", '"', "`", "[", "--", "/*", "", "x'", "::");
    const parameter = fc
      .tuple(fc.constantFrom("$a(", "@a(", ":a(", "#a(", "$a::b(", "$(", "f("), opening)
      .map(([head, quote]) => `${head}${quote})`);
    const value = fc.oneof(
      parameter,
      fc.constantFrom("1", "'a;b'", '"a"', "`a`", "[a]", "x'00'", "$a", ":a::b", "?1", "1e3", "/* ' */ 1"),
    );
    const closing = fc.constantFrom("", "--'", '--"', "--`", "--]", "--*/", "/*", ")");
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 4 }), closing, (values, end) => {
        const sql = `select ${values.join(", ")};attach ':memory:' as sneaked;${end}`;
        if (refuseSql(sql, "execute") !== null) return;
        const db = new Database(":memory:");
        try {
          db.run(sql);
        } catch {
          // What was carried out before the error stands.
        }
        const attached = db.query("select name from pragma_database_list").values().flat();
        db.close();
        expect(attached).not.toContain("sneaked");
      }),
      { numRuns: 3_000 },
    );
  });
});
