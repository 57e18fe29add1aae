import type { Client } from "../client/client.ts";
import type { ToolEntry } from "../client/entries.ts";
import { plainText } from "../client/plain-text.ts";
import type { DecideApprovalRequest } from "../contract/approval.ts";
import type { ChatSnapshot } from "./chat-session.ts";
import { DECISIONS, sentenceOf } from "./words.ts";

/** What the decisions need of the chat. */
interface Chat {
  snapshot(): Pick<ChatSnapshot, "open" | "sessionId">;
  note(text: string, options?: { isError?: boolean }): void;
}

/** The calls that wait for somebody, and what the person says about them. */
export class Decisions {
  readonly #client: Client;
  readonly #chat: Chat;
  readonly #changed: () => void;
  /** Keys of the calls that were decided here, and whose outcome the stream has not told yet. */
  readonly #deciding = new Set<string>();

  /** @param changed  is told when another call than before is the one that waits */
  constructor(client: Client, chat: Chat, changed: () => void) {
    this.#client = client;
    this.#chat = chat;
    this.#changed = changed;
  }

  /** The first call that waits for somebody: for an approval, or for the result of a tool that is the client's. */
  waitingCall(): ToolEntry | null {
    for (const entry of this.#chat.snapshot().open) {
      if (entry.kind === "tool" && entry.waitsFor !== null && !this.#deciding.has(entry.key)) return entry;
    }
    return null;
  }

  /** Says what becomes of a call that waits; the stream tells what came of it. */
  async decide(
    call: ToolEntry,
    request: Pick<DecideApprovalRequest, "decision" | "comment" | "arguments">,
  ): Promise<void> {
    const { comment, decision } = request;
    await this.#settle(call, `${plainText(call.name)} was not decided`, async (sessionId) => {
      const pending = { session_id: sessionId, status: "pending", limit: 100 };
      const { data } = await this.#client.listApprovals(pending);
      const approval = data.find((each) => each.tool_call_id === call.callId);
      if (!approval) throw new Error("it does not wait any more");
      await this.#client.decideApproval(approval.id, {
        ...request,
        arguments_hash: approval.arguments_hash,
      });
      const how = request.arguments ? `${DECISIONS[decision]} with other arguments:` : DECISIONS[decision];
      return `${how} ${plainText(call.name)}${comment ? `: ${comment}` : ""}`;
    });
  }

  /** Answers a call of a client-side tool. @param outcome.error  refuses: what the model reads instead of a result */
  async answerCall(call: ToolEntry, outcome: { result: unknown } | { error: string }): Promise<void> {
    await this.#settle(call, `${plainText(call.name)} was not answered`, async (sessionId) => {
      await this.#client.submitToolResults(sessionId, [{ tool_call_id: call.callId, ...outcome }]);
      return `${"error" in outcome ? "refused" : "answered"} ${plainText(call.name)}`;
    });
  }

  async #settle(
    call: ToolEntry,
    failure: string,
    settle: (sessionId: string) => Promise<string>,
  ): Promise<void> {
    const { sessionId } = this.#chat.snapshot();
    if (sessionId === null || this.#deciding.has(call.key)) return;
    this.#deciding.add(call.key);
    this.#changed();
    try {
      this.#chat.note(await settle(sessionId));
    } catch (error) {
      this.#deciding.delete(call.key);
      this.#chat.note(`${failure}: ${sentenceOf(error)}`, { isError: true });
    }
  }
}
