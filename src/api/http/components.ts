/** The schemas that have a name in the OpenAPI document, in the order of the alphabet. */
import {
  AgentWithCounts,
  AgentWithUrls,
  CreateAgentRequest,
  UpdateAgentRequest,
} from "../../contract/agent.ts";
import { CapabilityInfoWithUrls } from "../../contract/capability.ts";
import {
  AllowedAction,
  CapabilityConfig,
  InitialFile,
  McpServers,
  NetworkAccessList,
  ResourceConfigResponse,
  ResourceStats,
  ToolDefinition,
  Urls,
} from "../../contract/common.ts";
import { Connection } from "../../contract/connection.ts";
import {
  DlqEntryResponse,
  HealthResponse,
  MetricsPoint,
  TaskResponse,
  WorkflowEventResponse,
  WorkflowResponse,
} from "../../contract/durable.ts";
import { eventDefinitions } from "../../contract/event.ts";
import { EventSchema } from "../../contract/event-schema.ts";
import { FileInfo, FileStat, GrepResult, SessionFile, Workspace } from "../../contract/file.ts";
import {
  CreateHarnessRequest,
  HarnessExample,
  HarnessWithCounts,
  HarnessWithUrls,
  UpdateHarnessRequest,
} from "../../contract/harness.ts";
import { ImageInfo, ImageUploadResponse } from "../../contract/image.ts";
import { McpServerWithUrls } from "../../contract/mcp-server.ts";
import { Memory, MemoryFile, MemoryFileInfo } from "../../contract/memory.ts";
import {
  CreateMessageRequest,
  CreateMessageResponse,
  ListedMessage,
  Message,
} from "../../contract/message.ts";
import { ModelProfile } from "../../contract/model-profile.ts";
import { Problem } from "../../contract/problem.ts";
import {
  CreateModelRequest,
  CreateProviderRequest,
  ModelWithProviderAndUrls,
  ModelWithUrls,
  ProviderWithUrls,
  UpdateModelRequest,
  UpdateProviderRequest,
} from "../../contract/provider.ts";
import { Run, Step, Worker } from "../../contract/run.ts";
import { ScheduleExecutionResponse, ScheduleResponse, SessionSchedule } from "../../contract/schedule.ts";
import { CreateSessionRequest, SessionWithUrls, UpdateSessionRequest } from "../../contract/session.ts";
import { SkillWithUrls } from "../../contract/skill.ts";
import { SessionTask, TaskMessage } from "../../contract/task.ts";
import { TokenUsage } from "../../contract/usage.ts";

export const COMPONENTS: Readonly<Record<string, object>> = {
  DlqEntryResponse,
  HealthResponse,
  MetricsPoint,
  ScheduleExecutionResponse,
  ScheduleResponse,
  SessionSchedule,
  SessionTask,
  TaskMessage,
  TaskResponse,
  WorkflowEventResponse,
  WorkflowResponse,
  Agent: AgentWithUrls,
  AgentWithCounts,
  AllowedAction,
  CapabilityConfig,
  CapabilityInfo: CapabilityInfoWithUrls,
  Connection,
  CreateAgentRequest,
  CreateHarnessRequest,
  CreateMessageRequest,
  CreateMessageResponse,
  CreateModelRequest,
  CreateProviderRequest,
  CreateSessionRequest,
  Event: EventSchema,
  FileInfo,
  FileStat,
  GrepResult,
  ImageInfo,
  ImageUploadResponse,
  Harness: HarnessWithUrls,
  HarnessExample,
  HarnessWithCounts,
  InitialFile,
  McpServer: McpServerWithUrls,
  McpServers,
  ListedMessage,
  Memory,
  MemoryFile,
  MemoryFileInfo,
  Message,
  Model: ModelWithUrls,
  ModelProfile,
  ModelWithProvider: ModelWithProviderAndUrls,
  NetworkAccessList,
  Problem,
  Provider: ProviderWithUrls,
  ResourceConfigResponse,
  ResourceStats,
  Run,
  Session: SessionWithUrls,
  SessionFile,
  Skill: SkillWithUrls,
  Step,
  TokenUsage,
  ToolDefinition,
  UpdateAgentRequest,
  UpdateHarnessRequest,
  UpdateModelRequest,
  UpdateProviderRequest,
  UpdateSessionRequest,
  Urls,
  Worker,
  Workspace,
  // What `data` of an event holds, by its type: `EventData_turn.started`.
  ...Object.fromEntries(eventDefinitions.map(({ type, data }) => [`EventData_${type}`, data])),
};
