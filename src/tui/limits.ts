import type { Client } from "../client/client.ts";

/** How far a session can go. */
export interface SessionLimits {
  /** Tokens that the model's window holds; null when the server does not say. */
  contextWindow: number | null;
  /** `$1.88`, or `1200 tokens`: of the budget in which least is left; null when none applies, or none could be read. */
  budgetLeft: string | null;
}

/** Looks up what the status line says beside the conversation. What cannot be read is not shown: it is no failure. */
export class Limits {
  readonly #client: Client;
  /** By the vendor's name of the model; null: the server knows none. */
  #windows = new Map<string, number | null>();

  constructor(client: Client) {
    this.#client = client;
  }

  async of(sessionId: string, model: string | null): Promise<SessionLimits> {
    const [contextWindow, budgetLeft] = await Promise.all([
      model === null ? null : this.#windowOf(model).catch(() => null),
      this.#budgetLeft(sessionId).catch(() => null),
    ]);
    return { contextWindow, budgetLeft };
  }

  async #windowOf(name: string): Promise<number | null> {
    const known = this.#windows.get(name);
    if (known !== undefined) return known;
    const { data } = await this.#client.listModels();
    for (const { model_id: id, profile } of data) this.#windows.set(id, profile?.limits?.context ?? null);
    if (!this.#windows.has(name)) this.#windows.set(name, null);
    return this.#windows.get(name) ?? null;
  }

  async #budgetLeft(sessionId: string): Promise<string | null> {
    const budgets = (await this.#client.listSessionBudgets(sessionId)).filter(
      ({ status }) => status !== "disabled",
    );
    const [tightest] = budgets.sort((a, b) => a.balance / a.limit - b.balance / b.limit);
    if (!tightest) return null;
    const left = Math.max(0, tightest.balance);
    return tightest.currency === "usd" ? dollars(left) : `${Math.round(left)} ${tightest.currency}`;
  }
}

/** `$0.0031`, `$1.88`. */
export function dollars(value: number): string {
  return `$${value.toFixed(value < 0.1 && value > 0 ? 4 : 2)}`;
}
