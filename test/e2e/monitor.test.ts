/** The monitor of the executable shows what that of the sources shows. */
import { executablePath } from "../support/executable.ts";
import { describeMonitor } from "../tui/support/monitor-scenes.ts";

describeMonitor("the executable", () => [executablePath()]);
