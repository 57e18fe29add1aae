/** Names and figures that the packer, the running program and the tests must agree on. */

/** The cluster's only role. Who may use it is decided by the socket's directory, not by a password. */
export const SUPERUSER = "everruns";

/** Created when the cluster is packed. */
export const DATABASE = "everruns";

/** Data directories of different majors cannot be opened by each other, so the major is in the path. */
export const MAJOR_VERSION = 18;

/** PostgreSQL refuses to run as root. As root it runs under this uid and gid ("nobody" on most systems). */
export const UNPRIVILEGED_UID = 65_534;

/** The id of the packed program where the platform has none. */
export const NO_PROGRAM = "none";

/** Archives cannot carry empty directories, which a cluster has many of: this file inside lists them. */
export const EMPTY_DIRECTORIES_FILE = ".empty-directories";
