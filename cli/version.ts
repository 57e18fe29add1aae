import packageJson from "../package.json" with { type: "json" };

export const VERSION: string = packageJson.version;

/** Short commit id of the build, or "" in a checkout: the build writes it in. */
export const BUILD_COMMIT: string = process.env.EVERRUNS_BUILD_COMMIT ?? "";

/** `0.1.0` or `0.1.0 (3f2c1a9)`. */
export function versionText(): string {
  return BUILD_COMMIT === "" ? VERSION : `${VERSION} (${BUILD_COMMIT})`;
}
