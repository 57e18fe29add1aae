/**
 * Where our OpenAPI document says something else than the contract's, and why. `*` stands for anything. An entry
 * that no difference needs any more fails the test: delete it.
 */

/** Routes of the contract that are not built yet, one a line: the line goes when the route comes. */
export const NOT_BUILT: readonly string[] = [];

const LIST = "every list carries the same envelope: the clients read different parts of it";
const OURS_ADDED = "ours: an addition that the official clients pass over";
const EMPTY = "an empty object where the contract has no body: the clients parse every answer as JSON";
const FOR_GOOD =
  "the contract's text says that every resource has it, its OpenAPI only that of declarative capabilities";
const OPTIONAL = "optional in the contract; nothing here would fill it";

export const DIFFERENCES: Readonly<Record<string, string>> = {
  "* ?limit: beyond the contract": "every list that can be long is paged",
  "* ?offset: beyond the contract": "every list that can be long is paged",
  "* /v1/memories/{memory_id}/fs* ?recursive: beyond the contract": "ours: as for the files of a workspace",
  "GET /v1/memories/{memory_id}/fs/* 200: application/* is beyond the contract":
    "the contract's OpenAPI does not say what comes",
  "answer ListResponse_MemoryGrepResult.incomplete: beyond the contract": OURS_ADDED,
  "request UpdateMemoryFileRequest.expected_hash: beyond the contract": OURS_ADDED,
  "request UpdateMemoryRequest.status: beyond the contract": "how an archived one is taken back",
  "answer GetResponse.total: beyond the contract": LIST,
  "answer GetResponse.offset: beyond the contract": LIST,
  "answer GetResponse.limit: beyond the contract": LIST,
  "answer List*.total: beyond the contract": LIST,
  "answer List*.offset: beyond the contract": LIST,
  "answer List*.limit: beyond the contract": LIST,
  "answer List*.next_url: beyond the contract": LIST,
  "answer List*.prev_url: beyond the contract": LIST,
  "answer *ListResponse.offset: beyond the contract": LIST,
  "answer *ListResponse.limit: beyond the contract": LIST,
  "answer *ListResponse.next_url: beyond the contract": LIST,
  "answer *ListResponse.prev_url: beyond the contract": LIST,
  "answer ListResponse_Message.messages: beyond the contract": "the key that the TypeScript SDK reads",
  "answer PaginatedResponse_*_Agent.agents: beyond the contract": "the key that the TypeScript SDK reads",
  "answer PaginatedResponse_*_Session.sessions: beyond the contract": "the key that the TypeScript SDK reads",
  "answer *Agent*.model: beyond the contract": "the TypeScript SDK's name for default_model_id",
  "request *AgentRequest.model: beyond the contract": "the TypeScript SDK's name for default_model_id",

  "POST /v1/mcp-servers/{server_id}/delete: beyond the contract": FOR_GOOD,
  "POST /v1/memories/{memory_id}/delete: beyond the contract": FOR_GOOD,
  "POST /v1/skills/{skill_id}/delete: beyond the contract": FOR_GOOD,
  "POST /v1/workspaces/{workspace_id}/delete: beyond the contract": FOR_GOOD,
  "POST /v1/agents 200: beyond the contract":
    "an upsert that replaces; the contract's text says so, its OpenAPI lists 201 only",
  "GET /v1/durable/workers ?status: only draining, running, stopped":
    "those are all that there are; another is 400",
  "GET /v1/durable/schedules/{schedule_id}/executions ?status: only cancelled, completed, failed, running, skipped":
    "those are all that there are; another is 400",
  "GET /v1/tasks ?*: only *": "those of the contract's shapes; another is 400",
  "GET /v1/sessions/{session_id}/tasks ?*: only *": "those of the contract's shapes; another is 400",
  "answer TaskWebhookResponse.secret: beyond the contract": "shown once, when the server made it",
  "GET /v1/durable/tasks ?status: only cancelled, claimed, completed, dead, failed, pending":
    "the statuses that the contract's text has",
  "GET /v1/durable/workflows ?status: only cancelled, completed, failed, pending, running":
    "those of the contract's text, less continued_as_new: no turn goes on as another",
  "POST /v1/durable/workers/{worker_id}/* 200: application/json is beyond the contract": EMPTY,
  "POST /v1/durable/workflows/{workflow_id}/* 200: application/json is beyond the contract": EMPTY,
  "GET /v1/sessions/{session_id}/* ?types[]: only *": "an unknown type is 400, as the contract's text says",
  "GET /v1/sessions/{session_id}/* ?exclude[]: only *": "an unknown type is 400, as the contract's text says",
  "GET /v1/sessions/{session_id}/sse ?deltas: beyond the contract": "ours: deltas without the text so far",
  "GET /v1/sessions/{session_id}/sse ?caught_up: beyond the contract":
    "ours: says when replay is over and the stream is live",
  "POST /v1/sessions/{session_id}/messages *: beyond the contract":
    "ours: `wait=true` answers with the run when the turn ends",
  "GET /v1/workspaces/{workspace_id}/fs/{path} 200: application/octet-stream is beyond the contract":
    "named in the contract's text: `Accept: application/octet-stream` gives the bytes",
  "answer *.content_hash: beyond the contract": "ours: what `expected_hash` is compared with",
  "request UpdateFileRequest.expected_hash: beyond the contract":
    "ours: a write that fails when another came first",
  "answer ListResponse_GrepResult.incomplete: beyond the contract":
    "ours: says that a search ended before it was through",
  "request *FileRequest.encoding: only base64, text": "those are the two that the contract's text knows",
  "request Update*Request.status: only active, archived, deleted": "there is no other status",
  "GET /v1/sessions/{session_id}/export 200: application/json is beyond the contract":
    "a trajectory (format=atif) is one document",
  "GET /v1/sessions/{session_id}/export ?format: only atif, jsonl": "those are the two that there are",
  "request InitialFile.encoding: only base64, text": "those are the two that the contract's text knows",

  "GET /v1/agents/{agent_id}/export *: beyond the contract": "ours: `format` for YAML and JSON",
  "GET /v1/agents/{agent_id}/export * is beyond the contract": "ours: `format` for YAML and JSON",
  "POST /v1/agents/import body: * is beyond the contract":
    "the contract's text takes Markdown, JSON and YAML; so may the content type say",
  "answer SessionTask.*: missing": OPTIONAL,
  "answer TaskLinks.*: missing": OPTIONAL,
  "answer EventData: fields of any name":
    "told apart by the event's type; each is published as EventData_<type>",
  "* ToolHints: fields of any name": "kept and given back as they came",
  "answer Message.*: beyond the contract": OURS_ADDED,
  "answer ListResponse_Message.data[].*: beyond the contract":
    "what the log knows of a message; newer servers send it",
  "answer *.default_delivery: beyond the contract": OURS_ADDED,
  "request *.default_delivery: beyond the contract": OURS_ADDED,
  "request CreateMessageRequest.*: beyond the contract": OURS_ADDED,
  "request ForkSessionRequest.at_sequence: beyond the contract": OURS_ADDED,
  "answer *Provider*.limits: beyond the contract": OURS_ADDED,
  "request *ProviderRequest.limits: beyond the contract": OURS_ADDED,
  "answer *.paused: beyond the contract":
    "the strict clients know no status paused; this says it beside idle",
  "answer *.cache_write: beyond the contract": "ours: vendors take another price for writing a cache",
  "answer HarnessExample.*: beyond the contract": "the keys that the TypeScript SDK reads",
  "request *HarnessRequest.parallel_tool_calls: beyond the contract":
    "the contract shows it on harnesses and does not say how it gets there",
  "answer *Model*.is_stale: beyond the contract": OURS_ADDED,
  "* /v1/capabilities/declarative/{capability_id}* 200: application/json is beyond the contract":
    "the capability as it is then, where the contract has no body: the clients parse every answer as JSON",
  "request *DeclarativeCapabilityRequest.definition.*: beyond the contract":
    "the contract says object; these are the fields that are read, others are kept",
  "answer *Harness.data[].agent_count: beyond the contract":
    "the contract counts agents where one harness is read; a list says it, too",
  "answer WithUrls_ResourceWithCounts_Harness.agent_count: beyond the contract":
    "named in the contract's text as one of the counts",

  "POST /v1/skills/upload body: *": "the contract's text says multipart/form-data, its OpenAPI nothing",
  "answer *McpServer*.oauth_provider_id: missing": OPTIONAL,
  "answer AllowedAction.schema_ref: missing": OPTIONAL,
  "request PreviewAgentRequest.*: beyond the contract": OURS_ADDED,
  "answer SessionParticipant.agent_version_id: missing": "the session itself says it",
  "answer FormField.*: missing": OPTIONAL,
  "answer *CapabilityInfo*.config_ui_schema: missing": OPTIONAL,
  "answer *CapabilityInfo*.docs_slug: missing": OPTIONAL,
  "answer *CapabilityInfo*.localizations: missing": OPTIONAL,
  "answer WithUrls_Agent.usage: missing":
    "reading an agent says it; what creates or changes one does not count",
  "answer *Session*.active_schedule_count: missing": OPTIONAL,
  "answer *Session*.agent_identity_id: missing": OPTIONAL,
  "answer *Session*.blueprint_config: missing": OPTIONAL,
  "answer *Session*.blueprint_id: missing": OPTIONAL,
  "answer *Session*.finished_at: missing": "a session never finishes",
  "answer *owner.metadata: missing": OPTIONAL,
  "answer WorkerResponse.avg_task_duration_ms: missing": OPTIONAL,
  "answer WorkerResponse.backpressure_reason: missing": OPTIONAL,
  "answer WorkerResponse.worker_group: missing": OPTIONAL,
  "request *SessionRequest.agent_identity_id: missing": "passed over: there are no agent identities",
};
