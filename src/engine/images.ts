/** The stored images that a model call shows. Messages only refer to them, so that the log stays small. */
import { limits } from "../contract/limits.ts";
import { type ModelImage, modelImageSizes, readModelImages } from "../db/files/images.ts";
import { imageIdsOf, type ShownImages } from "./history.ts";
import type { RunScope } from "./scope.ts";

/**
 * The newest images that fit into one call together; older ones are left out. Read anew for each call and kept by
 * nobody: a thousand turns that wait for their model must not hold their pictures all the time.
 *
 * @param upTo  sequence of the last event that the call shows
 * @throws RetryableError
 */
export async function loadImages({ deps, run, history }: RunScope, upTo: number): Promise<ShownImages> {
  const ids = imageIdsOf(history, upTo);
  if (ids.length === 0) return new Map();
  const sizes = await modelImageSizes(deps.db, run.organization_id, ids);
  const shown: string[] = [];
  const images = new Map<string, ModelImage | "left_out">();
  let bytes = 0;
  for (const id of ids) {
    const size = sizes.get(id);
    if (size === undefined) continue;
    bytes += size;
    if (bytes <= limits.modelImagesBytesMax) shown.push(id);
    else images.set(id, "left_out");
  }
  for (const [id, image] of await readModelImages(deps.db, run.organization_id, shown)) images.set(id, image);
  return images;
}
