import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { UserError } from "../../src/base/errors.ts";
import type { OutboundOptions } from "../../src/capabilities/outbound.ts";
import {
  archiveUrls,
  createRepositoryFetch,
  type RepositorySource,
} from "../../src/capabilities/repository.ts";
import { limits } from "../../src/contract/limits.ts";

/** For `good.test` and `*.good.test`; see web-fetch.test.ts. */
const CERTIFICATE = await Bun.file(`${import.meta.dir}/../support/tls/good.test.cert.pem`).text();
const KEY = await Bun.file(`${import.meta.dir}/../support/tls/good.test.key.pem`).text();

let forge: ReturnType<typeof Bun.serve>;
const archives = new Map<string, () => Response>();
const asked: string[] = [];
beforeAll(() => {
  forge = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { key: KEY, cert: CERTIFICATE },
    fetch(request) {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      return archives.get(pathname)?.() ?? new Response("nothing here", { status: 404 });
    },
  });
});
afterAll(() => forge.stop(true));

const archiveOf = async (files: Record<string, string | Uint8Array>) =>
  new Bun.Archive(files as Record<string, string>, { compress: "gzip" }).bytes();
const source = (path: string, more: Partial<RepositorySource> = {}): RepositorySource =>
  ({
    provider: "git",
    url: `https://good.test:${forge.port}${path}`,
    branch: "main",
    ...more,
  }) as RepositorySource;
const fetchFiles = async (from: RepositorySource, options: OutboundOptions = {}) => {
  const fetchRepository = createRepositoryFetch({
    allowPrivateHosts: ["good.test"],
    resolve: async () => ["127.0.0.1"],
    extraCa: CERTIFICATE,
    ...options,
  });
  const files = await fetchRepository(from, new AbortController().signal);
  return files.map((file) => [file.path, Buffer.from(file.bytes).toString()]).sort();
};
const reasonOf = async (promise: Promise<unknown>) => {
  try {
    return `${JSON.stringify(await promise)}`;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
};

describe("the archive of a branch", () => {
  const addresses: [RepositorySource, string[]][] = [
    [
      { provider: "github", repository: "o/r", branch: "a/b" },
      ["https://github.com/o/r/archive/refs/heads/a/b.tar.gz"],
    ],
    [
      { provider: "git", url: "https://github.com/o/r.git", branch: "main" },
      ["https://github.com/o/r/archive/refs/heads/main.tar.gz"],
    ],
    [
      { provider: "git", url: "https://gitlab.com/g/s/p.git", branch: "a/b" },
      ["https://gitlab.com/g/s/p/-/archive/a/b/p-a-b.tar.gz", "https://gitlab.com/g/s/p/archive/a/b.tar.gz"],
    ],
  ];
  for (const [from, urls] of addresses) {
    test(`is where the forge has it: ${urls[0]}`, () => expect(archiveUrls(from)).toEqual(urls));
  }

  test("is unpacked without the directory around, what no tree takes left out", async () => {
    const files = {
      "r-main/README.md": "read me",
      "r-main/docs/a.md": "a",
      "r-main/docs/deep/b.bin": new Uint8Array([0, 1, 2]),
      "r-main/.git/config": "secret",
      "r-main/.github/x.yml": "x",
      "r-main/_/reserved.md": "reserved",
      "r-main/huge.bin": new Uint8Array(limits.wholeFileBytesMax + 1),
    };
    const bytes = await archiveOf(files);
    archives.set("/o/r/archive/main.tar.gz", () => new Response(bytes));
    expect(await fetchFiles(source("/o/r.git"))).toEqual([
      ["/.github/x.yml", "x"],
      ["/README.md", "read me"],
      ["/docs/a.md", "a"],
      ["/docs/deep/b.bin", "\0\u0001\u0002"],
    ]);
    expect(asked).toEqual(["/o/r/-/archive/main/r-main.tar.gz", "/o/r/archive/main.tar.gz"]);
    expect(await fetchFiles(source("/o/r.git", { root_folder: "docs" }))).toEqual([
      ["/a.md", "a"],
      ["/deep/b.bin", "\0\u0001\u0002"],
    ]);
    expect(await reasonOf(fetchFiles(source("/o/r", { root_folder: "doc" })))).toContain("folder doc");
  });

  test("that cannot be had, or is not what it should be, is refused with the reason", async () => {
    const set = (name: string, answer: () => Response) =>
      archives.set(`/${name}/archive/main.tar.gz`, answer);
    set("login", () => new Response("<html>log in</html>", { headers: { "content-type": "text/html" } }));
    set("down", () => new Response("", { status: 503 }));
    set("damaged", () => new Response(gzipSync("x".repeat(5_000)).subarray(0, 20)));
    set("large", () => {
      const bytes = new Uint8Array(limits.repositoryArchiveBytesMax + 1);
      bytes.set([0x1f, 0x8b]);
      return new Response(bytes);
    });
    const bomb = gzipSync(new Uint8Array(limits.repositoryBytesMax + 1));
    set("bomb", () => new Response(bomb));
    set("away", () => new Response(null, { status: 302, headers: { location: "http://169.254.169.254/" } }));
    const cases: [RepositorySource, string][] = [
      [source("/none"), "no public archive"],
      [source("/login"), "no public archive"],
      [source("/down"), "503"],
      [source("/damaged"), "damaged"],
      [source("/large"), "larger"],
      [source("/bomb"), "larger"],
      [source("/away"), "169.254.169.254"],
      [{ provider: "git", url: "ssh://git@good.test/x.git", branch: "main" }, "only https"],
    ];
    for (const [from, reason] of cases) {
      expect(await reasonOf(fetchFiles(from))).toContain(reason);
    }
    const guarded = await reasonOf(fetchFiles(source("/o/r"), { allowPrivateHosts: [] }));
    expect(guarded).toContain("loopback");
  });
});
