import { UserError } from "../base/errors.ts";
import type { Sealer } from "../base/seal.ts";
import { providerKeyPlace } from "../db/providers/providers.ts";
import type { SealedProvider } from "../db/providers/sync.ts";
import type { Driver } from "../llm/driver.ts";
import { createDriver, type DriverDeps } from "../llm/registry.ts";

/** Drivers kept for reuse; past it the oldest is made anew. */
const DRIVERS_MAX = 256;

/**
 * The driver of a model's provider, made once for each state of the provider's row: a changed key or address is a
 * new driver. The opened key lives inside the driver and nowhere else.
 *
 * @throws UserError provider_misconfigured
 */
export function createDrivers(
  sealer: Pick<Sealer, "open">,
  deps: DriverDeps,
): (model: { provider: SealedProvider }, organizationId: string) => Driver {
  const drivers = new Map<string, Driver>();
  return ({ provider }, organizationId) => {
    const name = JSON.stringify([
      provider.id,
      provider.provider_type,
      provider.base_url,
      provider.api_key_sealed,
    ]);
    const known = drivers.get(name);
    if (known) return known;
    const driver = createDriver(
      {
        providerType: provider.provider_type,
        apiKey: openKey(sealer, provider, organizationId),
        baseUrl: provider.base_url,
      },
      deps,
    );
    const oldest = drivers.size >= DRIVERS_MAX ? drivers.keys().next().value : undefined;
    if (oldest !== undefined) drivers.delete(oldest);
    drivers.set(name, driver);
    return driver;
  };
}

function openKey(
  sealer: Pick<Sealer, "open">,
  provider: SealedProvider,
  organizationId: string,
): string | null {
  if (provider.api_key_sealed === null) return null;
  try {
    return sealer.open(provider.api_key_sealed, providerKeyPlace(organizationId, provider.id));
  } catch (error) {
    throw new UserError(
      "provider_misconfigured",
      `the stored key of provider ${provider.name} cannot be opened with this server's encryption key; set the key anew`,
      { cause: error },
    );
  }
}
