/** How a command can print: a table for eyes, the others for programs. */
export const FORMATS = ["table", "json", "yaml", "id"] as const;
export type Format = (typeof FORMATS)[number];

/** The flag of a filter: `agent_id` → `agent`, `include_archived` → `include-archived`. */
export const flagOf = (parameter: string) => parameter.replace(/_id$/, "").replaceAll("_", "-");
