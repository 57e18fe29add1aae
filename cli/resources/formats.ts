/** How a command can print: a table for eyes, the others for programs. */
export const FORMATS = ["table", "json", "yaml", "id"] as const;
export type Format = (typeof FORMATS)[number];
