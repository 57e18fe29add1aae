/** The rows of the benchmark and how they are shown: as they come, and as the tables of RESULTS.md. */

export interface Row {
  /** The heading that it stands under. */
  part: string;
  what: string;
  measured: string;
  /** The goal in words; null when the row is there for comparison only. */
  goal: string | null;
  /** null when there is no goal, or the row could not be measured. */
  isMet: boolean | null;
  /** The goal scaled to this machine by a ceiling measured in the same run; null where that makes no sense. */
  here?: { goal: string; isMet: boolean } | null;
  /** Of the ceiling measured in the same run, such as `67 % of pgbench's 6,267`. */
  share?: string | null;
  /** The best elsewhere, for the summary. */
  elsewhere?: string | null;
  /** What bounded the figure, made of what was measured while it was taken. */
  bound?: string | null;
  /** How it was taken. */
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
      const here = row.here ? `, on this machine ${row.here.goal}` : "";
      const goal = row.goal === null ? "" : `   goal ${row.goal}${here}: ${verdict(row)}`;
      const share = row.share ? `   (${row.share})` : "";
      const lines = [row.bound, row.note].filter((text) => text).map((text) => `\n      ${text}`);
      print(`  ${row.what}\n      ${row.measured}${share}${goal}${lines.join("")}`);
    },
    rows: () => rows,
  };
}

/** An absolute goal that is missed stays missed, also where it is met in proportion to the machine. */
export function verdict(row: Pick<Row, "goal" | "isMet" | "here">): string {
  if (row.goal === null) return "";
  if (row.isMet === null) return "not measured";
  return row.isMet ? "met" : row.here?.isMet ? "MISSED, met here in proportion" : "MISSED";
}

/** First a line for each goal, then what bounded the missed ones, then everything by part. */
export function toMarkdown(rows: readonly Row[]): string {
  const goals = rows.filter((row) => row.goal !== null);
  const isScaled = rows.some((row) => row.here);
  const summary = table(
    ["what", "here", "goal", "goal on this machine", "share of the ceiling", "best elsewhere", "verdict"],
    goals.map((row) => [
      row.what,
      `**${row.measured}**`,
      row.goal ?? "",
      row.here?.goal ?? "",
      row.share ?? "",
      row.elsewhere ?? "",
      verdict(row),
    ]),
  );
  const missed = goals.filter((row) => row.isMet === false && row.bound);
  const bounds = missed.map((row) => `- ${row.what}: ${row.bound}`).join("\n");
  const parts = [...new Set(rows.map((row) => row.part))].map((part) => {
    const own = rows.filter((row) => row.part === part);
    const lines = own.map((row) => [row.what, `**${row.measured}**`, row.bound ?? "", row.note]);
    return `### ${part}\n\n${table(["what", "measured", "who was busy", "how"], lines)}`;
  });
  return [
    `## Every goal\n\n${isScaled ? `${SCALED}\n\n` : ""}${summary}`,
    ...(missed.length === 0 ? [] : [`## What bounds the missed ones\n\n${bounds}\n`]),
    `## Every figure\n\n${parts.join("\n")}`,
  ].join("\n");
}

const SCALED =
  "A throughput was set as a goal for a machine on which pgbench reached 11,040 steps/s. Goal on this machine: the " +
  "same, times what pgbench reached in this run over that. Best elsewhere: what the goals were set against (2 cores, " +
  "PostgreSQL on the same machine, before this project began); not measured again here.";

function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => "---"), ...body].map((cells) => `| ${cells.map(cell).join(" | ")} |`);
  return `${lines.join("\n")}\n`;
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
