/** What the catalogue's entries are written with. */
import type { Action, Resource } from "./resources.ts";

type Cell = string | number | boolean | null | undefined;

/** One kind of object. `T`: its shape on the wire. */
export interface Definition<T> {
  /** The word on the command line. */
  name: string;
  /** One of them, in sentences. */
  one: string;
  /** Ends "list …". */
  summary: string;
  /** Below `/v1`. `{session}` is the argument that the resource belongs to. */
  path: string;
  /** How one is named on the command line. */
  key: "id" | "id or name" | "path";
  /** The server takes ids alone: names are looked up in the list, in these fields, the first one first. */
  namedBy?: readonly string[];
  /** Header → cell of the table; `json` and `yaml` show everything. */
  columns: Readonly<Record<string, (item: T) => Cell>>;
  /** Flags of `list`, beside --search and --limit: query parameter → what it means. */
  filters?: Readonly<Record<string, string>>;
  /** What a list asks for unless its reader says otherwise: query parameter → value. The value `all` lifts it. */
  defaults?: Readonly<Record<string, string>>;
  /** Has --search. */
  isSearchable?: boolean;
  /** The server pages it: --limit and --offset go there. */
  isPaged?: boolean;
  /** POST of a body makes one. */
  isCreatable?: boolean;
  /** The field that a file with the text of one is, letter by letter, rather than an object with fields. */
  textField?: string;
  /** PATCH of a body changes one; the fields that `edit` shows. */
  editable?: readonly string[];
  /** What DELETE does: archived can be taken back, the others not. */
  deletes?: "archives" | "deletes" | "revokes";
  /** Read one by `get`; workers have no page of their own. */
  isReadable?: boolean;
  /** `POST {path}/{id}/{verb}`: verb → what it does. */
  actions?: Readonly<Record<string, Action>>;
}

/** Ties the columns to the shape of the contract. */
export const define = <T extends object>(definition: Definition<T>): Resource =>
  definition as unknown as Resource;

/** For kinds whose DELETE archives. */
export const RESTORE: Action = {
  summary: "take archived ones back",
  path: "",
  method: "PATCH",
  body: { status: "active" },
};
