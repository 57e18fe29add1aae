/**
 * The client that knows the contract alone, against an executable that asks who is calling: it signs in once for a
 * token, sends that raw as the official SDKs do, and goes through what lies around a conversation.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { killCluster, workDirectory } from "../embedded/support/clusters.ts";
import { type RunningServer, serveExecutable } from "../support/executable.ts";
import {
  type ApiError,
  AuthenticationError,
  createSdk,
  NotFoundError,
  type Sdk,
} from "../support/sdk/client.ts";
import { streamEvents } from "../support/sdk/stream.ts";
import { allStrictly, strictly } from "../support/sdk/strict.ts";
import { simScript } from "./support/api.ts";

const EMAIL = "owner@example.com";
const PASSWORD = "correct horse battery";
const ORGANIZATION = "org_00000000000000000000000000000001";

const work = workDirectory();
const cwd = work.fresh("empty");
const dataDir = work.fresh("data");
let server: RunningServer;
let token: string;
let sdk: Sdk;

const sdkWith = (credential: string, organizationId?: string) =>
  createSdk({
    baseUrl: `${server.url}/api`,
    token: credential,
    ...(organizationId === undefined ? {} : { organizationId }),
  });

beforeAll(async () => {
  server = await serveExecutable(["--data-dir", dataDir], {
    cwd,
    env: { AUTH_MODE: "admin", AUTH_ADMIN_EMAIL: EMAIL, AUTH_ADMIN_PASSWORD: PASSWORD },
  });
  const signedIn = await sdkWith("").request("POST", "/auth/login", { email: EMAIL, password: PASSWORD });
  const made = await sdkWith(`Bearer ${signedIn.access_token}`).request(
    "POST",
    "/auth/personal-access-tokens",
    {
      name: "sdk",
      scopes: ["read", "write", "admin"],
    },
  );
  token = made.token;
  sdk = sdkWith(token);
});
afterAll(async () => {
  await server.kill();
  killCluster(dataDir);
  work.remove();
});

const thrown = (call: Promise<unknown>): Promise<ApiError> =>
  call.then(
    () => expect.unreachable(),
    (error) => error,
  );

/** Says something and reads the turn to its end. @returns the last answer's text */
async function converse(client: Sdk, sessionId: string, text: string): Promise<string> {
  await client.messages.say(sessionId, text);
  for await (const event of streamEvents(client, sessionId, { types: ["session.idled"] })) {
    strictly("Event", event);
    break;
  }
  return (await client.messages.list(sessionId)).at(-1).content[0].text;
}

describe("who is calling", () => {
  test("says so with the raw token, with Bearer or with ApiKey", async () => {
    expect(token).toStartWith("evr_pat_");
    for (const credential of [token, `Bearer ${token}`, `ApiKey ${token}`]) {
      expect(await sdkWith(credential).agents.list()).toBeArray();
    }
    expect(await sdkWith(token, ORGANIZATION).agents.list()).toBeArray();
  });

  test("gets the SDK's own errors otherwise", async () => {
    for (const bad of ["", "evr_pat_x", `${token}x`, "Bearer x"]) {
      const error = await thrown(sdkWith(bad).agents.list());
      expect(error).toBeInstanceOf(AuthenticationError);
      expect(JSON.parse(error.body).error.code).toBe("unauthorized");
    }
    const foreign = await thrown(sdkWith(token, "org_0198c0de4f2a7c3e9b1a5d6e7f8091a2").agents.list());
    expect(foreign).toBeInstanceOf(NotFoundError);
  });

  test("streams only with a token", async () => {
    const session = await sdk.sessions.create();
    const refused = await fetch(`${sdk.base}/sessions/${session.id}/sse`);
    expect(refused.status).toBe(401);
    await refused.body?.cancel();
    expect(await converse(sdk, session.id, simScript({ steps: [{ text: "Hello, owner." }] }))).toBe(
      "Hello, owner.",
    );
  });
});

describe("agents as files", () => {
  test("go out as Markdown and come back the same", async () => {
    const made = await sdk.agents.create({
      name: "traveller",
      systemPrompt: "You travel.\n\nFar.",
      capabilities: [{ ref: "current_time" }],
    });
    await sdk.agents.update(made.id, { description: 'Says "hi".', tags: ["a", "b"] });
    const { text, headers } = await sdk.agents.exportText(made.id);
    expect(headers.get("content-type")).toBe("text/markdown; charset=utf-8");
    expect(headers.get("content-disposition")).toContain('filename="traveller.md"');
    expect(text).toMatch(/^---\nname: "?traveller"?\n/);
    expect(text).toContain("---\nYou travel.\n\nFar.");

    await sdk.agents.update(made.id, { name: "traveller-before" });
    const back = strictly("Agent", await sdk.agents.importText(text));
    expect([back.name, back.system_prompt, back.description, back.tags]).toEqual([
      "traveller",
      "You travel.\n\nFar.",
      'Says "hi".',
      ["a", "b"],
    ]);
    expect(back.capabilities).toEqual([{ ref: "current_time" }]);
  });

  test("may be nothing but a prompt", async () => {
    const agent = strictly("Agent", await sdk.agents.importText("You are only a prompt."));
    expect(agent.name).toMatch(/^agent-\d{8}-\d{6}/);
    expect(agent.system_prompt).toBe("You are only a prompt.");
  });
});

describe("versions of an agent", () => {
  test("are taken, compared, put back and forked", async () => {
    const agent = await sdk.agents.create({ name: "versioned", systemPrompt: "One." });
    const versions = sdk.versions(agent.id);
    const one = await versions.create({ summary: "The first." });
    await sdk.agents.update(agent.id, { system_prompt: "Two." });
    const two = await versions.create({ change_kind: "major" });
    for (const version of [one, two]) {
      for (const field of ["id", "agent_id", "version", "config_hash", "created_at", "change_kind"]) {
        expect([field, typeof version[field]]).toEqual([field, "string"]);
      }
    }
    const listed = await versions.list();
    expect(listed).toBeArray();
    expect(listed.map(({ id }) => id)).toEqual(expect.arrayContaining([one.id, two.id]));
    const diff = await versions.diff(one.id, two.id);
    expect([diff.from_version_id, diff.to_version_id]).toEqual([one.id, two.id]);
    expect(strictly("Agent", await versions.rollback(one.id)).system_prompt).toBe("One.");
    const fork = strictly("Agent", await versions.fork(two.id, "forked-off"));
    expect([fork.name, fork.system_prompt]).toEqual(["forked-off", "Two."]);
    expect(strictly("Agent", await versions.setDefault(one.id)).id).toBe(agent.id);
  });
});

describe("memories", () => {
  test("are made, filled, searched and archived", async () => {
    const memory = await sdk.request("POST", "/memories", { name: "Notes" });
    expect((await sdk.request("GET", "/memories")).data.map(({ id }: { id: string }) => id)).toContain(
      memory.id,
    );
    const files = sdk.files(`memories/${memory.id}`);
    const made = await files.create("/facts/one.md", { content: "The sky is blue." });
    expect(made.path).toBe("/facts/one.md");
    expect((await files.read("/facts/one.md")).content).toBe("The sky is blue.");
    expect((await files.grep("sky")).map(({ path }: { path: string }) => path)).toEqual(["/facts/one.md"]);
    await files.write("/facts/one.md", { content: "The sky is grey." });
    expect((await files.stat("/facts/one.md")).size_bytes).toBe(16);
    expect(await sdk.request("DELETE", `/memories/${memory.id}`)).toBeUndefined();
  });
});

describe("what surrounds a conversation", () => {
  test("models, capabilities and harnesses are listed, and examples have the fields that strict clients want", async () => {
    allStrictly("Model", (await sdk.request("GET", "/models")).data);
    const capabilities = (await sdk.request("GET", "/capabilities")).data;
    expect(capabilities.map(({ id }: { id: string }) => id)).toContain("current_time");
    expect((await sdk.request("GET", "/harnesses/default")).id).toStartWith("harness_");
    const examples = await sdk.request("GET", "/harness-examples");
    expect(examples).toBeArray();
    allStrictly("HarnessExample", examples);
  });

  test("a session goes out as JSONL, one message a line", async () => {
    const session = await sdk.sessions.create();
    await converse(sdk, session.id, simScript({ steps: [{ text: "Written down." }] }));
    const { text, type } = await sdk.text(`/sessions/${session.id}/export`);
    expect(type).toContain("application/x-ndjson");
    const lines = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ role }) => role)).toEqual(["user", "agent"]);
  });

  test("connections are stored, listed under data, and taken away; the key never comes out", async () => {
    const [provider] = (await sdk.request("GET", "/user/connections/providers")).data;
    const key = provider.provider ?? provider.id;
    const made = strictly(
      "Connection",
      await sdk.request("POST", `/user/connections/${key}`, { api_key: "sk-hidden" }),
    );
    expect(JSON.stringify(made)).not.toContain("sk-hidden");
    const listed = allStrictly("Connection", (await sdk.request("GET", "/user/connections")).data);
    expect(listed.map((one) => (one as { provider: string }).provider)).toEqual([key]);
    expect(await sdk.request("DELETE", `/user/connections/${key}`)).toBeUndefined();
    expect((await sdk.request("GET", "/user/connections")).data).toEqual([]);
  });

  test("secrets go in, and only their names come out", async () => {
    const session = await sdk.sessions.create();
    expect(
      await sdk.request("PUT", `/sessions/${session.id}/storage/secrets`, {
        secrets: { API_KEY: "sk-hidden" },
      }),
    ).toBeDefined();
    const listed = await sdk.request("GET", `/sessions/${session.id}/storage/secrets`);
    expect(JSON.stringify(listed)).toContain("API_KEY");
    expect(JSON.stringify(listed)).not.toContain("sk-hidden");
  });

  test("an image is sent as a form, read back as bytes, and shown to the model", async () => {
    const png = Buffer.from(
      "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
      "base64",
    );
    const image = await sdk.images.upload(png, "dot.png", "image/png");
    expect([image.content_type, image.filename, image.size_bytes]).toEqual([
      "image/png",
      "dot.png",
      png.length,
    ]);
    const back = await sdk.images.read(image.id);
    expect([back.type, Buffer.from(back.bytes).equals(png)]).toEqual(["image/png", true]);
    const session = await sdk.sessions.create();
    const message = strictly(
      "Message",
      await sdk.messages.create(session.id, {
        message: {
          role: "user",
          content: [
            { type: "text", text: "Look." },
            { type: "image_file", image_id: image.id },
          ],
        },
      }),
    );
    expect(message.content[1]).toMatchObject({ type: "image_file", image_id: image.id });
  });
});
