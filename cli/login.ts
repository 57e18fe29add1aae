/** `everruns login`, `logout`, `whoami` and `contexts`: servers by name, and who we are there. */
import { hostname, userInfo } from "node:os";
import { UserError } from "../src/base/errors.ts";
import { type Client, createClient, normalizeBaseUrl } from "../src/client/client.ts";
import { ClientError } from "../src/client/errors.ts";
import type { Me, Scope } from "../src/contract/access.ts";
import { type CommandContext, UsageError } from "./action.ts";
import { clientOf } from "./api.ts";
import {
  contextNamed,
  contextsPath,
  readContexts,
  type ServerFlags,
  type StoredServer,
  serverOf,
  writeContexts,
} from "./contexts.ts";
import { askHidden, askLine } from "./prompt.ts";
import { table } from "./table.ts";

export interface LoginFlags extends ServerFlags {
  email?: string;
  org?: string;
  name?: string;
  /** Of the token that is made: `read,write`. */
  scopes?: string;
}

interface AuthConfig {
  mode: string;
  password_auth_enabled: boolean;
}

const TOKEN_DAYS = 90;

/**
 * Finds out who calls, stores the token under a name, and makes that server the current one. A token comes from stdin
 * or is typed unseen; with --email a password is, and a token made with it. The password itself is kept nowhere.
 */
export async function login(context: CommandContext, flags: LoginFlags): Promise<void> {
  const { env, err } = context;
  const file = readContexts(env);
  const server = serverOf(env, flags);
  const baseUrl = normalizeBaseUrl(server.baseUrl);
  const anonymous = createClient({ baseUrl, apiKey: null });
  const auth = await anonymous.request<AuthConfig>("GET", "/auth/config");
  const name = flags.name ?? flags.context ?? server.context ?? new URL(baseUrl).host;
  const token = auth.mode === "none" ? null : await tokenFor(context, { flags, auth, anonymous, baseUrl });
  const stored: StoredServer = {
    api_url: baseUrl,
    ...(token === null ? {} : { token }),
    ...(flags.org === undefined ? {} : { organization_id: flags.org }),
  };
  const me = await whoIs(createClient({ baseUrl, apiKey: token, organizationId: flags.org ?? null }));
  writeContexts(env, { current: name, contexts: { ...file.contexts, [name]: stored } });
  err.line(
    auth.mode === "none" ? `${baseUrl} asks nobody who they are` : `signed in to ${baseUrl} as ${me.email}`,
  );
  err.line(err.paint.dim(`context ${name}, in ${contextsPath(env)}`));
}

async function tokenFor(
  context: CommandContext,
  {
    flags,
    auth,
    anonymous,
    baseUrl,
  }: { flags: LoginFlags; auth: AuthConfig; anonymous: Client; baseUrl: string },
): Promise<string> {
  if (flags.email === undefined) {
    const token = process.stdin.isTTY
      ? await askHidden(context, "Access token (everruns keys create makes one): ")
      : (await Bun.stdin.text()).trim();
    if (token === "") throw new UsageError("no token: give one on stdin, or sign in with --email");
    return token;
  }
  if (!auth.password_auth_enabled) {
    throw new UserError(
      "no_passwords",
      `${baseUrl} takes no passwords: leave --email out and give an access token`,
    );
  }
  const password = await askHidden(context, `Password of ${flags.email}: `);
  const { access_token } = await anonymous
    .request<{ access_token: string }>("POST", "/auth/login", { body: { email: flags.email, password } })
    .catch((error) => {
      if (error instanceof ClientError && error.status === 401)
        throw new UserError("not_signed_in", error.detail);
      throw error;
    });
  const signedIn = createClient({
    baseUrl,
    apiKey: `Bearer ${access_token}`,
    organizationId: flags.org ?? null,
  });
  // Without --scopes the token may do what its owner may: one that may not would only be in the way.
  const scopes = flags.scopes === undefined ? (await whoIs(signedIn)).scopes : scopesOf(flags.scopes);
  const made = await signedIn.request<{ token: string }>("POST", "/auth/personal-access-tokens", {
    body: {
      name: `everruns on ${hostname()} (${userInfo().username})`,
      expires_in_days: TOKEN_DAYS,
      ...(scopes === undefined ? {} : { scopes }),
    },
  });
  await signedIn.request("POST", "/auth/logout", { body: {} });
  return made.token;
}

const SCOPES: readonly Scope[] = ["read", "write", "admin"];

/** @throws UsageError */
function scopesOf(text: string): Scope[] {
  const words = text.split(",").map((word) => word.trim());
  const scopes = SCOPES.filter((scope) => words.includes(scope));
  const odd = words.find((word) => !SCOPES.some((scope) => scope === word));
  if (odd === undefined) return scopes;
  throw new UsageError(`--scopes takes ${SCOPES.join(", ")}, with commas between them, not "${odd}"`);
}

/** Forgets the token of a context. It stays valid: `everruns keys revoke` ends it. */
export async function logout({ env, err }: CommandContext, flags: ServerFlags): Promise<void> {
  const file = readContexts(env);
  const name = flags.context ?? file.current;
  if (name === null) throw new UsageError("there is no context to sign out of");
  const { token, ...rest } = contextNamed(file, name);
  if (token === undefined) return err.line(`no token is kept for ${name}`);
  writeContexts(env, { ...file, contexts: { ...file.contexts, [name]: rest } });
  err.line(`the token of ${name} is forgotten here; it stays valid until it is revoked`);
}

export async function whoami(
  context: CommandContext,
  flags: ServerFlags & { json?: boolean; verbose?: boolean },
): Promise<void> {
  const server = serverOf(context.env, flags);
  const me = await whoIs(clientOf(context, flags), server.apiKey !== null);
  if (flags.json)
    return context.out.line(
      JSON.stringify({ ...me, api_url: server.baseUrl, context: server.context }, null, 2),
    );
  const { dim } = context.out.paint;
  for (const [name, value] of [
    ["server", server.baseUrl],
    ["context", server.context ?? "none"],
    ["user", `${me.email} (${me.id})`],
    ["organization", me.organization_id ?? "none"],
    ["role", me.role ?? "none"],
    // A server of another make may not say.
    ["may", me.scopes?.join(", ") ?? "unknown"],
  ] as const) {
    context.out.line(`${dim(name.padEnd(12))}  ${value}`);
  }
}

async function whoIs(client: Client, hasToken = true): Promise<Me> {
  try {
    return await client.request<Me>("GET", "/auth/me");
  } catch (error) {
    if (!(error instanceof ClientError) || error.status !== 401) throw error;
    throw new UserError(
      "not_signed_in",
      hasToken
        ? `${client.baseUrl} does not accept the token; everruns login takes another`
        : `there is no token for ${client.baseUrl}; everruns login takes one`,
    );
  }
}

export async function contexts(
  context: CommandContext,
  { action, name }: { action: "list" | "use" | "remove"; name: string | undefined },
): Promise<void> {
  const { env, out, err } = context;
  const file = readContexts(env);
  if (action === "list") {
    const rows = Object.entries(file.contexts).map(([each, { api_url, token }]) => [
      each === file.current ? "*" : "",
      each,
      api_url,
      token === undefined ? "no" : "yes",
    ]);
    if (rows.length === 0)
      return err.line("there are no contexts yet; everruns login --api-url <url> makes one");
    for (const line of table(["", "name", "server", "token"], rows)) out.line(line);
    return;
  }
  const wanted = name ?? (process.stdin.isTTY ? await askLine(context, "Which context? ") : "");
  if (wanted === "") throw new UsageError(`which one? everruns contexts ${action} <name>`);
  contextNamed(file, wanted);
  if (action === "use") {
    writeContexts(env, { ...file, current: wanted });
    return err.line(`${wanted} is the current context`);
  }
  const { [wanted]: _removed, ...rest } = file.contexts;
  writeContexts(env, { current: file.current === wanted ? null : file.current, contexts: rest });
  err.line(`${wanted} is removed`);
}
