/**
 * The launcher, with a stand-in for npm that fetches a stand-in for Bun: no network, and every step can be seen.
 */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const work = realpathSync(mkdtempSync(join(tmpdir(), "everruns-launcher-")));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const VERSION =
  /^BUN_VERSION=(.*)$/m.exec(readFileSync(join(import.meta.dir, "../everruns"), "utf8"))?.[1] ?? "";
let checkout = "";
let bin = "";

/** Says what it was called with; `install` and the packer leave what the real ones leave. */
const FAKE_BUN = `#!/bin/sh
case "$*" in
  --version) echo ${VERSION} ;;
  "install --frozen-lockfile") echo install >>"$CALLS"; mkdir -p node_modules ;;
  "scripts/pack-postgres.ts") echo pack >>"$CALLS"; mkdir -p src/embedded/archive; echo '{}' >src/embedded/archive/packed.json ;;
  *) echo "cwd=$PWD"; for arg; do echo "arg=$arg"; done ;;
esac
`;

/** Puts Bun where npm puts it; BLOCKED leaves a stub there, as npm does when it runs no install scripts. */
const FAKE_NPM = `#!/bin/sh
echo npm >>"$CALLS"
[ -z "\${NPM_SAYS:-}" ] || { echo "$NPM_SAYS"; exit 1; }
[ -z "\${NPM_WAITS:-}" ] || { echo waiting >"$NPM_WAITS.there"; while [ ! -e "$NPM_WAITS" ]; do sleep 0.05; done; }
modules="$3/node_modules"
mkdir -p "$modules/bun/bin" "$modules/@oven/bun-any/bin"
cp "$FAKES/bun" "$modules/@oven/bun-any/bin/bun"
if [ -n "\${BLOCKED:-}" ]; then printf '#!/bin/sh\\nexit 1\\n' >"$modules/bun/bin/bun.exe"; else cp "$FAKES/bun" "$modules/bun/bin/bun.exe"; fi
chmod +x "$modules/bun/bin/bun.exe" "$modules/@oven/bun-any/bin/bun"
`;

beforeEach(() => {
  const home = mkdtempSync(join(work, "case-"));
  checkout = join(home, "check out");
  bin = join(home, "bin");
  mkdirSync(join(checkout, "scripts"), { recursive: true });
  mkdirSync(bin);
  cpSync(join(import.meta.dir, "../everruns"), join(checkout, "everruns"));
  writeFileSync(join(checkout, "bun.lock"), "one");
  writeFileSync(join(checkout, "scripts/pack-postgres.ts"), "one");
  for (const [name, text] of [
    ["npm", FAKE_NPM],
    ["bun", FAKE_BUN],
  ] as const) {
    writeFileSync(join(bin, name), text);
    chmodSync(join(bin, name), 0o755);
  }
});

function launch(
  args: string[],
  options: { env?: Record<string, string>; cwd?: string; command?: string } = {},
) {
  const child = Bun.spawn([options.command ?? join(checkout, "everruns"), ...args], {
    cwd: options.cwd ?? work,
    env: { PATH: `${bin}:/usr/bin:/bin`, FAKES: bin, CALLS: join(bin, "calls"), ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const result = Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]).then(([out, err, code]) => ({
    out: out.split("\n").filter(Boolean),
    err: err.split("\n").filter(Boolean),
    code,
  }));
  return { result };
}

const calls = () =>
  existsSync(join(bin, "calls")) ? readFileSync(join(bin, "calls"), "utf8").split("\n").filter(Boolean) : [];
const program = () => [
  `cwd=${work}`,
  "arg=--no-env-file",
  `arg=--config=${checkout}/bunfig.toml`,
  `arg=${checkout}/cli/everruns.ts`,
];

describe("the first use", () => {
  test("fetches, installs and packs, says so on stderr, then runs the program in the caller's directory", async () => {
    const { out, err, code } = await launch(["run", "two words", ""]).result;
    expect(code).toBe(0);
    expect(out).toEqual([...program(), "arg=run", "arg=two words", "arg="]);
    expect(calls()).toEqual(["npm", "install", "pack"]);
    expect(err.map((line) => line.replace(/\d+ s$/, "N s"))).toEqual([
      "everruns: preparing this checkout, which is done once",
      `  1/3 fetching Bun ${VERSION} …`,
      `  1/3 fetching Bun ${VERSION}: done in N s`,
      "  2/3 installing the locked packages …",
      "  2/3 installing the locked packages: done in N s",
      "  3/3 packing the embedded PostgreSQL …",
      "  3/3 packing the embedded PostgreSQL: done in N s",
      "everruns: ready after N s",
    ]);
  });

  test("is over afterwards, and comes again when what is pinned changes", async () => {
    await launch([]).result;
    const second = await launch(["--version"]).result;
    expect(second.err).toEqual([]);
    expect(second.out).toEqual([...program(), "arg=--version"]);
    expect(calls()).toEqual(["npm", "install", "pack"]);
    writeFileSync(join(checkout, "bun.lock"), "two");
    await launch([]).result;
    // Bun itself is still the pinned one.
    expect(calls()).toEqual(["npm", "install", "pack", "install", "pack"]);
  });

  test("manages without install scripts", async () => {
    const { out, code } = await launch(["--version"], { env: { BLOCKED: "yes" } }).result;
    expect(code).toBe(0);
    expect(out).toEqual([...program(), "arg=--version"]);
  });

  test("twice at once happens once", async () => {
    const gate = join(bin, "gate");
    const first = launch(["first"], { env: { NPM_WAITS: gate } });
    while (!existsSync(`${gate}.there`)) await Bun.sleep(10);
    const second = launch(["second"]);
    writeFileSync(gate, "");
    const [one, two] = await Promise.all([first.result, second.result]);
    expect([one.code, two.code]).toEqual([0, 0]);
    expect(two.out).toEqual([...program(), "arg=second"]);
    expect(calls()).toEqual(["npm", "install", "pack"]);
    expect(existsSync(join(checkout, ".tools/setup.lock"))).toBe(false);
  });

  test("is not kept waiting by a process that was killed in the middle", async () => {
    const dead = Bun.spawn(["true"]);
    await dead.exited;
    mkdirSync(join(checkout, ".tools"));
    symlinkSync(String(dead.pid), join(checkout, ".tools/setup.lock"));
    const { code } = await launch([]).result;
    expect(code).toBe(0);
    expect(calls()).toEqual(["npm", "install", "pack"]);
  });
});

describe("a failure is one line", () => {
  const cases: [string, string, RegExp][] = [
    ["no network", "npm error code ENOTFOUND", /cannot reach the npm registry; check the network/],
    ["no space", "npm error code ENOSPC", /the disk is full/],
    ["anything else", "npm error something odd", /npm error something odd \(details: .*setup\.log\)$/],
  ];
  for (const [title, says, expected] of cases) {
    test(`${title}, and the next use tries again`, async () => {
      const failed = await launch([], { env: { NPM_SAYS: says } }).result;
      expect(failed.code).toBe(1);
      expect(failed.out).toEqual([]);
      expect(failed.err.at(-1)).toMatch(/^everruns: fetching Bun/);
      expect(failed.err.at(-1)).toMatch(expected);
      expect((await launch([]).result).code).toBe(0);
    });
  }

  test("npm is missing", async () => {
    rmSync(join(bin, "npm"));
    for (const name of ["dirname", "readlink", "cmp", "mkdir", "cat", "pwd"])
      symlinkSync(`/usr/bin/${name}`, join(bin, name));
    const { err, code } = await launch([], { env: { PATH: bin } }).result;
    expect(code).toBe(1);
    expect(err).toEqual([
      "everruns: npm is missing: install Node.js 20 or newer (npm comes with it), then run this again",
    ]);
  });
});

describe("words", () => {
  test("through a symbolic link from elsewhere it is the same checkout", async () => {
    const link = join(bin, "link");
    symlinkSync(join(checkout, "everruns"), link);
    symlinkSync("link", join(bin, "link-to-link"));
    const { out } = await launch(["doctor"], { command: join(bin, "link-to-link") }).result;
    expect(out).toEqual([...program(), "arg=doctor"]);
  });

  for (const word of ["test", "check", "build", "bench"]) {
    test(`${word} is the launcher's own`, async () => {
      const { out } = await launch([word, "one", "two"]).result;
      expect(out).toEqual([
        `cwd=${checkout}`,
        "arg=--no-env-file",
        `arg=scripts/${word}.ts`,
        "arg=one",
        "arg=two",
      ]);
    });
  }
});
