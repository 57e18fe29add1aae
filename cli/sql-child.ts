/** `everruns __sql`: the process in which one SQL request of a session's database runs. Started by ourselves alone. */
import { withoutFiles } from "../src/sandbox/no-files.ts";
import { answerSql } from "../src/sandbox/sql-child.ts";
import { createSqlRunner, type RunSql } from "../src/sandbox/sql-runner.ts";

const TIMEOUT_MS = 10_000;
const CONCURRENCY = 4;

export async function sqlChild(): Promise<void> {
  // Should the machine run out of memory, this process is to go and not the server. Linux alone has the file.
  await Bun.write("/proc/self/oom_score_adj", "1000").catch(() => {});
  const message = await Bun.stdin.bytes();
  const answer = withoutFiles(() => answerSql(message));
  await Bun.write(Bun.stdout, answer);
}

/** Starts this very program again, whichever way it was started. */
export function openSqlRunner(): RunSql {
  const own = Bun.main.startsWith("/$bunfs") ? [] : [`${import.meta.dir}/everruns.ts`];
  return createSqlRunner({
    command: [process.execPath, ...own, "__sql"],
    timeoutMs: TIMEOUT_MS,
    concurrency: CONCURRENCY,
  });
}
