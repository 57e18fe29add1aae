/** Slash commands about the turns: what they may spend, what waits, how they are shown. */
import type { Client } from "../../client/client.ts";
import type { Budget } from "../../contract/budget.ts";
import type { SlashCommand } from "./command.ts";

export const turnCommands: readonly SlashCommand[] = [
  {
    name: "budget",
    argument: "[dollars]",
    summary: "show what the session may spend, or set it",
    async run({ chat, client }, argument) {
      const { sessionId } = chat.snapshot();
      if (sessionId === null) return chat.note("send a message first", { isError: true });
      const limit = Number(argument);
      if (argument !== "") {
        if (!(limit > 0)) return chat.note("/budget takes dollars, like /budget 2.50", { isError: true });
        await setLimit(client, sessionId, limit);
        await chat.lookUpLimits();
      }
      const lines = (await client.listSessionBudgets(sessionId)).map(
        ({ currency, balance, limit: most, status }) => `${balance} of ${most} ${currency} left, ${status}`,
      );
      chat.note(lines.length === 0 ? "no budget: nothing is capped" : lines.join("\n"));
    },
  },
  {
    name: "withdraw",
    argument: "[number]",
    summary: "take a queued message back, the last one by default",
    choices: () => [],
    async run({ chat }, argument) {
      const queued = chat.snapshot().transcript.waiting.filter(({ delivery }) => delivery === "queue");
      const place = argument === "" ? queued.length : Number(argument);
      if (queued.length === 0) return chat.note("nothing is queued", { isError: true });
      if (!queued[place - 1]) {
        return chat.note(`/withdraw takes a number from 1 to ${queued.length}`, { isError: true });
      }
      const text = await chat.takeBack(place);
      if (text !== null) chat.note(`taken back: ${text}`);
    },
  },
  {
    name: "deny",
    argument: "[reason]",
    summary: "refuse the call that waits, and tell the model why",
    async run({ chat }, argument) {
      const call = chat.decisions.waitingCall();
      if (!call) return chat.note("no call waits for you", { isError: true });
      if (call.waitsFor === "client") {
        return chat.decisions.answerCall(call, { error: argument || "The user refused to answer." });
      }
      const comment = argument === "" ? {} : { comment: argument };
      await chat.decisions.decide(call, { decision: "reject", ...comment });
    },
  },
  {
    name: "expand",
    summary: "fold or unfold thinking and tool output (Ctrl+O)",
    run: ({ toggleExpanded }) => void toggleExpanded(),
  },
];

/**
 * What the session itself may spend in dollars, all in all. One limit, however often it is set: a second budget beside
 * the first would leave the lower of the two in force. Budgets of a period, and those of others, are not its business.
 */
async function setLimit(client: Client, sessionId: string, limit: number): Promise<void> {
  const own = (await client.listSessionBudgets(sessionId)).filter(
    (budget) =>
      budget.subject_type === "session" &&
      budget.subject_id === sessionId &&
      budget.currency === "usd" &&
      budget.period === undefined,
  );
  if (own.length === 0) {
    const body = { subject_type: "session", subject_id: sessionId, currency: "usd", limit };
    return client.request("POST", "/budgets", { body });
  }
  for (const budget of own) {
    await client.request("PATCH", `/budgets/${budget.id}`, { body: changeOf(budget, limit) });
  }
}

/** A soft limit that would be above the limit goes; a budget that is switched off caps again. */
function changeOf({ soft_limit: softLimit, status }: Budget, limit: number) {
  return {
    limit,
    ...(softLimit !== undefined && softLimit > limit ? { soft_limit: null } : {}),
    ...(status === "disabled" ? { status: "active" } : {}),
  };
}
