/** `everruns users` and `everruns keys`: the first owner and the first token, in the database itself. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAccess } from "../../src/api/access/access.ts";
import { identifyByCredential } from "../../src/api/access/authenticate.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createPasswords } from "../../src/base/password.ts";
import { userByEmail } from "../../src/db/access/users.ts";
import { type DatabaseUrl, databaseUrl } from "../e2e/support/database-url.ts";
import { makeToken, makeUser } from "../support/callers.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { runCli } from "./support.ts";

let database: TestDatabase;
let address: DatabaseUrl;
beforeAll(async () => {
  database = await testDatabase();
  address = await databaseUrl(database.address);
});
afterAll(async () => {
  await address.stop();
  await database.drop();
});

const run = (args: string[], options: { stdin?: string; env?: Record<string, string> } = {}) =>
  runCli(args, {
    ...(options.stdin === undefined ? {} : { stdin: options.stdin }),
    env: {
      DATABASE_URL: address.url,
      EVERRUNS_DATA_DIR: join(tmpdir(), "everruns-none"),
      EVERRUNS_CONFIG: join(tmpdir(), "everruns-none/config.json"),
      ...options.env,
    },
  });
const identify = (token: string) =>
  identifyByCredential(
    database.db,
    openAccess({ jwtKey: new Uint8Array(32), clock: systemClock }),
  )(new Request("http://localhost/v1/agents", { headers: { authorization: token } }));

describe("the first owner and their token", () => {
  test("without a user there is no token, and the message says what to type", async () => {
    const { code, stdout, stderr } = await run(["keys", "create"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("everruns users create --email");
  });

  test("a user is made with the password on stdin", async () => {
    const args = ["users", "create", "--email", "Ada@Example.com", "--role", "owner", "--password-stdin"];
    const { code, stdout } = await run(args, { stdin: "correct horse\n" });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^made user_[0-9a-f]{32} ada@example\.com, owner of org_0+1\n$/);
    const user = await userByEmail(database.db, "ada@example.com");
    expect(await createPasswords().verify("correct horse", user?.password_hash ?? null)).toBe(true);
    expect((await run(["users", "list"])).stdout).toContain("ada@example.com  Ada   owner");
  });

  test("the only user's token is printed alone on stdout, opens, is listed, and is revoked", async () => {
    const made = await run([
      "keys",
      "create",
      "--name",
      "ci",
      "--scopes",
      "read,admin",
      "--expires-days",
      "30",
    ]);
    expect([made.code, made.stdout]).toEqual([0, expect.stringMatching(/^evr_pat_\w{49}\n$/)]);
    const token = made.stdout.trim();
    expect(await identify(token)).toMatchObject({ role: "owner", isAdmin: true });
    const listed = await run(["keys", "list", "--json"]);
    const [row] = JSON.parse(listed.stdout);
    expect(row).toMatchObject({ name: "ci", user: "ada@example.com", scopes: ["read", "admin"] });
    expect(listed.stdout).not.toContain(token);
    expect((await run(["keys", "-o", "id"])).stdout).toBe(`${row.id}\n`);
    expect((await run(["keys", "-o", "yaml"])).stdout).toContain(`- id: ${row.id}\n`);
    expect((await run(["keys", "revoke", row.id, "--yes"])).stdout).toBe(
      `revoked ${row.id} of ada@example.com\n`,
    );
    expect(identify(token)).rejects.toThrow("not valid");
    expect((await run(["keys", "revoke", row.id, "--yes"])).code).toBe(1);
  });

  test("who exists gets another role, and another password ends their sign-ins", async () => {
    const user = await userByEmail(database.db, "ada@example.com");
    await database.db
      .sql`insert into logins (id, user_id, expires_at) values ('login_1', ${user?.id ?? ""}, now() + interval '1 day')`;
    const args = ["users", "create", "--email", "ada@example.com", "--role", "admin", "--password-stdin"];
    expect((await run(args, { stdin: "another password" })).stdout).toStartWith("changed user_");
    const [login] = await database.db.sql`select revoked_at from logins where id = 'login_1'`;
    expect(login?.revoked_at).toBeInstanceOf(Date);
  });

  test("the admin of the configuration is made when they are first needed", async () => {
    const env = {
      AUTH_MODE: "admin",
      AUTH_ADMIN_EMAIL: "root@example.com",
      AUTH_ADMIN_PASSWORD: "password of root",
    };
    const { code, stdout } = await run(["keys", "create", "--json"], { env });
    expect(code).toBe(0);
    const user = await userByEmail(database.db, "root@example.com");
    expect(JSON.parse(stdout).user_id).toBe(user?.id as string);
    // With two users it must be said whose.
    expect((await run(["keys", "create"])).code).toBe(2);
  });
});

test("an account that somebody registered with another's address is not made a member by it, but taken over", async () => {
  const squatter = await makeUser(database.db, { email: "dave@corp.example", role: "viewer" });
  await database.db.sql`update users set is_email_verified = false where id = ${squatter.id}`;
  const { token } = await makeToken(database.db, squatter.id, {});
  const args = ["users", "create", "--email", "dave@corp.example", "--role", "owner"];
  const refused = await run(args);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("--password-stdin takes")]);
  expect(await identify(token)).toMatchObject({ role: "viewer" });
  const taken = await run([...args, "--password-stdin"], { stdin: "password of dave" });
  expect([taken.code, taken.stdout]).toEqual([0, expect.stringMatching(/^changed user_.*, owner of /)]);
  expect(identify(token)).rejects.toThrow("not valid");
  const user = await userByEmail(database.db, "dave@corp.example");
  expect(user?.is_email_verified).toBe(true);
  expect(await createPasswords().verify("password of dave", user?.password_hash ?? null)).toBe(true);
});

describe("wrong usage", () => {
  const cases: [args: string[], code: number, message: string, stdin?: string][] = [
    [["keys", "revoke"], 2, "which token?"],
    [["keys", "revoke", `pat_${"9".repeat(32)}`], 2, "add --yes"],
    [["keys", "revoke", `pat_${"9".repeat(32)}`, "-y"], 1, "there is no token"],
    [["keys", "list", "ci"], 2, "list takes no ci"],
    [["keys", "create", "-o", "id"], 2, "shown this once"],
    [["keys", "create", "--scopes", "all"], 2, "--scopes"],
    [["keys", "create", "--expires-days", "0"], 2, "--expires-days"],
    [["keys", "create", "--user", "nobody@example.com"], 1, "there is no user nobody@example.com"],
    [["keys", "create", "--user", "ada@example.com", "--org", "x"], 2, "--org"],
    [["keys", "create", "--user", "ada@example.com", "--org", `org_${"9".repeat(32)}`], 1, "does not belong"],
    [["keys", "frob"], 2, "create, list, revoke"],
    [["users", "create"], 2, "--email"],
    [["users", "create", "--email", "x@y.z", "--role", "king"], 2, "--role"],
    [
      ["users", "create", "--email", "x@y.z", "--org", `org_${"9".repeat(32)}`],
      1,
      "there is no organization",
    ],
    [["users", "create", "--email", "x@y.z", "--password-stdin"], 2, "fewer than 8", "short"],
  ];
  for (const [args, code, message, stdin] of cases) {
    test(`everruns ${args.join(" ")}`, async () => {
      const finished = await run(args, stdin === undefined ? {} : { stdin });
      expect([finished.code, finished.stderr]).toEqual([code, expect.stringContaining(message)]);
      expect(finished.stderr.trim().split("\n")).toHaveLength(1);
    });
  }
});
