import { expect, test } from "bun:test";
import { limits } from "../../src/contract/limits.ts";
import { PROVIDER_TYPES } from "../../src/contract/provider.ts";
import { checkBaseUrl, createDriver, createDriverDeps } from "../../src/llm/registry.ts";

const deps = createDriverDeps();
const at = (baseUrl: string | null, apiKey: string | null = "k") =>
  createDriver({ providerType: "openai", apiKey, baseUrl }, deps);

test("every provider type has its driver", () => {
  for (const providerType of PROVIDER_TYPES) {
    expect(createDriver({ providerType, apiKey: "k", baseUrl: null }, deps)).toHaveProperty("stream");
  }
});

const REFUSED: [name: string, make: () => unknown, says: RegExp][] = [
  [
    "an unknown type",
    () => createDriver({ providerType: "gemini", apiKey: "k", baseUrl: null }, deps),
    /gemini.*openai/,
  ],
  ["no key for the vendor's own address", () => at(null, null), /no API key/],
  ["a blank key", () => at(null, "  "), /no API key/],
  ["a file", () => at("file:///etc/passwd"), /http or https/],
  ["another scheme", () => at("ftp://x.example"), /http or https/],
  ["no address at all", () => at("localhost"), /http or https/],
  ["credentials in the address", () => at("https://me:secret@x.example/v1"), /credentials/],
];
for (const [name, make, says] of REFUSED) {
  test(`${name} is the operator's to mend`, () => {
    expect(make).toThrow(expect.objectContaining({ name: "UserError", code: "provider_misconfigured" }));
    expect(make).toThrow(says);
    expect(make).not.toThrow(/secret/);
  });
}

test("any http address may be used, a local server without a key too", () => {
  for (const url of ["http://127.0.0.1:11434/v1", "http://10.0.0.5/v1", "https://api.example.com"])
    checkBaseUrl(url);
  expect(at("http://127.0.0.1:11434/v1", null)).toHaveProperty("stream");
});

test("the bounds are those of the limits table", () => {
  expect(deps).toMatchObject({ stallMs: limits.providerStallMs, retriesMax: limits.providerRetriesMax });
});
