/** Lists as the command line prints them, against the real API. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readList } from "../../src/client/act.ts";
import { createClient } from "../../src/client/client.ts";
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
  // Several values at once, as the monitor asks.
  expect((await readList(client, "/approvals", { status: ["all"] })).total).toBe(4);
});
