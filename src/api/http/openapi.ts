/**
 * The OpenAPI document, from the routes that the app really has. Each route carries its operation; a schema that
 * has a name here becomes a component and is referred to, everything else is written where it stands.
 */
import { COMPONENTS } from "./components.ts";

interface PublishedOperation {
  operationId?: string;
  parameters?: { name: string; in: string }[];
}

/** What an Elysia app tells about a route. */
export interface MountedRoute {
  method: string;
  path: string;
  hooks: unknown;
}

/** @param routes  those of the app; one without an operation is not published */
export function openApiDocument(routes: readonly MountedRoute[], version: string): Record<string, unknown> {
  const names = new Map(Object.entries(COMPONENTS).map(([name, schema]) => [schema, name]));
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const operation = (route.hooks as { detail?: PublishedOperation } | undefined)?.detail;
    // The same routes stand below /api/v1, too; the document shows them once.
    if (!operation?.operationId || route.path.startsWith("/api/")) continue;
    const path = documentedPath(route.path, operation);
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = toPlain(operation, names);
  }
  const sorted = Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    openapi: "3.1.0",
    info: {
      title: "Everruns",
      version,
      description: "Durable AI agents. Every route stands below `/v1` and, the same, below `/api/v1`.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    // Of every operation that does not say otherwise.
    security: [{ bearerAuth: [] }, { cookieAuth: [] }],
    paths: Object.fromEntries(sorted),
    components: {
      securitySchemes: {
        bearerAuth: { type: "http", scheme: "bearer" },
        cookieAuth: { type: "apiKey", in: "cookie", name: "access_token" },
      },
      schemas: Object.fromEntries(
        Object.entries(COMPONENTS).map(([name, schema]) => [name, toPlain(schema, names, true)]),
      ),
    },
  };
}

/** `/a/:id/fs/*` → `/a/{id}/fs/{path}`: the rest of a path is the last of its parameters. */
function documentedPath(path: string, { parameters = [] }: PublishedOperation): string {
  const rest = parameters.findLast((parameter) => parameter.in === "path")?.name;
  return path.replace(/\*$/, `{${rest}}`).replace(/:(\w+)/g, "{$1}");
}

/** A copy without TypeBox's symbols, with references in the place of named schemas. */
function toPlain(value: unknown, names: ReadonlyMap<object, string>, isRoot = false): unknown {
  if (typeof value !== "object" || value === null) return value;
  const name = isRoot ? undefined : names.get(value);
  if (name !== undefined) return { $ref: `#/components/schemas/${name}` };
  if (Array.isArray(value)) return value.map((item) => toPlain(item, names));
  const entries = Object.entries(value).flatMap(([key, item]): [string, unknown][] => {
    // `enum` says it all; the pattern beside it is for our own check. A record is a map of anything.
    if (key === "pattern" && "enum" in value) return [];
    if (key === "patternProperties")
      return [["additionalProperties", toPlain(Object.values(item)[0], names)]];
    return [[key, toPlain(item, names)]];
  });
  return Object.fromEntries(entries);
}
