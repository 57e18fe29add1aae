import { seedProviders } from "../../db/seed.ts";
import type { ApiDeps } from "../deps.ts";

/** What a new organization starts with: the simulated provider. The keys of the environment are the first one's. */
export async function seedOrganization(
  { db, seal }: Pick<ApiDeps, "db" | "seal">,
  organizationId: string,
): Promise<void> {
  const sealer = {
    seal,
    open: () => {
      throw new Error("there is nothing to open in a new organization");
    },
  };
  await seedProviders(db, { organizationId, sealer, openai: null, anthropic: null });
}
