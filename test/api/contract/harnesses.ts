/** Harnesses and capabilities on the wire. */
import type { Step } from "../../support/contract.ts";

export const ours: Record<string, string> = {};

export async function steps(step: Step): Promise<void> {
  await step("GET", "/v1/harnesses", [], 200);
  await step("GET", "/v1/harnesses/config", [], 200);
  await step("GET", "/v1/harnesses/{}", ["default"], 200);
  await step("GET", "/v1/harnesses/{}/stats", ["generic"], 200);
  await step("GET", "/v1/capabilities", [], 200, undefined, "?search=e&limit=2");
  await step("GET", "/v1/capabilities/{}", ["session_file_system"], 200);
}
