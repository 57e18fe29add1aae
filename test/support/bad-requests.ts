/** Tables of requests that must be refused. */
import { expect } from "bun:test";
import { type ProblemCode, problems } from "../../src/contract/problem.ts";
import type { Answer } from "./app.ts";

/** Name, method, path, body, the expected code, and what the detail must say. */
export type BadRequest = [
  name: string,
  method: string,
  path: string,
  body: unknown,
  code: ProblemCode,
  detail: RegExp,
];

export function expectProblem(answer: Answer, code: ProblemCode, detail: RegExp): void {
  expect([answer.status, answer.body?.code, answer.body?.detail]).toEqual([
    problems[code].status,
    code,
    expect.stringMatching(detail),
  ]);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.body.error).toEqual({ code, message: answer.body.detail });
}

export const long = (length: number) => "x".repeat(length);
export const many = <T>(length: number, item: T): T[] => Array.from({ length }, () => item);
