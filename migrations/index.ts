/** Every migration in order, carried inside the executable. A test compares the list with the directory. */
import organizations from "./0001_organizations.sql" with { type: "text" };
import harnessesAgents from "./0002_harnesses_agents.sql" with { type: "text" };
import providersModels from "./0003_providers_models.sql" with { type: "text" };
import sessionsEvents from "./0004_sessions_events.sql" with { type: "text" };
import runsStepsWorkers from "./0005_runs_steps_workers.sql" with { type: "text" };
import files from "./0006_files.sql" with { type: "text" };
import waits from "./0007_waits.sql" with { type: "text" };
import claims from "./0008_claims.sql" with { type: "text" };
import forks from "./0009_forks.sql" with { type: "text" };
import budgets from "./0010_budgets.sql" with { type: "text" };
import circuitBreakers from "./0011_circuit_breakers.sql" with { type: "text" };
import retention from "./0012_retention.sql" with { type: "text" };
import queue from "./0013_queue.sql" with { type: "text" };
import operators from "./0014_operators.sql" with { type: "text" };
import access from "./0015_access.sql" with { type: "text" };
import fileTrees from "./0016_file_trees.sql" with { type: "text" };
import durable from "./0017_durable.sql" with { type: "text" };
import participants from "./0018_participants.sql" with { type: "text" };
import images from "./0019_images.sql" with { type: "text" };
import sessionStorage from "./0020_session_storage.sql" with { type: "text" };
import schedules from "./0021_schedules.sql" with { type: "text" };
import harnessLife from "./0022_harness_life.sql" with { type: "text" };
import chatSessions from "./0023_chat_sessions.sql" with { type: "text" };
import agentVersions from "./0024_agent_versions.sql" with { type: "text" };
import integrations from "./0025_integrations.sql" with { type: "text" };
import addressedAgents from "./0026_addressed_agents.sql" with { type: "text" };
import memorySync from "./0027_memory_sync.sql" with { type: "text" };
import declarativeCapabilities from "./0028_declarative_capabilities.sql" with { type: "text" };
import sessionTasks from "./0029_session_tasks.sql" with { type: "text" };
import sessionDatabases from "./0030_session_databases.sql" with { type: "text" };
import healthChecks from "./0031_health_checks.sql" with { type: "text" };
import taskWebhooks from "./0032_task_webhooks.sql" with { type: "text" };
import tokenLineage from "./0033_token_lineage.sql" with { type: "text" };
import stagedBytes from "./0034_staged_bytes.sql" with { type: "text" };

export interface Migration {
  version: number;
  name: string;
  sql: string;
}

export const migrations: readonly Migration[] = [
  { version: 1, name: "0001_organizations", sql: organizations },
  { version: 2, name: "0002_harnesses_agents", sql: harnessesAgents },
  { version: 3, name: "0003_providers_models", sql: providersModels },
  { version: 4, name: "0004_sessions_events", sql: sessionsEvents },
  { version: 5, name: "0005_runs_steps_workers", sql: runsStepsWorkers },
  { version: 6, name: "0006_files", sql: files },
  { version: 7, name: "0007_waits", sql: waits },
  { version: 8, name: "0008_claims", sql: claims },
  { version: 9, name: "0009_forks", sql: forks },
  { version: 10, name: "0010_budgets", sql: budgets },
  { version: 11, name: "0011_circuit_breakers", sql: circuitBreakers },
  { version: 12, name: "0012_retention", sql: retention },
  { version: 13, name: "0013_queue", sql: queue },
  { version: 14, name: "0014_operators", sql: operators },
  { version: 15, name: "0015_access", sql: access },
  { version: 16, name: "0016_file_trees", sql: fileTrees },
  { version: 17, name: "0017_durable", sql: durable },
  { version: 18, name: "0018_participants", sql: participants },
  { version: 19, name: "0019_images", sql: images },
  { version: 20, name: "0020_session_storage", sql: sessionStorage },
  { version: 21, name: "0021_schedules", sql: schedules },
  { version: 22, name: "0022_harness_life", sql: harnessLife },
  { version: 23, name: "0023_chat_sessions", sql: chatSessions },
  { version: 24, name: "0024_agent_versions", sql: agentVersions },
  { version: 25, name: "0025_integrations", sql: integrations },
  { version: 26, name: "0026_addressed_agents", sql: addressedAgents },
  { version: 27, name: "0027_memory_sync", sql: memorySync },
  { version: 28, name: "0028_declarative_capabilities", sql: declarativeCapabilities },
  { version: 29, name: "0029_session_tasks", sql: sessionTasks },
  { version: 30, name: "0030_session_databases", sql: sessionDatabases },
  { version: 31, name: "0031_health_checks", sql: healthChecks },
  { version: 32, name: "0032_task_webhooks", sql: taskWebhooks },
  { version: 33, name: "0033_token_lineage", sql: tokenLineage },
  { version: 34, name: "0034_staged_bytes", sql: stagedBytes },
];
