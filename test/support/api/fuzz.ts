/**
 * Random calls of every operation of the OpenAPI document, with ids that earlier answers gave. Whatever is sent: a
 * success has the shape that the document says, everything else is a problem that the document knows, and never 500.
 */
import { complaintAbout } from "./bad-input.ts";
import { type Operation, type Schema, typesOf } from "./document.ts";
import { ODD_SEGMENTS } from "./odd-texts.ts";
import { createRandom, junk, type Random, randomOf, spoilt } from "./random.ts";
import { type Caller, type CallOptions, prefixOf, type World } from "./world.ts";

export interface FuzzReport {
  calls: number;
  /** Operations that answered with a success at least once. */
  succeeded: Set<string>;
  byStatus: Map<number, number>;
  /** What must not be, with the call that showed it. */
  violations: string[];
}

export interface FuzzOptions {
  seed: number;
  /** Looked at before each call. */
  isOver(report: FuzzReport): boolean;
  /** Calls that are on their way at the same time. With 1 the same seed makes the same calls. */
  lanes: number;
  report?: FuzzReport;
}

/** They would end the conversation that must work afterwards, or wait for it. */
const LEFT_ALONE: ReadonlySet<string> = new Set(["delete_account", "drain_worker"]);
/** They would call servers of others. */
const CALLS_OTHERS = /\/(sync-models|sync|verify)$/;
const SHOWN_MAX = 50;
/** How often a call is as it should be, one spoilt in one place, or nothing of sense. */
const VALID = 0.6;
const SPOILT = 0.9;
/** How often a conversation is begun, and how many calls it then gets. */
const FOCUS_BEGUN = 0.01;
const FOCUS_CALLS = 40;
/** How often a call is answered once it is known. */
const ANSWERED = 0.2;
/** DELETE takes away what the others need. */
const DELETE_TAKEN = 0.15;

export const newReport = (): FuzzReport => ({
  calls: 0,
  succeeded: new Set(),
  byStatus: new Map(),
  violations: [],
});

export async function fuzz<A extends Caller>(world: World<A>, options: FuzzOptions): Promise<FuzzReport> {
  const report = options.report ?? newReport();
  const operations = world.operations.filter(
    ({ operationId, path }) => !LEFT_ALONE.has(operationId) && !CALLS_OTHERS.test(path),
  );
  // What was seen below one resource: the versions of this agent, the queue of that session.
  const within: Within = new Map();
  const ofSessions = operations.filter(({ path }) => path.includes("{session_id}"));
  const answering = ofSessions.filter(({ operationId }) => operationId === "submit_tool_results");
  const lane = async (number: number) => {
    const random = createRandom(options.seed + number * 7_919);
    let focus: { session: string; left: number } | null = null;
    while (!options.isOver(report)) {
      if (focus === null && random.isLucky(FOCUS_BEGUN)) focus = await beginConversation(world, random);
      const isAsked = focus !== null && within.has(`${focus.session} call`) && random.isLucky(ANSWERED);
      const operation = random.pick(isAsked ? answering : focus === null ? operations : ofSessions);
      if (operation.method === "DELETE" && !random.isLucky(DELETE_TAKEN)) continue;
      const call = randomCall(world, operation, { random, within, focus: focus?.session });
      if (focus !== null) {
        call.path = { ...call.path, session_id: focus.session };
        focus = focus.left === 0 ? null : { ...focus, left: focus.left - 1 };
      }
      report.calls += 1;
      const answer = await world.call(operation, call).catch((error: unknown) => String(error));
      if (typeof answer === "string") {
        report.violations.push(
          `${operation.name} ${JSON.stringify(call).slice(0, 2_000)}: no answer: ${answer}`,
        );
        continue;
      }
      report.byStatus.set(answer.status, (report.byStatus.get(answer.status) ?? 0) + 1);
      const complaint =
        complaintAbout(operation, answer, { mayPass: true, isElsewhere: true }) ??
        shapeComplaint(world, operation, answer);
      if (complaint !== null && report.violations.length < SHOWN_MAX) {
        report.violations.push(`${operation.name} ${JSON.stringify(call).slice(0, 2_000)}: ${complaint}`);
      }
      if (answer.status < 300) {
        report.succeeded.add(operation.name);
        world.harvest(answer.body, operation);
        remember(within, Object.values(call.path ?? {})[0], answer.body);
      }
    }
  };
  await Promise.all(Array.from({ length: options.lanes }, (_none, number) => lane(number)));
  return report;
}

/** A session whose model calls a tool of the client, for calls that concern a session at work. */
async function beginConversation<A extends Caller>(
  { app }: World<A>,
  random: Random,
): Promise<{ session: string; left: number } | null> {
  const tool = { type: "client_side", name: "ask", description: "Asks.", parameters: { type: "object" } };
  // A model of its own: those that are there may have been switched off by other calls.
  const provider = await app.call("POST", "/providers", { name: "Focus", provider_type: "llmsim" });
  const model = await app.call("POST", `/providers/${provider.body?.id}/models`, {
    model_id: "llmsim",
    display_name: "Focus",
  });
  const made = await app.call("POST", "/sessions", { tools: [tool], model_id: model.body?.id });
  if (made.status >= 300) return null;
  const message = { message: { content: [{ type: "text", text: random.pick(SCRIPTS) }] } };
  await app.call("POST", `/sessions/${made.body.id}/messages`, message);
  return { session: made.body.id, left: FOCUS_CALLS };
}

/** `session_… message` → ids of messages that answers about this session held. */
type Within = Map<string, string[]>;

const ID = /\b([a-z]+)_(?:[0-9a-f]{32}|[\w-]{6,40})\b/g;
const IDS_KEPT = 20;

function remember(within: Within, owner: string | undefined, answer: unknown): void {
  if (owner === undefined) return;
  for (const [id, prefix] of (JSON.stringify(answer) ?? "").matchAll(ID)) {
    const key = `${owner} ${prefix}`;
    const known = within.get(key) ?? [];
    if (!known.includes(id)) within.set(key, [...known, id].slice(-IDS_KEPT));
  }
}

function randomCall<A>(
  world: World<A>,
  operation: Operation,
  { random, within, focus }: { random: Random; within: Within; focus: string | undefined },
): CallOptions {
  const luck = random.next();
  let owner = focus;
  const known = (field: string, schema: Schema): unknown => {
    if (field === "content" && typesOf(schema).includes("array") && random.isLucky(0.7)) {
      return [{ type: "text", text: random.pick(SCRIPTS) }];
    }
    if (field === "tool_call_id") return random.pick(within.get(`${owner} call`) ?? ["call_1"]);
    if (field === "tool_results") {
      return random.isLucky(0.3)
        ? undefined
        : [{ tool_call_id: known("tool_call_id", {}), result: junk(random) }];
    }
    return /_id$/.test(field) && random.isLucky(0.5)
      ? anyId(world, field, random)
      : world.known(field, schema);
  };
  const query = operation.query
    .filter(({ name, required }) => name !== "wait" && (required || random.isLucky(0.3)))
    .map(({ name, schema }) => {
      const value = luck < SPOILT ? randomOf(world.document, schema, { random, known }) : junk(random);
      return `${name}=${encodeURIComponent(String(value).toWellFormed())}`;
    });
  const path = Object.fromEntries(
    operation.pathParameters.flatMap((name): [string, string][] => {
      if (luck >= SPOILT && random.isLucky(0.3)) return [[name, random.pick(ODD_SEGMENTS)[1]]];
      const below = within.get(`${owner} ${prefixOf(name, operation.path)}`);
      const id =
        below && random.isLucky(0.8) ? random.pick(below) : world.anyOf(name, operation.path, random);
      if (id === null) return [];
      owner ??= id;
      return [[name, id]];
    }),
  );
  const call: CallOptions = { path, query: query.length === 0 ? "" : `?${query.join("&")}` };
  if (operation.jsonBody === null) return { ...call, ...otherBody(operation, random) };
  const body = randomOf(world.document, operation.jsonBody, { random, known });
  const sent = luck < VALID ? body : luck < SPOILT ? spoilt(body, random) : junk(random);
  const isProvider =
    /\/providers(\/\{id\})?$/.test(operation.path) && typeof sent === "object" && sent !== null;
  return { ...call, body: JSON.stringify(isProvider ? { ...sent, base_url: NOBODY } : sent) };
}

/** A body that is not JSON: a form with a file, or a text. */
function otherBody({ bodies }: Operation, random: Random): CallOptions {
  const type = random.pick([...Object.keys(bodies), ""]);
  if (type === "") return {};
  if (!type.startsWith("multipart/"))
    return { body: random.pick(DOCUMENTS), headers: { "content-type": type } };
  const form = new FormData();
  const bytes = random.isLucky(0.5) ? PNG : new TextEncoder().encode(random.pick(DOCUMENTS));
  const [name, kind] = random.pick([
    ["dot.png", "image/png"],
    ["SKILL.md", "text/markdown"],
    ["../../x", "x"],
  ] as const);
  form.set(random.pick(["file", "file", "file", "other"]), new File([bytes], name, { type: kind }));
  return { body: form };
}

/** One dot. */
const PNG = new Uint8Array(
  Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    "base64",
  ),
);
const DOCUMENTS = [
  "You are only a prompt.",
  "---\nname: imported\ndescription: From a file.\n---\nDo it.\n",
  "---\nname: [unclosed\n---\n",
  "---\nname: !!js/function x\n&a [*a]\n---\nx",
  '{"name":"imported-json","system_prompt":"x"}',
  '{"name":',
  "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nname: bomb\nsystem_prompt: x\n",
  "",
  "\0\0\0",
  "x".repeat(100_000),
];
/** What the simulated model is told to do. */
const step = (steps: object[]) => `\`\`\`llmsim\n${JSON.stringify({ rate: 0, steps })}\n\`\`\``;
const SCRIPTS = [
  "Hi",
  step([{ text: "Done." }]),
  step([{ tool_calls: [{ name: "ask", arguments: { a: 1 } }] }, { text: "Asked." }]),
  step([
    { tool_calls: [{ name: "write_file", arguments: { path: "/w.md", content: "w" } }] },
    { text: "Written." },
  ]),
  step([{ tool_calls: [{ name: "no_such_tool", arguments: "{" }] }, { thinking: "Hm.", text: "Oh." }]),
  step([{ error: { code: "provider_rate_limited", message: "429" } }]),
  step([{ text: "slow ".repeat(200) }]).replace('"rate":0', '"rate":100'),
];

/** Where the providers that are made up stand: nobody listens there. */
const NOBODY = "http://127.0.0.1:9/v1";

function anyId<A>(world: World<A>, field: string, random: Random): unknown {
  return world.anyOf(field, "", random) ?? undefined;
}

/** What is wrong with the body of a success; null when nothing is. */
function shapeComplaint<A>(
  world: World<A>,
  operation: Operation,
  { status, headers, body }: { status: number; headers: Headers; body: unknown },
): string | null {
  if (status >= 300) return null;
  const documented = operation.responses[status];
  if (!documented) return `${status} is not documented`;
  const type = headers.get("content-type")?.split(";")[0] ?? "";
  const types = Object.keys(documented);
  if (types.length === 0) return body === null ? null : `${status} has a body, and none is documented`;
  const isKnown = types.some(
    (one) => one === type || (one.endsWith("/*") && type.startsWith(one.slice(0, -1))),
  );
  if (!isKnown) return `${status} comes as ${type || "nothing"}, not as ${types.join(", ")}`;
  const schema = documented["application/json"];
  // What is written out by hand is documented as bytes.
  if (type !== "application/json" || !schema || schema.format === "binary") return null;
  const complaint = world.complaint(schema, body);
  return complaint === null ? null : `${status} ${complaint}: ${JSON.stringify(body).slice(0, 1_000)}`;
}
