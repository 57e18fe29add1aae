/**
 * Random calls of every operation of the OpenAPI document, with ids that earlier answers gave. Whatever is sent: a
 * success has the shape that the document says, everything else is a problem that the document knows, and never 500.
 */
import { complaintAbout } from "./bad-input.ts";
import type { Operation } from "./document.ts";
import { ODD_SEGMENTS } from "./odd-texts.ts";
import { createRandom, junk, type Random, randomOf, spoilt } from "./random.ts";
import type { CallOptions, World } from "./world.ts";

export interface FuzzReport {
  calls: number;
  /** Operations that answered with a success at least once. */
  succeeded: Set<string>;
  byStatus: Map<number, number>;
  /** What must not be, with the call that showed it. */
  violations: string[];
}

export interface FuzzOptions {
  seed: number;
  /** Looked at before each call. */
  isOver(report: FuzzReport): boolean;
  /** Calls that are on their way at the same time. With 1 the same seed makes the same calls. */
  lanes: number;
  report?: FuzzReport;
}

/** They would end the conversation that must work afterwards, or wait for it. */
const LEFT_ALONE: ReadonlySet<string> = new Set(["delete_current_user", "drain_worker"]);
const SHOWN_MAX = 50;
/** How often a call is as it should be, one spoilt in one place, or nothing of sense. */
const VALID = 0.6;
const SPOILT = 0.9;
/** DELETE takes away what the others need. */
const DELETE_TAKEN = 0.15;

export const newReport = (): FuzzReport => ({
  calls: 0,
  succeeded: new Set(),
  byStatus: new Map(),
  violations: [],
});

export async function fuzz<A>(world: World<A>, options: FuzzOptions): Promise<FuzzReport> {
  const report = options.report ?? newReport();
  const operations = world.operations.filter(
    ({ operationId, path }) => !LEFT_ALONE.has(operationId) && !path.endsWith("/drain"),
  );
  const lane = async (number: number) => {
    const random = createRandom(options.seed + number * 7_919);
    while (!options.isOver(report)) {
      const operation = random.pick(operations);
      if (operation.method === "DELETE" && !random.isLucky(DELETE_TAKEN)) continue;
      const call = randomCall(world, operation, random);
      report.calls += 1;
      const answer = await world.call(operation, call).catch((error: unknown) => String(error));
      if (typeof answer === "string") {
        report.violations.push(
          `${operation.name} ${JSON.stringify(call).slice(0, 2_000)}: no answer: ${answer}`,
        );
        continue;
      }
      report.byStatus.set(answer.status, (report.byStatus.get(answer.status) ?? 0) + 1);
      const complaint =
        complaintAbout(operation, answer, { mayPass: true, isElsewhere: true }) ??
        shapeComplaint(world, operation, answer);
      if (complaint !== null && report.violations.length < SHOWN_MAX) {
        report.violations.push(`${operation.name} ${JSON.stringify(call).slice(0, 2_000)}: ${complaint}`);
      }
      if (answer.status < 300) {
        report.succeeded.add(operation.name);
        world.harvest(answer.body, operation);
      }
    }
  };
  await Promise.all(Array.from({ length: options.lanes }, (_none, number) => lane(number)));
  return report;
}

function randomCall<A>(world: World<A>, operation: Operation, random: Random): CallOptions {
  const luck = random.next();
  const known = (field: string, schema: Parameters<World<A>["known"]>[1]) =>
    /_id$/.test(field) && random.isLucky(0.5) ? anyId(world, field, random) : world.known(field, schema);
  const query = operation.query
    .filter(({ name, required }) => name !== "wait" && (required || random.isLucky(0.3)))
    .map(({ name, schema }) => {
      const value = luck < SPOILT ? randomOf(world.document, schema, { random, known }) : junk(random);
      return `${name}=${encodeURIComponent(String(value).toWellFormed())}`;
    });
  const path = Object.fromEntries(
    operation.pathParameters.flatMap((name): [string, string][] => {
      if (luck >= SPOILT && random.isLucky(0.3)) return [[name, random.pick(ODD_SEGMENTS)[1]]];
      const id = world.anyOf(name, operation.path, random);
      return id === null ? [] : [[name, id]];
    }),
  );
  const call: CallOptions = { path, query: query.length === 0 ? "" : `?${query.join("&")}` };
  if (operation.jsonBody === null) return call;
  const body = randomOf(world.document, operation.jsonBody, { random, known });
  const sent = luck < VALID ? body : luck < SPOILT ? spoilt(body, random) : junk(random);
  return { ...call, body: JSON.stringify(sent) };
}

function anyId<A>(world: World<A>, field: string, random: Random): unknown {
  return world.anyOf(field, "", random) ?? undefined;
}

/** What is wrong with the body of a success; null when nothing is. */
function shapeComplaint<A>(
  world: World<A>,
  operation: Operation,
  { status, headers, body }: { status: number; headers: Headers; body: unknown },
): string | null {
  if (status >= 300) return null;
  const documented = operation.responses[status];
  if (!documented) return `${status} is not documented`;
  const type = headers.get("content-type")?.split(";")[0] ?? "";
  const types = Object.keys(documented);
  if (types.length === 0) return body === null ? null : `${status} has a body, and none is documented`;
  const isKnown = types.some(
    (one) => one === type || (one.endsWith("/*") && type.startsWith(one.slice(0, -1))),
  );
  if (!isKnown) return `${status} comes as ${type || "nothing"}, not as ${types.join(", ")}`;
  const schema = documented["application/json"];
  // What is written out by hand is documented as bytes.
  if (type !== "application/json" || !schema || schema.format === "binary") return null;
  const complaint = world.complaint(schema, body);
  return complaint === null ? null : `${status} ${complaint}: ${JSON.stringify(body).slice(0, 1_000)}`;
}
