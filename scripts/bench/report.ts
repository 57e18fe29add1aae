/** The rows of the benchmark and how they are shown: as they come, and as a table for RESULTS.md. */

export interface Row {
  /** The heading that it stands under. */
  part: string;
  what: string;
  measured: string;
  /** The goal in words; null when the row is there for comparison only. */
  goal: string | null;
  /** null when there is no goal, or the row could not be measured. */
  isMet: boolean | null;
  /** What the figure is bounded by, and how it was taken. */
  note: string;
}

export interface Report {
  add(row: Omit<Row, "part">): void;
  rows(): readonly Row[];
  part(name: string): void;
}

export function createReport(print: (line: string) => void): Report {
  const rows: Row[] = [];
  let part = "";
  return {
    part(name) {
      part = name;
      print(`\n${name}`);
    },
    add(row) {
      rows.push({ part, ...row });
      const goal = row.goal === null ? "" : `   goal ${row.goal}: ${verdict(row)}`;
      print(`  ${row.what}\n      ${row.measured}${goal}${row.note === "" ? "" : `\n      ${row.note}`}`);
    },
    rows: () => rows,
  };
}

export function verdict(row: Pick<Row, "goal" | "isMet">): string {
  if (row.goal === null) return "";
  return row.isMet === null ? "not measured" : row.isMet ? "met" : "MISSED";
}

export function toMarkdown(rows: readonly Row[]): string {
  const parts = [...new Set(rows.map((row) => row.part))];
  return parts
    .map((part) => {
      const lines = rows
        .filter((row) => row.part === part)
        .map((row) => [row.what, `**${row.measured}**`, row.goal ?? "", verdict(row), row.note]);
      const table = [["what", "measured", "goal", "", "bounded by, and how it was taken"], ...lines];
      const [head, ...body] = table.map((cells) => `| ${cells.map(cell).join(" | ")} |`);
      return `## ${part}\n\n${head}\n| --- | --- | --- | --- | --- |\n${body.join("\n")}\n`;
    })
    .join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

/** The value below which `part` (0 to 1) of the values lie. @throws Error without values */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  if (value === undefined) throw new Error("nothing was measured");
  return value;
}

/** `1.9 / 4.2 ms p50 / p99` */
export function latencyText(valuesMs: readonly number[]): string {
  return `${ms(quantile(valuesMs, 0.5))} / ${ms(quantile(valuesMs, 0.99))} ms p50 / p99`;
}

export function ms(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
