/**
 * JSON text that PostgreSQL's jsonb takes. jsonb refuses NUL and lone surrogates, which models and tools do
 * produce; both become U+FFFD. The check on the finished text keeps the usual case at one pass.
 */
export function toJsonText(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  if (!/\\u(?:0000|d[89a-f])/i.test(text)) return text;
  return JSON.stringify(value, (_name, item: unknown) =>
    typeof item === "string" ? wellFormed(item) : item,
  );
}

/** Text without NUL and lone surrogates. */
export function wellFormed(text: string): string {
  return text.replaceAll("\0", "\uFFFD").toWellFormed();
}

/** At most `max` UTF-16 units, not cut inside a surrogate pair. */
export function preview(text: string, max: number): string {
  return text.length <= max
    ? text
    : text
        .slice(0, max)
        .toWellFormed()
        .replace(/\uFFFD$/, "");
}
