/** Every cap in the system, with its unit in its name, in one place. */
export const limits = {
  nameCharsMax: 64,
  displayNameCharsMax: 200,
  titleCharsMax: 500,
  descriptionBytesMax: 10 * 1024,
  systemPromptBytesMax: 1024 * 1024,
  /** An agent as a file. */
  importBytesMax: 3 * 1024 * 1024,
  capabilitiesMax: 250,
  clientToolsMax: 50,
  /** A harness with all its parents. */
  harnessDepthMax: 16,
  harnessesPerOrganizationMax: 50,
  /** Of one organization, with authentication and unless it is configured otherwise. */
  agentsPerOrganization: 500,
  sessionsPerOrganization: 10_000,
  activeTurnsPerOrganization: 1_000,
  declarativeCapabilitiesPerOrganizationMax: 200,
  /** A configuration of guardrails that is tried, as JSON. */
  guardrailConfigBytesMax: 128 * 1024,
  /** A text that guardrails are tried on. */
  guardrailTextCharsMax: 200_000,
  declarativeSkillsMax: 50,
  /** The definition of one declarative capability, as JSON. */
  declarativeDefinitionBytesMax: 1024 * 1024,
  embedderMetadataBytesMax: 16 * 1024,
  toolDescriptionCharsMax: 16 * 1024,
  /** One client-side tool with its JSON Schema, as JSON. */
  toolDefinitionBytesMax: 128 * 1024,
  /** All capabilities of one layer with their configuration, as JSON. */
  capabilityConfigBytesMax: 1024 * 1024,
  /** All MCP servers of one layer, as JSON. */
  mcpServersBytesMax: 256 * 1024,
  tagsMax: 50,
  tagCharsMax: 100,
  initialFilesMax: 100,
  maxIterationsMax: 10_000,
  networkRulesMax: 200,
  networkRuleCharsMax: 300,
  budgetPeriodSecondsMax: 10 * 366 * 86_400,
  secretCharsMax: 4096,
  urlCharsMax: 2048,
  /** What a version of an agent says of itself. */
  versionSummaryCharsMax: 2_000,
  /** A request body, unless a route says otherwise. */
  requestBytesMax: 16 * 1024 * 1024,
  /** Of a route for everybody: signing in. */
  publicRequestBytesMax: 512 * 1024,
  /** Slower than this, counted from its beginning and after a while, a body is given up. */
  bodyBytesPerSecondMin: 16 * 1024,
  /** Of a body that is larger than `requestBytesMax`: others wait for it. */
  hugeBodyBytesPerSecondMin: 256 * 1024,
  bodyGraceMs: 10_000,
  /** The text of one message. */
  messageTextBytesMax: 1024 * 1024,
  messagePartsMax: 100,
  /** One inline image, decoded. */
  imageBytesMax: 10 * 1024 * 1024,
  /** One stored image, and the larger of the pictures that it may unpack to. */
  imageUploadBytesMax: 100 * 1024 * 1024,
  imagePixelsMax: 40_000_000,
  imageFilenameCharsMax: 255,
  /** Above this a stored image is shown to models in a smaller copy: vendors refuse more than 5 MB as base64. */
  modelImageBytesMax: 3_500_000,
  modelImageSideMax: 8_000,
  /** All stored images of one model call together; the oldest are left out. */
  modelImagesBytesMax: 24 * 1024 * 1024,
  metadataBytesMax: 64 * 1024,
  clientMessageIdCharsMax: 255,
  /** How long a request may ask to be kept until its turn ends. */
  turnWaitSecondsDefault: 60,
  turnWaitSecondsMax: 600,
  resourcesShownMax: 1_000,
  /** A trajectory in one document, and about how much of it a segment has. */
  exportBytesMax: 50 * 1024 * 1024,
  exportSegmentBytes: 8 * 1024 * 1024,
  /** Of one session, those who left too. */
  participantsMax: 1_000,
  /** Messages that wait for their turn in one session. */
  queuedMessagesMax: 100,

  /** Access tokens of one user that are neither revoked nor expired. */
  accessTokensPerUserMax: 25,
  organizationsPerTokenMax: 20,
  /** Organizations that one user is the owner of. */
  organizationsPerUserMax: 5,
  membersPerOrganizationMax: 50,
  passwordCharsMin: 8,
  /** Longer ones would only cost time to hash. */
  passwordCharsMax: 256,
  emailCharsMax: 254,
  loginsPerMinute: 10,
  registrationsPerMinute: 5,
  refreshesPerMinute: 30,
  accessTokenSeconds: 15 * 60,
  refreshTokenSeconds: 30 * 86_400,
  /** How long a token of one session may live. */
  sessionTokenSecondsMax: 3_600,

  fileBytesMax: 100 * 1024 * 1024,
  /** A larger file is read in pieces only: no tool takes it whole. */
  wholeFileBytesMax: 10 * 1024 * 1024,
  /** A body with a file in it: the file as base64, and what is around it. */
  fileRequestBytesMax: 135 * 1024 * 1024,
  workspaceBytesMax: 500 * 1024 * 1024,
  /** Files and directories of one workspace. */
  workspaceEntriesMax: 20_000,
  pathCharsMax: 1024,
  memorySyncIntervalSecondsMax: 604_800,
  /** The archive of a repository as it comes, and all that is in it. */
  repositoryArchiveBytesMax: 32 * 1024 * 1024,
  repositoryBytesMax: 64 * 1024 * 1024,
  /** Names of files to look for, and regular expressions to look for in them. */
  globCharsMax: 500,
  searchPatternCharsMax: 1_000,

  /** Keys that one session may have in its storage. */
  sessionValuesMax: 1_000,
  sessionKeyCharsMax: 200,
  sessionValueBytesMax: 64 * 1024,
  /** All values of one session together. */
  sessionValuesBytesMax: 4 * 1024 * 1024,
  sessionSecretsMax: 100,
  sessionSecretCharsMax: 16 * 1024,

  guardrailChecksMax: 50,
  databasesPerSessionMax: 10,
  databaseBytesMax: 8 * 1024 * 1024,
  databaseRowsDefault: 100,
  databaseRowsMax: 1_000,
  sqlCharsMax: 256 * 1024,
  sqlParametersMax: 100,
  mcpServersMax: 200,
  mcpHeadersMax: 20,
  skillsMax: 1_000,
  /** Less than a tool result may have: an agent reads a document whole. */
  skillMdBytesMax: 56 * 1024,
  skillFilesMax: 100,
  /** An archive once it is unpacked. */
  skillFilesBytesMax: 4 * 1024 * 1024,
  skillUploadBytesMax: 8 * 1024 * 1024,

  /** Requests from one address, to one process. */
  requestsPerMinute: 1_200,
  /** Addresses whose requests one process counts. */
  rateLimitAddressesMax: 50_000,

  pageSizeDefault: 20,
  pageSizeMax: 100,
  eventsPageMax: 1000,
  eventTypesFilterMax: 40,
  searchTokensMax: 8,

  /** Tool results are cut before they are stored. */
  toolResultBytesMax: 64 * 1024,
  toolTimeoutMs: 300_000,
  /** How long a call of a client-side tool waits for its result. */
  clientToolTimeoutMs: 300_000,
  /** Decisions of one request. */
  approvalsPerRequestMax: 64,
  approvalCommentCharsMax: 4_000,
  /** Tool calls that one answer may make. */
  toolCallsPerAnswerMax: 128,
  iterationsDefault: 500,
  /** A run whose worker was lost this often in a row, without a new checkpoint in between, is sealed. */
  takeoversMax: 3,
  /** A worker that has not been heard of for this long is taken for stopped. */
  workerSilentSeconds: 60,
  /** Forks of forks: sessions that one log may be made of, the session itself aside. */
  forkDepthMax: 100,

  deltaIntervalMs: 50,
  /** While the database is slow, deltas go out more rarely, but not more rarely than this. */
  deltaIntervalMaxMs: 250,
  deltaBytes: 1024,
  previewChars: 200,

  sseHeartbeatMs: 15_000,
  /** How often an open stream makes sure that its reader may still read. */
  sseCheckMs: 60_000,
  sseCycleMs: 300_000,
  sseStreamsPerProcess: 10_000,
  sseStreamsPerOrganization: 1_000,
  sseStreamsPerSession: 12,
  /** Schedules of an organization, and those of them that its sessions have. */
  schedulesMax: 1_000,
  sessionSchedulesPerOrganization: 100,
  sessionSchedulesPerSession: 5,
  /** Due times of a session's schedule lie at least this far apart. */
  sessionScheduleIntervalSecondsMin: 300,
  /** A due time that nobody fired for this long was missed. */
  scheduleMissedAfterMs: 60_000,
  scheduleLookMs: 1_000,
  schedulesPerLook: 100,
  /** Executions of a schedule that are kept: the newest. */
  scheduleExecutionsKept: 1_000,
  /** Subagents of subagents: levels below the session at the top. */
  subagentDepthMax: 2,
  /** How long the call of a subagent waits for it. */
  subagentSecondsMax: 6 * 3_600,
  openTasksPerSession: 20,
  taskWebhooksMax: 20,
  tasksListedDefault: 100,
  tasksListedMax: 1_000,
  /** How often a stream of snapshots looks at most, and at least. */
  snapshotIntervalMs: 1_000,
  snapshotIntervalMaxMs: 5_000,
  durableSseCycleMs: 600_000,
  /** Rows of each list in a snapshot. */
  snapshotRows: 50,
  /** The engine's figures over time: points in memory, and how far apart. */
  figurePoints: 360,
  figureIntervalMs: 10_000,
  /** Events that may wait in memory for one slow reader; past it the reader catches up from the database. */
  sseBufferEvents: 512,
  /** Events that one read of the feed fetches. */
  feedBatchEvents: 500,

  /** A provider stream with no byte for this long is broken off. */
  providerStallMs: 60_000,
  providerRetriesMax: 3,
  providerRetryBaseMs: 500,
  providerRetryCapMs: 8_000,
  /** A provider that asks for a longer wait ends the attempt: the run is put back instead of holding its slot. */
  providerRetryAfterMaxMs: 30_000,
  providerModelsMax: 1_000,
  /** How long a provider may take to list its models. */
  providerListMs: 30_000,
  /** The review of an agent by a model. */
  reviewMs: 60_000,
  reviewOutputTokensMax: 4_000,
  /** How long a turn waits for a provider whose circuit breaker is open before it fails. */
  providerOutageMaxMs: 120_000,
  providerConcurrencyMax: 10_000,
  providerRequestsPerMinuteMax: 1_000_000,
} as const;
