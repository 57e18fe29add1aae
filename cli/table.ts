/** PURE: rows as aligned columns. Numbers and dates are text already; the last column may be as long as it likes. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = header.map((name, column) =>
    Math.max(...[name, ...rows.map((row) => row[column] ?? "")].map((text) => Bun.stringWidth(text))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell + " ".repeat(Math.max(0, (widths[column] ?? 0) - Bun.stringWidth(cell))))
      .join("  ")
      .trimEnd();
  return [line(header.map((name) => name.toUpperCase())), ...rows.map(line)];
}
