/** Every parameter of every query: wrong types, one over each limit, twice, and texts that mean something to somebody. */
import { afterAll, beforeAll, test } from "bun:test";
import { complaintAbout, createTally } from "../../support/api/bad-input.ts";
import { branchesOf, type Schema, typesOf } from "../../support/api/document.ts";
import { ODD_SEGMENTS } from "../../support/api/odd-texts.ts";
import { sampleOf } from "../../support/api/samples.ts";
import { createWorld, type World } from "../../support/api/world.ts";
import { testApp } from "../../support/app.ts";

const tally = createTally("parameters of queries");
let world: World;

beforeAll(async () => {
  world = await createWorld(await testApp());
});
afterAll(async () => {
  tally.report();
  await world.app.close();
});

/** Values that a parameter's schema refuses, as text. */
function wrongTexts(schema: Schema): [why: string, text: string][] {
  return branchesOf(world.document, schema).flatMap((branch): [string, string][] => {
    const type = typesOf(branch)[0];
    if (type === "array") return branch.items ? wrongTexts(branch.items) : [];
    if (branch.enum) return [["a value that is none", "no-such-value"]];
    if (branch.format === "date-time") return [["no time", "yesterday"]];
    if (type === "boolean")
      return [
        ["a word for a boolean", "maybe"],
        ["a number for a boolean", "2"],
      ];
    if (type === "integer" || type === "number") {
      return [
        ["a word for a number", "ten"],
        ["a fraction", "1.5x"],
        ["a number beyond every integer", "99999999999999999999"],
        ["infinity", "Infinity"],
        ...(branch.maximum === undefined
          ? []
          : [["one too large", String(branch.maximum + 1)] as [string, string]]),
        ...(branch.minimum === undefined
          ? []
          : [["one too small", String(branch.minimum - 1)] as [string, string]]),
      ];
    }
    const cases: [string, string][] = [];
    if (branch.pattern?.includes("[0-9a-f]{32}")) cases.push(["no id", "no-such-id"]);
    if (branch.maxLength !== undefined)
      cases.push(["one character too many", "x".repeat(branch.maxLength + 1)]);
    return cases;
  });
}

/** The query in which everything that is required is right. */
const requiredOf = (query: { name: string; required?: boolean; schema: Schema }[], but: string) =>
  query
    .filter(({ name, required }) => required && name !== but)
    .map(({ name, schema }) => `&${name}=${sampleOf(world.document, schema, { isFull: false })}`)
    .join("");

test("a value that its schema refuses is refused, with the name of the parameter", async () => {
  for (const operation of world.operations) {
    for (const { name, schema } of operation.query) {
      for (const [why, text] of wrongTexts(schema)) {
        const query = `?${name}=${encodeURIComponent(text)}${requiredOf(operation.query, name)}`;
        const answer = await world.call(operation, { query, body: world.bodyOf(operation, false) });
        const isNamed = String(answer.body?.detail).includes(name) || answer.body?.code === "invalid_id";
        const complaint = complaintAbout(operation, answer, {
          code: /^(invalid_|limit_exceeded|unknown_event_type)/,
        });
        tally.add(
          operation,
          `${name}=${text}, ${why}`,
          complaint ?? (isNamed ? null : `the parameter is not named: ${answer.body.detail}`),
        );
      }
    }
  }
  tally.expectNone();
});

test("odd texts, repeated keys and pages far out are answered, and hurt nobody", async () => {
  for (const operation of world.operations) {
    for (const { name, schema } of operation.query) {
      // What is read as yes would wait for a worker, and there is none.
      if (name === "wait") continue;
      const required = requiredOf(operation.query, name);
      const queries = [
        ...ODD_SEGMENTS.map(([why, text]) => [why, `?${name}=${text}${required}`]),
        ["nothing", `?${name}=${required}`],
        ["no value", `?${name}${required}`],
        ["twice", `?${name}=1&${name}=2${required}`],
        ["as a field of an object", `?${name}[a]=1&${name}.b=2${required}`],
        ["a thousand times", `?${Array(1_000).fill(`${name}=x`).join("&")}${required}`],
      ] as [string, string][];
      if (typesOf(schema).includes("integer")) queries.push(["far out", `?${name}=2147483647${required}`]);
      for (const [why, query] of queries) {
        const answer = await world.call(operation, { query, body: world.bodyOf(operation, false) });
        tally.add(operation, `${name} is ${why}`, complaintAbout(operation, answer, { mayPass: true }));
      }
    }
  }
  tally.expectNone();
});

test("parameters that nobody knows are passed over", async () => {
  for (const operation of world.operations.filter(({ method }) => method === "GET")) {
    const required = requiredOf(operation.query, "");
    const plain = await world.call(operation, { query: `?${required}` });
    const more = await world.call(operation, { query: `?no_such=1&__proto__=x&constructor=y${required}` });
    const complaint = plain.status === more.status ? null : `${more.status} instead of ${plain.status}`;
    tally.add(operation, "unknown parameters", complaint);
  }
  tally.expectNone();
});
