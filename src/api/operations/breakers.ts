import { UserError } from "../../base/errors.ts";
import { CircuitBreakerResponse, CircuitBreakersListResponse } from "../../contract/run.ts";
import {
  type BreakerKey,
  breakerKeyText,
  deleteBreaker,
  findBreaker,
  forceBreakerClosed,
  forceBreakerOpen,
  type ListedBreaker,
  listBreakers,
  parseBreakerKey,
} from "../../db/providers/breakers.ts";
import type { ApiDeps } from "../deps.ts";
import { iso, isoOrNull, present, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

/** Circuit breakers of models, for operators. A change reaches the calls of the workers within seconds. */
export function breakerRoutes({ db, log }: Pick<ApiDeps, "db" | "log">): Route[] {
  const told = (what: string, key: BreakerKey) =>
    log.info(`a circuit breaker was ${what} by an operator`, {
      breaker: breakerKeyText(key.providerId, key.model),
      organization_id: key.organizationId,
    });

  return [
    defineRoute({
      method: "GET",
      path: "/durable/circuit-breakers",
      operationId: "list_circuit_breakers",
      tag: "durable",
      access: "admin",
      summary: "List the circuit breakers of models that have been in trouble, the last changed first",
      responses: { 200: CircuitBreakersListResponse },
      async run({ caller }) {
        const rows = await listBreakers(db, caller.organizationId);
        return reply(200, whole(rows.map(breakerToWire)));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/durable/circuit-breakers/{key}",
      operationId: "get_circuit_breaker",
      tag: "durable",
      access: "admin",
      summary: "Read a circuit breaker",
      responses: { 200: CircuitBreakerResponse },
      problems: ["not_found"],
      async run({ params, caller }) {
        const row = await findBreaker(db, keyOf(params.key, caller.organizationId));
        if (!row) throw noBreaker();
        return reply(200, breakerToWire(row));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/durable/circuit-breakers/{key}",
      operationId: "delete_circuit_breaker",
      tag: "durable",
      access: "admin",
      summary: "Forget a circuit breaker: closed, and without a past",
      responses: { 200: null },
      problems: ["not_found"],
      async run({ params, caller }) {
        const key = keyOf(params.key, caller.organizationId);
        if (!(await deleteBreaker(db, key))) throw noBreaker();
        told("deleted", key);
        return reply(200, null);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/durable/circuit-breakers/{key}/close",
      operationId: "force_close_circuit_breaker",
      tag: "durable",
      access: "admin",
      summary: "Close a circuit breaker: calls go out again",
      responses: { 200: null },
      problems: ["not_found"],
      async run({ params, caller }) {
        const key = keyOf(params.key, caller.organizationId);
        if (!(await forceBreakerClosed(db, key))) throw noBreaker();
        told("closed", key);
        return reply(200, null);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/durable/circuit-breakers/{key}/open",
      operationId: "force_open_circuit_breaker",
      tag: "durable",
      access: "admin",
      summary: "Open a circuit breaker until it is closed by hand",
      description:
        "Nothing is sent to the model any more: turns that need it fail with `provider_unavailable`.",
      responses: { 200: null },
      problems: ["not_found"],
      async run({ params, caller }) {
        const key = keyOf(params.key, caller.organizationId);
        if (!(await forceBreakerOpen(db, key))) throw noBreaker();
        told("opened", key);
        return reply(200, null);
      },
    }),
  ];
}

const noBreaker = () =>
  new UserError("not_found", "There is no such circuit breaker; a key is prov_<32 hex digits>:<model name>");

/** @throws UserError not_found */
function keyOf(text: string, organizationId: string): BreakerKey {
  const key = parseBreakerKey(text);
  if (key === null) throw noBreaker();
  return { ...key, organizationId };
}

export function breakerToWire(row: ListedBreaker): CircuitBreakerResponse {
  return present({
    key: breakerKeyText(row.provider_id, row.model_id),
    state: row.state,
    failure_count: row.failure_count,
    success_count: row.success_count,
    last_failure_at: isoOrNull(row.last_failure_at),
    opened_at: isoOrNull(row.opened_at),
    half_open_at: isoOrNull(row.half_open_at),
    updated_at: iso(row.updated_at),
  });
}
