import type { ChatSnapshot } from "./chat-session.ts";

/** A question of the program itself: it has the composer until it is answered, or left with Esc. */
export interface Prompt {
  id: number;
  text: string;
  /** What stands in the composer to begin with. */
  draft: string;
}

/** What the program asks the person, and what it does meanwhile that the person may end. */
export class Questions {
  readonly #set: (change: Partial<Pick<ChatSnapshot, "prompt" | "task">>) => void;
  #prompt: Prompt | null = null;
  #promptCount = 0;
  #answerPrompt: ((text: string | null) => void) | null = null;
  #task: AbortController | null = null;

  /** @param set  shows what has changed */
  constructor(set: (change: Partial<Pick<ChatSnapshot, "prompt" | "task">>) => void) {
    this.#set = set;
  }

  /** Asks the person for a line. @returns null when it was left with Esc */
  ask(text: string, draft = ""): Promise<string | null> {
    this.answer(null);
    this.#promptCount += 1;
    this.#prompt = { id: this.#promptCount, text, draft };
    this.#set({ prompt: this.#prompt });
    return new Promise((resolve) => {
      this.#answerPrompt = resolve;
    });
  }

  /** Answers the question that has the composer; null leaves it. */
  answer(text: string | null): void {
    const resolve = this.#answerPrompt;
    this.#answerPrompt = null;
    if (this.#prompt) this.#set({ prompt: null });
    this.#prompt = null;
    resolve?.(text);
  }

  /** Does something that takes long, and says so; Esc aborts it. @returns null when it was aborted */
  async perform<T>(name: string, work: (signal: AbortSignal) => Promise<T>): Promise<T | null> {
    const stop = new AbortController();
    this.#task = stop;
    this.#set({ task: name });
    try {
      return await work(stop.signal);
    } catch (error) {
      if (stop.signal.aborted) return null;
      throw error;
    } finally {
      if (this.#task === stop) {
        this.#task = null;
        this.#set({ task: null });
      }
    }
  }

  /** Ends what `perform` is doing. */
  abortTask(): void {
    this.#task?.abort();
  }
}
