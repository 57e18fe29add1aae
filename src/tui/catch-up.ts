import type { Event } from "../contract/event.ts";

/**
 * Counts the events that a stream brings after it was lost, up to where the log stood when the stream was back: what
 * came meanwhile, and nothing of what comes now.
 */
export class CatchUp {
  #sequences: number[] = [];
  #lastSequence: number | null = null;

  add(events: readonly Event[]): void {
    this.#sequences.push(...events.map(({ sequence }) => sequence));
  }

  /** @param sequence  of the newest event of the log when the stream was back */
  until(sequence: number): void {
    this.#lastSequence = sequence;
  }

  /** @param sequence  of the newest event that has arrived. @returns null while there is more to come */
  count(sequence: number): number | null {
    const last = this.#lastSequence;
    if (last === null || sequence < last) return null;
    return this.#sequences.filter((each) => each <= last).length;
  }
}
