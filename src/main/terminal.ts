/** The terminal a command runs in, and the wish of its user to end it. */
export interface Terminal {
  readonly out: NodeJS.WriteStream;
  /** One line (or several) on standard output. */
  print(text: string): void;
  /** One line for operators on standard error, with the time. */
  log(this: void, line: string): void;
  /** Aborted by the first SIGINT or SIGTERM; a second one ends the process at once. */
  readonly signal: AbortSignal;
  /** Resolves on the same occasion. */
  readonly interrupted: Promise<void>;
}

export function openTerminal(): Terminal {
  const controller = new AbortController();
  const interrupted = new Promise<void>((resolve) => {
    // Whoever read us has gone: there is nobody to go on for. Without a listener the process would fall over.
    process.stdout.on('error', () => {
      controller.abort();
      resolve();
    });
    process.stderr.on('error', () => undefined);
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.on(name, () => {
        if (controller.signal.aborted) process.exit(130);
        controller.abort();
        resolve();
      });
    }
  });
  return {
    out: process.stdout,
    print: (text) => void process.stdout.write(`${text}\n`),
    log: (line) => void process.stderr.write(`${new Date().toISOString()} ${line}\n`),
    signal: controller.signal,
    interrupted,
  };
}
