/** What must be true of every refusal, whatever was sent: a documented status, a code of the table, and no leak. */
import { expect, setDefaultTimeout } from "bun:test";
import { tmpdir } from "node:os";
import { isProblemCode, problems } from "../../../src/contract/problem.ts";
import { type Answer, OTHER_ORGANIZATION } from "../app.ts";
import type { Operation } from "./document.ts";

/** What an answer tells that is nobody's business: stacks, the database's own words, paths of this machine. */
const LEAKS: readonly RegExp[] = [
  /\bat [\w.<>]+ \(/,
  /\.ts:\d+/,
  /node_modules|bun:|\$bunfs/,
  /PostgresError|syntax error at|relation "|column "|violates|duplicate key|invalid byte sequence|sqlstate/i,
  new RegExp(OTHER_ORGANIZATION),
  new RegExp(process.cwd().replace(/[/.]/g, "\\$&")),
  new RegExp(`${tmpdir().replace(/[/.]/g, "\\$&")}/`),
];

/** Not built yet, or somebody else's fault: fine where an operation documents it. */
const DOCUMENTED_FAULTS = new Set([501, 502]);

/** Statuses that stand for the way to a route, which no operation documents. */
const NO_SUCH_ROUTE = new Set([404, 405]);

/**
 * What is wrong with the answer to a bad request; null when nothing is.
 *
 * @param options.isElsewhere  the request may have reached no route at all, or another one
 * @param options.mayPass      it may also be taken: the input is odd, not wrong
 */
export function complaintAbout(
  operation: Operation,
  { status, headers, body }: Answer,
  options: { isElsewhere?: boolean; mayPass?: boolean; code?: RegExp } = {},
): string | null {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const leak = LEAKS.find((pattern) => pattern.test(text ?? ""));
  if (leak) return `${status} leaks ${leak}: ${text.slice(0, 300)}`;
  if (status < 400) return options.mayPass ? null : `${status}: it was taken`;
  if (status >= 500 && !DOCUMENTED_FAULTS.has(status)) return `${status} ${text.slice(0, 300)}`;
  const isDocumented =
    operation.responses[status]?.["application/problem+json"] !== undefined ||
    (options.isElsewhere && NO_SUCH_ROUTE.has(status));
  if (!isDocumented) return `${status} is not documented: ${body?.code} ${body?.detail}`;
  if (headers.get("content-type") !== "application/problem+json") {
    return `${status} comes as ${headers.get("content-type")}`;
  }
  const { code, detail, error } = body;
  if (!isProblemCode(code) || problems[code].status !== status) return `${status} with the code ${code}`;
  if (body.status !== status || error?.code !== code || error?.message !== detail) return `the body: ${text}`;
  if (options.code && !options.code.test(code)) return `${code} (${detail}), not ${options.code}`;
  return null;
}

/** Counts cases and keeps what went wrong; every file of test/api/bad-input has one. */
export interface Tally {
  /** @param complaint  null: as it should be */
  add(operation: Operation, name: string, complaint: string | null): void;
  /** Fails when anything was wrong, and forgets it. */
  expectNone(): void;
  /** One line with all that was tried. */
  report(): void;
}

const SHOWN_MAX = 40;
/** Thousands of requests in one test, on a machine that may have other things to do. */
setDefaultTimeout(180_000);

export function createTally(concern: string): Tally {
  const routes = new Set<string>();
  let cases = 0;
  let wrong: string[] = [];
  return {
    add(operation, name, complaint) {
      routes.add(operation.name);
      cases += 1;
      if (complaint !== null) wrong.push(`${operation.name}, ${name}: ${complaint}`);
    },
    expectNone() {
      const found = wrong;
      wrong = [];
      expect(found.slice(0, SHOWN_MAX)).toEqual([]);
    },
    report() {
      console.log(`bad input, ${concern}: ${routes.size} routes, ${cases} cases`);
    },
  };
}
