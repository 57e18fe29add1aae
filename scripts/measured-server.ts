/** The executable and a server of it in a directory of its own, for scripts that measure a program beside it. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startProcess } from "../test/support/processes.ts";
import { build } from "./build.ts";

export interface MeasuredServer {
  /** The executable. */
  program: string;
  directory: string;
  url: string;
  /** POST of a call of the API. @throws Error when the server does not take it */
  post(path: string, body: unknown): Promise<{ id: string }>;
}

/** @param executable  null: it is built for this */
export async function withServer<T>(
  executable: string | null,
  measure: (server: MeasuredServer) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "everruns-measure-"));
  // As root the database runs under another user, who has to be able to enter.
  chmodSync(directory, 0o755);
  // The server has a working directory of its own.
  const program = executable === null ? join(directory, "everruns") : resolve(executable);
  if (executable === null) await build({ output: program, level: "fast" });
  const server = startProcess([program, "serve", "--port", "0", "--data-dir", join(directory, "data")], {
    cwd: directory,
  });
  try {
    const url = (await server.shown(/listens on (http:\/\/\S+:[1-9]\d*)/))[1] ?? "";
    return await measure({ program, directory, url, post: poster(url) });
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function poster(url: string): MeasuredServer["post"] {
  return async (path, body) => {
    const answer = await fetch(`${url}/api/v1${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`the server did not take it: ${await answer.text()}`);
    return (await answer.json()) as { id: string };
  };
}
