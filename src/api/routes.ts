/** Which routes the API has, `/v1` left out; the event log's own stand in events/events.ts. */
import { memberRoutes } from "./access/members.ts";
import { oidcRoutes } from "./access/oidc.ts";
import { organizationRoutes } from "./access/organizations.ts";
import { sessionTokenRoutes } from "./access/session-tokens.ts";
import { signInRoutes } from "./access/sign-in.ts";
import { accessTokenRoutes } from "./access/tokens.ts";
import { userRoutes } from "./access/users.ts";
import { agentFileRoutes } from "./agents/agent-files.ts";
import { agentPreviewRoutes } from "./agents/agent-preview.ts";
import { agentVersionRoutes } from "./agents/agent-versions.ts";
import { agentRoutes } from "./agents/agents.ts";
import { healthCheckRoutes } from "./agents/health-checks.ts";
import { budgetRoutes } from "./budgets/budgets.ts";
import type { ApiDeps } from "./deps.ts";
import { fileRoutes } from "./files/routes.ts";
import { capabilityRoutes } from "./harnesses/capabilities.ts";
import { declarativeCapabilityRoutes } from "./harnesses/declarative-capabilities.ts";
import { guardrailRoutes } from "./harnesses/guardrails.ts";
import { harnessMakingRoutes } from "./harnesses/harness-making.ts";
import { harnessRoutes } from "./harnesses/harnesses.ts";
import type { Route } from "./http/route.ts";
import { connectionRoutes } from "./integrations/connections.ts";
import { mcpServerRoutes } from "./integrations/mcp-servers.ts";
import { skillRoutes } from "./integrations/skills.ts";
import { breakerRoutes } from "./operations/breakers.ts";
import { durableHealthRoutes } from "./operations/durable-health.ts";
import { durableStreamRoutes } from "./operations/durable-streams.ts";
import { durableTaskRoutes } from "./operations/durable-tasks.ts";
import { workerRoutes } from "./operations/workers.ts";
import { workflowRoutes } from "./operations/workflows.ts";
import { modelRoutes } from "./providers/models.ts";
import { providerRoutes } from "./providers/providers.ts";
import { providerSyncRoutes } from "./providers/sync.ts";
import { runActionRoutes } from "./runs/run-actions.ts";
import { runRoutes } from "./runs/runs.ts";
import { durableScheduleRoutes } from "./schedules/durable-schedules.ts";
import { sessionScheduleRoutes } from "./schedules/session-schedules.ts";
import { approvalRoutes } from "./sessions/approvals.ts";
import { chatRoutes } from "./sessions/chat.ts";
import { databaseRoutes } from "./sessions/databases.ts";
import { exportRoutes } from "./sessions/export.ts";
import { forkRoutes } from "./sessions/fork.ts";
import { messagesRoutes } from "./sessions/messages.ts";
import { participantRoutes } from "./sessions/participants.ts";
import { queueRoutes } from "./sessions/queue.ts";
import { sessionViewRoutes } from "./sessions/session-views.ts";
import { sessionRoutes } from "./sessions/sessions.ts";
import { storageRoutes } from "./sessions/storage.ts";
import { toolResultRoutes } from "./sessions/tool-results.ts";
import { taskRoutes } from "./tasks/tasks.ts";
import { webhookRoutes } from "./tasks/webhooks.ts";

export function apiRoutes(deps: ApiDeps): Route[] {
  return [
    ...accessTokenRoutes(deps),
    ...agentFileRoutes(deps),
    ...memberRoutes(deps),
    ...oidcRoutes(deps),
    ...organizationRoutes(deps),
    ...sessionTokenRoutes(deps),
    ...signInRoutes(deps),
    ...userRoutes(deps),
    ...agentRoutes(deps),
    ...agentVersionRoutes(deps),
    ...agentPreviewRoutes(deps),
    ...healthCheckRoutes(deps),
    ...budgetRoutes(deps),
    ...capabilityRoutes(deps),
    ...declarativeCapabilityRoutes(deps),
    ...guardrailRoutes(),
    ...harnessMakingRoutes(deps),
    ...harnessRoutes(deps),
    ...breakerRoutes(deps),
    ...durableHealthRoutes(deps),
    ...durableStreamRoutes(deps),
    ...durableTaskRoutes(deps),
    ...workerRoutes(deps),
    ...workflowRoutes(deps),
    ...modelRoutes(deps),
    ...providerRoutes(deps),
    ...providerSyncRoutes(deps),
    ...runActionRoutes(deps),
    ...durableScheduleRoutes(deps),
    ...sessionScheduleRoutes(deps),
    ...taskRoutes(deps),
    ...webhookRoutes(deps),
    ...runRoutes(deps),
    ...approvalRoutes(deps),
    ...chatRoutes(deps),
    ...exportRoutes(deps),
    ...forkRoutes(deps),
    ...messagesRoutes(deps),
    ...participantRoutes(deps),
    ...queueRoutes(deps),
    ...sessionRoutes(deps),
    ...sessionViewRoutes(deps),
    ...connectionRoutes(deps),
    ...mcpServerRoutes(deps),
    ...skillRoutes(deps),
    ...databaseRoutes(deps),
    ...storageRoutes(deps),
    ...toolResultRoutes(deps),
    ...fileRoutes(deps),
  ];
}
