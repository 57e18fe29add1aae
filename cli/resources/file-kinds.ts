/** Kinds of objects, beside agents, that are kept as files: their fields, and which of them are secrets. */
import { CATALOG, type Item, type Resource } from "../../src/client/resources.ts";

export interface ObjectKind {
  resource: Resource;
  /** Of a file, in the order in which an export writes them. */
  fields: readonly string[];
  /** What a field means that the file leaves out; null when it is not named here. */
  defaults: Item;
  /** Has a prompt as the text below its fields. */
  hasPrompt: boolean;
  /** The field with the key, and the one by which the server says that it has one. */
  key: { field: string; isSet: string } | null;
  /** The field that says where the secrets go: with another one they are sent again. */
  address: string | null;
  /** A field of names and secrets, whose values the server hides. */
  hidden: string | null;
  /** A field with the id of another object of the kind, which files call by its name. */
  parent: string | null;
}

const KINDS: Readonly<Record<string, Omit<ObjectKind, "resource">>> = {
  harnesses: {
    fields: [
      "name",
      "display_name",
      "description",
      "parent_harness_id",
      "default_model_id",
      "capabilities",
      "initial_files",
      "mcpServers",
      "network_access",
      "parallel_tool_calls",
      "embedder_metadata",
      "tags",
      "system_prompt",
    ],
    defaults: {},
    hasPrompt: true,
    key: null,
    address: null,
    hidden: null,
    parent: "parent_harness_id",
  },
  providers: {
    fields: ["name", "provider_type", "base_url", "api_key", "status", "trace", "limits"],
    defaults: { status: "active" },
    hasPrompt: false,
    key: { field: "api_key", isSet: "api_key_set" },
    address: "base_url",
    hidden: null,
    parent: null,
  },
  "mcp-servers": {
    fields: [
      "name",
      "url",
      "description",
      "transport_type",
      "auth_mode",
      "protocol_mode",
      "api_key",
      "headers",
    ],
    defaults: { transport_type: "http", auth_mode: "none", protocol_mode: "auto" },
    hasPrompt: false,
    key: { field: "api_key", isSet: "api_key_set" },
    address: "url",
    hidden: "headers",
    parent: null,
  },
};

/** @throws Error  no files are kept of it: a mistake of ours */
export function objectKind(name: string): ObjectKind {
  const kind = KINDS[name];
  const resource = CATALOG.find((each) => each.name === name);
  if (!kind || !resource) throw new Error(`${name} are not kept as files`);
  return { resource, ...kind };
}

/** PURE: the names of the fields that are not the same, in the order of the wanted ones. */
export function changedFields(before: Item, wanted: Item): string[] {
  return [...new Set([...Object.keys(wanted), ...Object.keys(before)])].filter(
    (field) => !Bun.deepEquals(plain(field, before[field]), plain(field, wanted[field])),
  );
}

/** Empty is empty, whether it is written or not; a capability without a configuration is its name. */
function plain(field: string, value: unknown): unknown {
  if (isEmpty(value)) return null;
  if (field !== "capabilities" || !Array.isArray(value)) return withoutEmpty(value);
  return value.map((each) => {
    const { ref, config } = typeof each === "string" ? { ref: each, config: null } : each;
    return { ref, config: isEmpty(config) ? null : withoutEmpty(config) };
  });
}

function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, each]) => (each === null ? [] : [[name, withoutEmpty(each)]])),
  );
}

export function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
