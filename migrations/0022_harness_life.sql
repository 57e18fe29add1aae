-- Harnesses of organizations come and go as agents do, and carry what their embedder wants to find again.
alter table harnesses
  add column embedder_metadata jsonb not null default '{}',
  add column archived_at timestamptz,
  add column deleted_at timestamptz;
create index harnesses_of_parent on harnesses (parent_harness_id) where parent_harness_id is not null;
create index agents_of_harness on agents (organization_id, harness_id) where status <> 'deleted';

insert into harnesses (id, organization_id, name, display_name, description, parent_harness_id, system_prompt, capabilities)
values
  ('harness_00000000000000000000000000000003', null, 'conversation', 'Conversation',
   'Talking only: no tools beyond the clock.', 'harness_00000000000000000000000000000001',
   'You talk with a person. Answer in the language that they write in, plainly and briefly; ask when you cannot tell what is meant.',
   '[{"ref": "current_time"}]'),
  ('harness_00000000000000000000000000000004', null, 'worker-base', 'Worker base',
   'For work without anybody at the other end: files, and a report at the end.', 'harness_00000000000000000000000000000001',
   'You work on a task by yourself; nobody answers questions while you do. Decide what is open in the way that is easiest to undo, keep what you make in files, and end with a report: what is done, where it is, what is not done and why.',
   '[{"ref": "session_file_system"}, {"ref": "current_time"}]'),
  ('harness_00000000000000000000000000000005', null, 'worker', 'Worker',
   'As worker-base, with the web.', 'harness_00000000000000000000000000000004', null,
   '[{"ref": "web_fetch"}]'),
  ('harness_00000000000000000000000000000006', null, 'data-analyst', 'Data analyst',
   'Answers questions from tables and text in files.', 'harness_00000000000000000000000000000002',
   'You answer questions from data in files. Look at the columns and at some rows before you draw conclusions. Say how many rows an answer rests on and which ones you left out. Keep intermediate results in files below /analysis. Never invent a number: what the data does not say, you say it does not.',
   '[]'),
  ('harness_00000000000000000000000000000007', null, 'platform-chat', 'Platform chat',
   'Answers questions about agents, harnesses and sessions; has no tools to change them.',
   'harness_00000000000000000000000000000003',
   'You help people who build agents on this platform. An agent is stored configuration: prompt, model, capabilities; a harness is the layer below it; a session is one conversation with its own log and files. Explain, propose prompts and capabilities, and say plainly that you cannot change anything yourself.',
   '[]');
