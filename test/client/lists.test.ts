/** Lists as the command line prints them, against the real API. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { readList } from "../../src/client/act.ts";
import { createClient } from "../../src/client/client.ts";
import { VIEWS } from "../../src/tui/monitor/views.ts";
import { runCli } from "../cli/support.ts";
import { type LiveServer, startServer } from "../support/live.ts";
import { startWaiting, type Waiting } from "../support/waiting.ts";

const APPROVAL = { capabilities: [{ ref: "tool_approval", config: { mode: "normal" } }] };

let it: Waiting;
let server: LiveServer;
beforeAll(async () => {
  it = await startWaiting();
  server = await startServer(it.app.db);
});
afterAll(async () => {
  await server.stop();
  await it.close();
});

/** Lines of `everruns …` without the header. */
async function rows(...args: string[]): Promise<string[]> {
  const { stdout } = await runCli(args, { env: { EVERRUNS_API_URL: server.url } });
  return stdout.trim().split("\n").slice(1);
}

test("approvals are those that wait; of the others the decision is said", async () => {
  const client = createClient({ baseUrl: server.url, apiKey: null });
  const begun = [];
  for (let amount = 0; amount < 4; amount += 1) {
    begun.push(await it.waiting([{ name: "charge", arguments: { amount } }], APPROVAL));
  }
  const [allowed, refused, cancelled] = await Promise.all(
    begun.map(
      async ({ session }) =>
        (await client.listApprovals({ session_id: session, status: "pending" })).data[0]?.id ?? "",
    ),
  );
  await client.decideApproval(allowed ?? "", { decision: "allow_always" });
  await client.decideApproval(refused ?? "", { decision: "reject" });
  await client.cancelTurn(begun[2]?.session ?? "");
  const waiting = await rows("approvals");
  expect(waiting).toEqual([expect.stringMatching(/^approval_\w+ +pending +charge .*\{"amount":3\}$/)]);
  const all = (await rows("approvals", "--status", "all")).sort().map((row) => row.replace(/ {2,}/g, "|"));
  expect(all).toEqual([
    expect.stringContaining(`${allowed}|decided: allow_always|charge`),
    expect.stringContaining(`${refused}|decided: reject|charge`),
    expect.stringContaining(`${cancelled}|cancelled|charge`),
    expect.stringContaining("pending|charge"),
  ]);
  expect(await rows("approvals", "--status", "cancelled")).toHaveLength(1);
  const monitored = VIEWS.find(({ name }) => name === "approvals")?.columns.find(
    ({ name }) => name === "status",
  );
  const items = (await readList(client, "/approvals", { status: "all" })).data;
  expect(items.map((item) => monitored?.cell(item)).sort()).toEqual([
    "cancelled",
    "decided: allow_always",
    "decided: reject",
    "pending",
  ]);
  // Several values at once, as the monitor asks.
  expect((await readList(client, "/approvals", { status: ["all"] })).total).toBe(4);
});

test("a session that a budget holds is idle and paused, as in the monitor", async () => {
  const { session } = await it.waiting([{ name: "charge", arguments: {} }], APPROVAL);
  await it.app.db.sql`update sessions set status = 'paused' where id = ${session}`;
  const [row] = (await rows("sessions")).filter((line) => line.startsWith(session));
  expect(row).toMatch(/^session_\w+ +idle paused /);
});

test("a model is found by its id, the vendor's name or its own; two of a name are told", async () => {
  const { sql } = it.app.db;
  const cli = (...args: string[]) => runCli(["models", ...args], { env: { EVERRUNS_API_URL: server.url } });
  const read = async (name: string) => JSON.parse((await cli("get", name, "-o", "json")).stdout);
  const addModel = async (modelId: string, displayName: string) => {
    const [row] = await sql`
      insert into models (id, organization_id, provider_id, model_id, display_name)
      select ${newId("model")}, organization_id, id, ${modelId}, ${displayName} from providers limit 1 returning id`;
    return String(row?.id);
  };
  const id = await addModel("vendor-1", "The First");
  for (const name of [id, "vendor-1", "The First"]) expect(await read(name)).toMatchObject({ id });
  expect((await cli("disable", "vendor-1")).code).toBe(0);
  expect(await read(id)).toMatchObject({ enabled: false });
  expect((await cli("get", "nope")).stderr).toBe("everruns: there is no model nope\n");
  // What the vendor calls it goes before what people do.
  await addModel("vendor-2", "vendor-1");
  expect(await read("vendor-1")).toMatchObject({ id });
  await addModel("vendor-3", "The First");
  expect((await cli("get", "The First")).stderr).toBe(
    "everruns: 2 models are called The First; say the id of one\n",
  );
});
