/**
 * PURE: rows as aligned columns. Numbers and dates are text already; the last column may be as long as it likes.
 *
 * @param widthsMin  of columns that should not move when other rows follow
 */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  widthsMin: readonly number[] = [],
): string[] {
  const widths = header.map((name, column) =>
    Math.max(
      widthsMin[column] ?? 0,
      ...[name, ...rows.map((row) => row[column] ?? "")].map((text) => Bun.stringWidth(text)),
    ),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell + " ".repeat(Math.max(0, (widths[column] ?? 0) - Bun.stringWidth(cell))))
      .join("  ")
      .trimEnd();
  return [line(header.map((name) => name.toUpperCase())), ...rows.map(line)];
}
