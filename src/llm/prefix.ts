/** Going on with an answer whose beginning is there already. */
import type { Chunk } from "./driver.ts";

/**
 * A vendor that takes no white space at the end of a beginning is sent it without, and mostly says it again. What
 * is there already is left out of the continuation, so that beginning and continuation make the answer.
 */
export async function* withoutRepeatedSpace(
  prefix: string,
  chunks: AsyncIterable<Chunk>,
): AsyncGenerator<Chunk, void, void> {
  let there = prefix.slice(prefix.trimEnd().length);
  for await (const chunk of chunks) {
    if (chunk.kind !== "text" || there === "") {
      yield chunk;
      continue;
    }
    let same = 0;
    while (same < there.length && same < chunk.text.length && there[same] === chunk.text[same]) same += 1;
    there = same < chunk.text.length ? "" : there.slice(same);
    if (same < chunk.text.length) yield { kind: "text", text: chunk.text.slice(same) };
  }
}
