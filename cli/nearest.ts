/** PURE: the word that was probably meant, at most two letters away; null when none is that near. */
export function nearestOf(typed: string, words: readonly string[]): string | null {
  const ranked = words
    .map((word) => ({ word, steps: stepsBetween(typed.toLowerCase(), word.toLowerCase()) }))
    .sort((a, b) => a.steps - b.steps);
  const [best] = ranked;
  return best !== undefined && best.steps <= Math.min(2, best.word.length - 1) ? best.word : null;
}

/** Letters to add, take away or replace (Levenshtein). */
function stepsBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (const [y, letter] of [...from].entries()) {
    const next = [y + 1];
    for (let x = 0; x < to.length; x += 1) {
      const replaced = (row[x] ?? 0) + (to[x] === letter ? 0 : 1);
      next.push(Math.min(replaced, (row[x + 1] ?? 0) + 1, (next[x] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
