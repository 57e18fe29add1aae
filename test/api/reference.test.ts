/** The reference page: it needs nothing from elsewhere, and its policy lets nothing else in. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Answer, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
let page: Answer;

beforeAll(async () => {
  app = await testApp({ access: {} });
  page = await app.get("//api-doc");
});
afterAll(() => app.close());

/** What stands between a tag and its end. */
const inside = (tag: string): string =>
  new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(page.body)?.[1] ?? "";
const sha256 = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("base64");

describe("the reference page", () => {
  test("is HTML for everybody, also where callers must say who they are", () => {
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(page.body).toStartWith("<!doctype html>");
  });

  test("lets the browser run its own script and style, by their hashes, and nothing else", () => {
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`script-src 'sha256-${sha256(inside("script"))}'`);
    expect(policy).toContain(`style-src 'sha256-${sha256(inside("style"))}'`);
    expect(policy).not.toMatch(/unsafe|\*/);
    expect(page.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("has no address of anywhere else, no handler in its markup, and writes no markup of its own", () => {
    const markup = page.body.replace(inside("script"), "");
    const addresses = [...markup.matchAll(/(?:src|href|url)\s*[=(]\s*["']?([^"'\s)>]+)/g)];
    expect([...new Set(addresses.map(([, address]) => address))]).toEqual([
      "data:,",
      "/api-doc/openapi.json",
    ]);
    expect([...inside("script").matchAll(/fetch\((.*?)\)/g)].map(([, address]) => address)).toEqual([
      '"/api-doc/openapi.json"',
    ]);
    expect(page.body).not.toMatch(/https?:\/\//);
    expect(markup).not.toMatch(/\son\w+=|style="/);
    expect(inside("script")).not.toMatch(
      /innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function/,
    );
  });

  test("has every place that its script fills", () => {
    const places = [...inside("script").matchAll(/find\("(\w+)"\)/g)].map(([, id]) => id ?? "");
    expect(places.length).toBeGreaterThan(5);
    expect(places.filter((id) => !page.body.includes(`id="${id}"`))).toEqual([]);
  });

  test("draws every operation under its own id", async () => {
    const { paths } = (await app.get("//api-doc/openapi.json")).body;
    const ids = Object.values(paths).flatMap((methods) =>
      Object.values(methods as object).map(({ operationId }) => operationId),
    );
    expect(ids.length).toBeGreaterThan(100);
    expect(ids.filter((id: string) => !/^[a-z][\w-]*$/.test(id))).toEqual([]);
  });
});
