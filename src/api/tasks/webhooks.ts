/** Webhooks that tell an organization that a task has ended. */
import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { newWebhookSecret } from "../../base/webhook-signature.ts";
import { limits } from "../../contract/limits.ts";
import { List } from "../../contract/schema.ts";
import {
  CreatedTaskWebhook,
  CreateTaskWebhookRequest,
  TaskWebhookResponse,
  UpdateTaskWebhookRequest,
} from "../../contract/task.ts";
import {
  createWebhook,
  deleteWebhook,
  findWebhook,
  listWebhooks,
  updateWebhook,
  type WebhookRow,
  webhookSecretPlace,
} from "../../db/tasks/webhooks.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { iso, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

const common = { tag: "tasks", access: "admin" } as const;

export function webhookRoutes({
  db,
  seal,
  capabilities,
}: Pick<ApiDeps, "db" | "seal" | "capabilities">): Route[] {
  const requireUrl = (url: string): string => {
    const refusal = capabilities.refuseServerUrl(url);
    if (refusal !== null) throw new UserError("invalid_request", `url: ${refusal}`);
    return url;
  };
  const sealed = (organizationId: string, id: string, secret: string) =>
    seal(secret, webhookSecretPlace(organizationId, id));

  return [
    defineRoute({
      ...common,
      method: "GET",
      path: "/task-webhooks",
      operationId: "list_webhooks",
      summary: "List the webhooks for tasks, oldest first",
      responses: { 200: List(TaskWebhookResponse) },
      run: async ({ caller }) =>
        reply(200, whole((await listWebhooks(db, caller.organizationId)).map(toWire))),
    }),
    defineRoute({
      ...common,
      method: "POST",
      path: "/task-webhooks",
      operationId: "create_webhook",
      summary: "Be told at an address that a task has ended",
      description:
        "A POST with `{type: task.succeeded, task.failed or task.canceled, timestamp, data: {task}}`, signed as Standard Webhooks " +
        "has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`) and in `X-Everruns-Signature: sha256=<hex HMAC " +
        "of the body under the secret's text>`. Any 2xx within 15 seconds is taken for received; otherwise it is tried " +
        "again for about two days, under the same `webhook-id`; 410 switches the webhook off. The address is https, and " +
        "not of this server's own network. A secret that is left out is made, and shown in this answer only.",
      body: CreateTaskWebhookRequest,
      responses: { 201: CreatedTaskWebhook },
      problems: ["limit_exceeded"],
      async run({ body, caller: { organizationId } }) {
        const id = newId("wh");
        const secret = body.secret ?? newWebhookSecret();
        const row = await createWebhook(db, {
          id,
          organizationId,
          url: requireUrl(body.url),
          secretSealed: sealed(organizationId, id, secret),
          enabled: body.enabled ?? true,
          webhooksMax: limits.taskWebhooksMax,
        });
        if (!row) {
          throw new UserError(
            "limit_exceeded",
            `an organization has at most ${limits.taskWebhooksMax} webhooks`,
          );
        }
        return reply(201, { ...toWire(row), ...(body.secret == null ? { secret } : {}) });
      },
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/task-webhooks/{webhook_id}",
      operationId: "get_webhook",
      summary: "Read a webhook; its secret is never shown again",
      responses: { 200: TaskWebhookResponse },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const row = await findWebhook(db, caller.organizationId, pathId("wh", params.webhook_id));
        if (!row) throw noWebhook();
        return reply(200, toWire(row));
      },
    }),
    defineRoute({
      ...common,
      method: "PATCH",
      path: "/task-webhooks/{webhook_id}",
      operationId: "update_webhook",
      summary: "Change some fields of a webhook",
      description:
        "What is absent or null stays. What is still to be delivered goes to the new address, under the new secret.",
      body: UpdateTaskWebhookRequest,
      responses: { 200: TaskWebhookResponse },
      problems: ["invalid_id", "not_found"],
      async run({ params, body, caller: { organizationId } }) {
        const id = pathId("wh", params.webhook_id);
        const row = await updateWebhook(db, organizationId, id, {
          url: body.url == null ? undefined : requireUrl(body.url),
          enabled: body.enabled ?? undefined,
          secret_sealed: body.secret == null ? undefined : sealed(organizationId, id, body.secret),
        });
        if (!row) throw noWebhook();
        return reply(200, toWire(row));
      },
    }),
    defineRoute({
      ...common,
      method: "DELETE",
      path: "/task-webhooks/{webhook_id}",
      operationId: "delete_webhook",
      summary: "Delete a webhook, with what was still to be delivered to it",
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        if (!(await deleteWebhook(db, caller.organizationId, pathId("wh", params.webhook_id))))
          throw noWebhook();
        return reply(204, null);
      },
    }),
  ];
}

const noWebhook = () => new UserError("not_found", "Webhook not found");

function toWire(row: WebhookRow): TaskWebhookResponse {
  return {
    id: row.id,
    url: row.url,
    enabled: row.enabled,
    has_secret: true,
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  };
}
