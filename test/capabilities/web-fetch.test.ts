import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { type Invoked, invokeTool } from "../../src/capabilities/invoke.ts";
import { type WebFetchOptions, webFetchCapability } from "../../src/capabilities/web-fetch.ts";
import { limits } from "../../src/contract/limits.ts";
import { toolContext } from "../support/tool-context.ts";

/** For `good.test` and `*.good.test`, valid to 2126; made by `openssl req -x509 …` for this test alone. */
const CERTIFICATE = await Bun.file(`${import.meta.dir}/../support/tls/good.test.cert.pem`).text();
const KEY = await Bun.file(`${import.meta.dir}/../support/tls/good.test.key.pem`).text();

/** Hosts of the requests that arrived, to see what was sent and what was not. */
const arrived: string[] = [];
let plain: ReturnType<typeof Bun.serve>;
let secure: ReturnType<typeof Bun.serve>;
let gone = Promise.withResolvers<void>();

const encoded = (body: Uint8Array | string, encoding: string, type = "text/plain") =>
  new Response(body, { headers: { "content-encoding": encoding, "content-type": type } });
const redirect = (location: string, status = 302) => new Response(null, { status, headers: { location } });
const zeros = (megabytes: number) => new Uint8Array(megabytes * 1024 * 1024).fill(97);

const pages: Record<string, (request: Request, url: URL) => Response> = {
  "/text": () => new Response("plain words"),
  "/json": () => Response.json({ a: [1, 2] }),
  "/html": () =>
    new Response("<title>T</title><h1>Hello</h1><p>a <a href=/x>link</a>", {
      headers: { "content-type": "text/html" },
    }),
  "/latin1": () =>
    new Response(new Uint8Array([0x63, 0x61, 0x66, 0xe9]), {
      headers: { "content-type": "text/plain; charset=iso-8859-1" },
    }),
  "/png": () => new Response(new Uint8Array([0x89, 0x50]), { headers: { "content-type": "image/png" } }),
  "/lying": () => new Response(new Uint8Array([1, 0, 2]), { headers: { "content-type": "text/plain" } }),
  "/missing": () => new Response("nothing here", { status: 404, statusText: "Not Found" }),
  "/headers": (request) => Response.json(Object.fromEntries(request.headers)),
  "/gzip": () => encoded(gzipSync("zipped words"), "gzip"),
  "/deflate": () => encoded(deflateSync("zipped words"), "deflate"),
  "/br": () => encoded(brotliCompressSync("zipped words"), "br"),
  "/strange": () => encoded("x", "constructor"),
  "/torn": () => encoded(gzipSync(randomBytes(5000)).subarray(0, 2000), "gzip"),
  "/bomb": () => encoded(gzipSync(zeros(64)), "gzip"),
  "/large": () => new Response(zeros(3), { headers: { "content-type": "text/plain" } }),
  "/long": () => new Response(Array.from({ length: 5000 }, (_, index) => `line ${index}`).join("\n")),
  "/empty": () => new Response(""),
  "/endless": () =>
    new Response(
      new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(97)) }),
    ),
  "/silent": () => {
    return new Response(
      new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode("a first word"));
        },
        cancel: () => gone.resolve(),
      }),
    );
  },
  "/loop": () => redirect("/loop"),
  "/to": (_, url) =>
    redirect(url.searchParams.get("url") ?? "", Number(url.searchParams.get("status") ?? 302)),
};

beforeAll(() => {
  const fetch = (request: Request) => {
    const url = new URL(request.url);
    arrived.push(`${request.headers.get("host")}${url.pathname}`);
    return pages[url.pathname]?.(request, url) ?? new Response("no such page", { status: 404 });
  };
  plain = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch });
  secure = Bun.serve({ port: 0, hostname: "127.0.0.1", tls: { key: KEY, cert: CERTIFICATE }, fetch });
});
afterAll(async () => {
  await plain.stop(true);
  await secure.stop(true);
});

/** Every name ending in `.test` is this machine, allowed unless the test says otherwise. */
const here = async (host: string) =>
  host.endsWith(".test") ? ["127.0.0.1"] : Promise.reject(new Error("ENOTFOUND"));

function fetchPage(
  input: Record<string, unknown>,
  options: WebFetchOptions = {},
  context: Parameters<typeof toolContext>[0] = {},
): Promise<Invoked> {
  const capability = webFetchCapability({
    allowPrivateHosts: ["*.test"],
    resolve: here,
    extraCa: CERTIFICATE,
    ...options,
  });
  const [tool] = capability.tools(undefined);
  return invokeTool(tool!, JSON.stringify(input), toolContext(context), {
    timeoutMs: 60_000,
    outputBytesMax: limits.toolResultBytesMax,
  });
}

const plainUrl = (path: string) => `http://page.test:${plain.port}${path}`;
async function contentOf(promise: Promise<Invoked>): Promise<string> {
  const outcome = await promise;
  if (!outcome.ok) throw new Error(`the fetch failed: ${outcome.error}`);
  return outcome.content;
}
async function errorOf(promise: Promise<Invoked>): Promise<string> {
  const outcome = await promise;
  if (outcome.ok) throw new Error(`the fetch succeeded: ${outcome.content}`);
  expect(outcome.fault).toBeUndefined();
  return outcome.error;
}

const shown: [string, string, string[]][] = [
  ["plain text", "/text", ["plain words"]],
  ["JSON as it is", "/json", ['{"a":[1,2]}', "Type: application/json"]],
  [
    "HTML as Markdown, with title and whole links",
    "/html",
    ["Title: T", "# Hello", "a [link](http://page.test:"],
  ],
  ["another charset", "/latin1", ["café"]],
  ["gzip", "/gzip", ["zipped words"]],
  ["deflate", "/deflate", ["zipped words"]],
  ["brotli", "/br", ["zipped words"]],
  ["nothing", "/empty", ["(empty)"]],
];
for (const [name, path, parts] of shown) {
  test(`shows ${name}`, async () => {
    const content = await contentOf(fetchPage({ url: plainUrl(path) }));
    for (const part of parts) expect(content).toContain(part);
  });
}

test("raw shows the source", async () => {
  expect(await contentOf(fetchPage({ url: plainUrl("/html"), format: "raw" }))).toContain("<h1>Hello</h1>");
});

test("a long page is read in parts that join without a gap", async () => {
  const whole = Array.from({ length: 5000 }, (_, index) => `line ${index}`).join("\n");
  let text = "";
  for (let offset = 0; ; ) {
    const content = await contentOf(fetchPage({ url: plainUrl("/long"), offset, max_chars: 20_000 }));
    const more = /\n\[… read on with offset=(\d+)\]$/.exec(content);
    text += content.slice(content.indexOf("\n\n") + 2, more?.index);
    if (!more) break;
    offset = Number(more[1]);
  }
  expect(text).toBe(whole);
  expect(await errorOf(fetchPage({ url: plainUrl("/long"), offset: 1_000_000 }))).toContain(
    "nothing from 1000000 on",
  );
});

const failures: [string, () => string, string][] = [
  ["an image", () => plainUrl("/png"), "The answer is image/png"],
  ["binary data under the name of text", () => plainUrl("/lying"), "binary data"],
  [
    "a page that is not there, with its words",
    () => plainUrl("/missing"),
    "answered 404 Not Found:\nnothing here",
  ],
  ["an encoding nobody knows", () => plainUrl("/strange"), "the encoding constructor"],
  ["an answer that is torn", () => plainUrl("/torn"), "broke off or is damaged"],
  ["a host nobody knows", () => "http://nowhere.example/", "nowhere.example is not known"],
  ["a port nobody listens on", () => "http://page.test:1/", "could not be reached"],
  ["another scheme", () => "file:///etc/passwd", "only https and http"],
  ["no scheme", () => "example.com", "is not a URL"],
  ["a password in the URL", () => "http://ada:canary@page.test/", "carries a user name or password"],
  ["too many redirects", () => plainUrl("/loop"), "More than 5 redirects"],
  ["a redirect to another scheme", () => plainUrl("/to?url=file:///etc/passwd"), "The redirect of page.test"],
];
for (const [name, url, expected] of failures) {
  test(`says why it cannot show ${name}`, async () => {
    const error = await errorOf(fetchPage({ url: url() }));
    expect(error).toContain(expected);
    expect(error).not.toContain("canary");
    expect(error).not.toContain("127.0.0.1");
  });
}

const attacks: [string, () => string][] = [
  ["this machine by name", () => `http://localhost:${plain.port}/text`],
  ["this machine by number", () => `http://127.0.0.1:${plain.port}/text`],
  ["this machine in decimal", () => `http://2130706433:${plain.port}/text`],
  ["this machine in octal", () => `http://0177.0.0.1:${plain.port}/text`],
  ["this machine, mapped", () => `http://[::ffff:127.0.0.1]:${plain.port}/text`],
  ["this machine over IPv6", () => `http://[::1]:${plain.port}/text`],
  ["all addresses", () => `http://0.0.0.0:${plain.port}/text`],
  ["the cloud's metadata", () => "http://169.254.169.254/latest/meta-data/"],
  ["a private network", () => "http://10.0.0.1/"],
  ["a name for this machine", () => `http://inside.evil:${plain.port}/text`],
  ["a name for this and the public", () => `http://both.evil:${plain.port}/text`],
];
const evil: Record<string, string[]> = {
  "inside.evil": ["127.0.0.1"],
  "both.evil": ["93.184.216.34", "127.0.0.1"],
  localhost: ["127.0.0.1", "::1"],
};
for (const [name, url] of attacks) {
  test(`does not reach inside: ${name}, asked for and redirected to`, async () => {
    const resolve = async (host: string) => evil[host] ?? here(host);
    const before = arrived.filter((path) => path.endsWith("/text")).length;
    expect(await errorOf(fetchPage({ url: url() }, { resolve }))).toContain("may not reach");
    const from = plainUrl(`/to?url=${encodeURIComponent(url())}`);
    for (const status of [301, 302, 303, 307, 308]) {
      expect(await errorOf(fetchPage({ url: `${from}&status=${status}` }, { resolve }))).toContain(
        "may not reach",
      );
    }
    expect(arrived.filter((path) => path.endsWith("/text"))).toHaveLength(before);
  });
}

test("a name that resolves differently the second time gains nothing (DNS rebinding)", async () => {
  const addresses = ["127.0.0.1", "10.0.0.1"];
  let asked = 0;
  const options = {
    resolve: async () => [addresses[asked++] ?? "10.0.0.1"],
    allowPrivateHosts: ["127.0.0.1"],
  };
  const before = arrived.length;
  const url = `http://rebind.evil:${plain.port}`;
  // One question for one request: what was judged is what is connected to.
  expect(await contentOf(fetchPage({ url: `${url}/text` }, options))).toContain("plain words");
  expect(asked).toBe(1);
  // The next request, here by redirect, asks and judges again.
  asked = 0;
  expect(await errorOf(fetchPage({ url: `${url}/to?url=/text` }, options))).toContain(
    "rebind.evil is a private",
  );
  expect(asked).toBe(2);
  expect(arrived.slice(before)).toEqual([`rebind.evil:${plain.port}/text`, `rebind.evil:${plain.port}/to`]);
});

test("the connection goes to the address that was judged, under the name of the URL", async () => {
  const content = await contentOf(fetchPage({ url: `http://some-name.test:${plain.port}/headers` }));
  const headers = JSON.parse(content.slice(content.indexOf("{")));
  expect(headers.host).toBe(`some-name.test:${plain.port}`);
  expect(headers["accept-encoding"]).toBe("gzip, deflate, br");
  expect(headers.authorization).toBeUndefined();
  expect(headers.cookie).toBeUndefined();
});

test("over TLS the certificate must be for the name of the URL, not for the address", async () => {
  const fetchFrom = (host: string, options: WebFetchOptions = {}) =>
    fetchPage({ url: `https://${host}:${secure.port}/text` }, options);
  expect(await contentOf(fetchFrom("good.test"))).toContain("plain words");
  expect(await contentOf(fetchFrom("www.good.test"))).toContain("plain words");
  expect(await errorOf(fetchFrom("bad.test"))).toContain("ERR_TLS_CERT_ALTNAME_INVALID");
  expect(await errorOf(fetchFrom("good.test", { extraCa: "" }))).toContain("SELF_SIGNED_CERT");
});

test("another address of the host is tried when the first does not answer", async () => {
  // 127.0.0.2 is this machine too, but the server listens on 127.0.0.1 alone.
  const resolve = async () => ["127.0.0.2", "127.0.0.1"];
  expect(await contentOf(fetchPage({ url: plainUrl("/text") }, { resolve }))).toContain("plain words");
});

test("what the agent may not reach is refused before anything is sent, also by redirect", async () => {
  const before = arrived.length;
  const blocked = { network: { blocked: ["*.page.test", "other.test"] } };
  expect(await errorOf(fetchPage({ url: plainUrl("/text") }, {}, blocked))).toContain("blocked");
  expect(arrived).toHaveLength(before);
  const allowed = { network: { allowed: ["page.test"] } };
  expect(await contentOf(fetchPage({ url: plainUrl("/text") }, {}, allowed))).toContain("plain words");
  const away = plainUrl(`/to?url=${encodeURIComponent(`http://other.test:${plain.port}/text`)}`);
  expect(await errorOf(fetchPage({ url: away }, {}, allowed))).toContain("other.test is not among the hosts");
});

for (const path of ["/bomb", "/large", "/endless"]) {
  test(`no more than the limit is read of ${path}`, async () => {
    const bytesMax = 1024 * 1024;
    const content = await contentOf(fetchPage({ url: plainUrl(path), offset: bytesMax - 50 }, { bytesMax }));
    expect(content).toContain(`Characters: ${bytesMax - 50}-${bytesMax} of ${bytesMax}`);
    expect(content).toContain("[… the page is longer, but no more of it was fetched]");
  });
}

test("a server that falls silent is left after the time limit", async () => {
  gone = Promise.withResolvers();
  expect(await errorOf(fetchPage({ url: plainUrl("/silent") }, { timeoutMs: 200 }))).toBe(
    "No complete answer within 0.2 s.",
  );
  await gone.promise;
});

test("a resolver that falls silent is left after the time limit", async () => {
  const resolve = () => new Promise<string[]>(() => {});
  expect(await errorOf(fetchPage({ url: plainUrl("/text") }, { resolve, timeoutMs: 100 }))).toContain(
    "No complete answer",
  );
});

test("a cancelled call closes its connection", async () => {
  gone = Promise.withResolvers();
  const cancel = new AbortController();
  const seen = arrived.length;
  const outcome = fetchPage({ url: plainUrl("/silent") }, {}, { signal: cancel.signal });
  while (arrived.length === seen) await new Promise((resolve) => setImmediate(resolve));
  cancel.abort();
  expect(await outcome).toMatchObject({ ok: false, status: "cancelled" });
  await gone.promise;
});
