/** What one session and one run show beside the session's events. */
import type { Client, Page } from "../../client/client.ts";
import type { FileInfo, SessionFile } from "../../contract/file.ts";
import type { Run } from "../../contract/run.ts";
import type { SessionTask } from "../../contract/task.ts";
import { allowed, type Listed, PAGE_ROWS } from "./load.ts";
import type { SessionPlace } from "./state.ts";

const FILES_MAX = 500;

/** The session, who it waits for, and what the chosen tab is about. */
export async function loadSession(
  client: Client,
  { id, tab }: Pick<SessionPlace, "id" | "tab">,
): Promise<Partial<SessionPlace>> {
  const own = `/sessions/${encodeURIComponent(id)}`;
  const [session, approvals, more] = await Promise.all([
    client.getSession(id),
    client.listApprovals({ session_id: id, status: "pending", limit: 10 }),
    (async (): Promise<Partial<SessionPlace>> => {
      switch (tab) {
        case "files": {
          const { data } = await client.request<Listed<FileInfo>>("GET", `${own}/fs`, {
            query: { recursive: "true" },
          });
          return { files: data.filter((file) => !file.is_directory).slice(0, FILES_MAX) };
        }
        case "cost": {
          const runs = await client.request<Page<Run>>("GET", `${own}/runs`, {
            query: { limit: PAGE_ROWS },
          });
          return { runs: runs.data };
        }
        case "tasks": {
          const tasks = await allowed(client.request<SessionTask[]>("GET", `${own}/tasks`));
          return { tasks: (tasks ?? []).slice(0, PAGE_ROWS) };
        }
        default:
          return {};
      }
    })(),
  ]);
  return { session, approvals: approvals.data.toReversed(), ...more };
}

/** Lines of a file; of one that is no text, that it is none. */
export async function loadFile(client: Client, sessionId: string, path: string): Promise<string[]> {
  const url = `/sessions/${encodeURIComponent(sessionId)}/fs/${path.split("/").filter(Boolean).map(encodeURIComponent).join("/")}`;
  const file = await client.request<SessionFile>("GET", url);
  if (file.encoding === "base64") return [`no text: ${file.size_bytes} bytes`];
  return (file.content ?? "").slice(0, FILE_CHARS_SHOWN).split(/\r\n|\r|\n/);
}
const FILE_CHARS_SHOWN = 200_000;
