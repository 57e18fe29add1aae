/** `everruns users`: made in the database itself, so that the first owner is not whoever visits first. */
import { DEFAULT_ORGANIZATION } from "../src/api/http/identify.ts";
import { UserError } from "../src/base/errors.ts";
import { isId } from "../src/base/id.ts";
import { createPasswords } from "../src/base/password.ts";
import type { Role } from "../src/contract/access.ts";
import { limits } from "../src/contract/limits.ts";
import {
  emailOf,
  insertMember,
  listMembers,
  putMembership,
  setPassword,
  takeOverUser,
  userByEmail,
} from "../src/db/access/users.ts";
import type { Db } from "../src/db/pool.ts";
import { asRetryable, isForeignKeyViolation } from "../src/db/sqlstate.ts";
import { type CommandContext, UsageError } from "./action.ts";
import { ensureSchema, openLog, openPlatform, readConfig } from "./platform.ts";
import { table } from "./table.ts";

interface UsersFlags extends Record<string, unknown> {
  email?: string;
  name?: string;
  role: string;
  org?: string;
  passwordStdin?: boolean;
  json?: boolean;
}

const ROLES: readonly Role[] = ["owner", "admin", "member", "viewer"];

export async function usersCommand(
  action: "create" | "list",
  flags: UsersFlags,
  context: CommandContext,
): Promise<undefined> {
  const organizationId = flags.org ?? DEFAULT_ORGANIZATION;
  if (!isId("org", organizationId)) {
    throw new UsageError(`--org: "${organizationId}" is not an id of the form org_<32 hex digits>`);
  }
  const wanted = action === "create" ? await readUser(flags) : null;
  const config = readConfig(flags, context, "other");
  const platform = await openPlatform(config, openLog(config, context), context);
  try {
    await ensureSchema(platform);
    if (wanted === null) return await list(platform.db, organizationId, flags, context);
    const { email, role } = wanted;
    const { id, isNew } = await put(platform.db, wanted, organizationId);
    if (flags.json)
      context.out.line(JSON.stringify({ id, email, role, organization_id: organizationId }, null, 2));
    else context.out.line(`${isNew ? "made" : "changed"} ${id} ${email}, ${role} of ${organizationId}`);
    return;
  } catch (error) {
    if (isForeignKeyViolation(error)) {
      throw new UserError("not_found", `there is no organization ${organizationId}`, { cause: error });
    }
    throw asRetryable(error);
  } finally {
    await platform.close();
  }
}

interface WantedUser {
  email: string;
  name: string;
  role: Role;
  password: string | null;
}

async function readUser(flags: UsersFlags): Promise<WantedUser> {
  const { email, role } = flags;
  if (email === undefined || !/^[^@\s]+@[^@\s]+$/.test(email) || email.length > limits.emailCharsMax) {
    throw new UsageError("whom? everruns users create --email <address>");
  }
  if (!ROLES.includes(role as Role)) {
    throw new UsageError(`--role: ${ROLES.join(", ")} are expected, not "${role}"`);
  }
  const password = flags.passwordStdin ? (await Bun.stdin.text()).replace(/\r?\n$/, "") : null;
  if (password !== null && password.length < limits.passwordCharsMin) {
    throw new UsageError(`the password on stdin has fewer than ${limits.passwordCharsMin} characters`);
  }
  return {
    email: emailOf(email),
    role: role as Role,
    password,
    name: flags.name ?? email.split("@")[0] ?? email,
  };
}

async function put(
  db: Db,
  wanted: WantedUser,
  organizationId: string,
): Promise<{ id: string; isNew: boolean }> {
  const passwordHash = wanted.password === null ? null : await createPasswords().hash(wanted.password);
  const made = await insertMember(
    db,
    {
      email: wanted.email,
      name: wanted.name,
      passwordHash,
      authProvider: passwordHash === null ? null : "password",
      authSubject: null,
      // Who may write to the database vouches for the address.
      isEmailVerified: true,
    },
    { organizationId, role: wanted.role },
  );
  if (made) return { id: made.id, isNew: true };
  const user = await userByEmail(db, wanted.email);
  if (!user) throw new UserError("conflict", `${wanted.email} cannot be a user`);
  if (!user.is_email_verified) {
    if (passwordHash === null) {
      throw new UserError(
        "conflict",
        `${wanted.email} was registered by somebody who did not prove that the address is theirs; ` +
          "--password-stdin takes the account from whoever has it",
      );
    }
    await takeOverUser(db, user.id, passwordHash);
  } else if (passwordHash !== null) await setPassword(db, user.id, passwordHash);
  await putMembership(db, { organizationId, userId: user.id, role: wanted.role });
  return { id: user.id, isNew: false };
}

async function list(
  db: Db,
  organizationId: string,
  flags: UsersFlags,
  { out, err }: CommandContext,
): Promise<undefined> {
  const members = await listMembers(db, { organizationId, search: null });
  if (flags.json) {
    out.line(
      JSON.stringify(
        members.map(({ id, email, name, role }) => ({ id, email, name, role })),
        null,
        2,
      ),
    );
    return;
  }
  if (members.length === 0) {
    err.line("there are no users yet");
    return;
  }
  const rows = members.map(({ id, email, name, role }) => [id, email, name, role]);
  const lines = table(["id", "email", "name", "role"], rows);
  for (const [at, line] of lines.entries()) out.line(at === 0 ? out.paint.dim(line) : line);
}
