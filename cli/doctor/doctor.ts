import { describeError } from "../../src/base/errors.ts";
import { createClient } from "../../src/client/client.ts";
import type { Config } from "../../src/config/config.ts";
import type { CommandContext } from "../action.ts";
import { DEFAULT_API_URL, serverOf } from "../contexts.ts";
import { readConfig } from "../platform.ts";
import { checkDatabase } from "./database.ts";
import { bad, type Finding, ok } from "./finding.ts";
import { checkMachine } from "./machine.ts";
import { probeModels } from "./probe.ts";
import { checkServer } from "./server.ts";

/**
 * `everruns doctor`: looks at everything, starts nothing, changes nothing. With `--probe` models are asked, which
 * costs a few hundred tokens each and a session that is deleted.
 *
 * @returns 1 when something does not work
 */
export async function doctor(
  context: CommandContext,
  flags: { json?: boolean; apiUrl?: string; probe?: true | string } & Record<string, unknown>,
): Promise<number> {
  const findings: Finding[] = [];
  const report = (finding: Finding) => {
    findings.push(finding);
    if (!flags.json) print(context, finding);
  };

  let config: Config | null = null;
  try {
    config = readConfig(flags, context);
    const said = Object.values(config.sources).filter((source) => source !== "default").length;
    report(
      ok("configuration", said === 0 ? "valid, all defaults" : `valid, ${said} from flags and environment`),
    );
  } catch (error) {
    report(bad("configuration", describeError(error), "everruns serve --help lists the settings"));
  }
  const client = createClient(serverToCheck(context, flags));
  if (config) {
    for (const finding of checkMachine(config)) report(finding);
    const isServed = await client.health(context.signal).then(
      () => true,
      () => false,
    );
    for (const finding of await checkDatabase(config, { isServed })) report(finding);
  }
  for await (const finding of checkServer(client, context)) report(finding);
  const isServing = findings.some(({ what, state }) => what === "server" && state !== "bad");
  if (flags.probe && isServing) {
    const wanted = flags.probe === true ? null : flags.probe;
    for await (const finding of probeModels(client, context, wanted)) report(finding);
  }

  const isBad = findings.some(({ state }) => state === "bad");
  if (flags.json)
    context.out.line(JSON.stringify({ ok: !isBad, next: nextStep(findings), findings }, null, 2));
  else
    context.out.line(
      `\n${verdict(findings)}\n${" ".repeat(17)}${context.out.paint.dim("→")} ${nextStep(findings)}`,
    );
  return isBad ? 1 : 0;
}

/** A file of contexts that cannot be read is told, and the usual address asked. */
function serverToCheck({ env, err }: CommandContext, flags: { apiUrl?: string }) {
  try {
    return serverOf(env, flags);
  } catch (error) {
    err.line(`everruns: ${describeError(error)}`);
    return { baseUrl: flags.apiUrl ?? DEFAULT_API_URL, apiKey: null };
  }
}

function print({ out }: CommandContext, { what, state, found, next }: Finding): void {
  const { green, yellow, red, dim } = out.paint;
  const mark = { ok: green("✓"), warn: yellow("!"), bad: red("✗") }[state];
  out.line(`${mark} ${what.padEnd(14)} ${found.replaceAll("\n", `\n${" ".repeat(17)}`)}`);
  if (next) out.line(`${" ".repeat(17)}${dim("→")} ${next}`);
}

function verdict(findings: readonly Finding[]): string {
  const count = (state: Finding["state"]) => findings.filter((finding) => finding.state === state).length;
  const [broken, odd] = [count("bad"), count("warn")];
  if (broken === 0 && odd === 0) return "all is well";
  const said = [
    ...(broken === 0 ? [] : [`${broken} ${broken === 1 ? "thing does" : "things do"} not work`]),
    ...(odd === 0 ? [] : [`${odd} to know about`]),
  ];
  return said.join(", ");
}

/** What to type next: for what does not work before what is only odd, and in the order in which things depend on each other. */
function nextStep(findings: readonly Finding[]): string {
  const first =
    findings.find(({ state }) => state === "bad") ?? findings.find(({ state }) => state === "warn");
  return first?.next ?? 'everruns run "hello"';
}
