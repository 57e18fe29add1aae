import type { Out } from "./terminal.ts";

/** How far something is that takes long: a line on a terminal, nothing in a pipe. */
export interface ProgressBar {
  step(): void;
  /** Prints something else in between. */
  around(print: () => void): void;
  end(): void;
}

const WIDTH = 24;
/** What is over sooner needs no bar. */
const STEPS_MIN = 5;

export function progressBar(err: Out, { total, what }: { total: number; what: string }): ProgressBar {
  const isShown = err.isTty && total >= STEPS_MIN;
  let done = 0;
  const clear = () => isShown && err.write("\r\u001b[2K");
  const draw = () => {
    if (!isShown) return;
    const full = Math.round((done / total) * WIDTH);
    err.write(`\r${"█".repeat(full)}${"░".repeat(WIDTH - full)} ${done}/${total} ${what}`);
  };
  draw();
  return {
    step() {
      done += 1;
      draw();
    },
    around(print) {
      clear();
      print();
      draw();
    },
    end: () => void clear(),
  };
}
