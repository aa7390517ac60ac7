/** Loaded into the processes that are measured: tells their parent what they have used, when asked. */

export interface Usage {
  /** Processor time so far, in milliseconds. */
  readonly cpu: number;
  /** In bytes, after a collection of garbage if that was asked for. */
  readonly resident: number;
  readonly heap: number;
}

process.on('message', (request) => {
  // Twice: what the first finds to be finalized is freed by the second.
  if (request === 'collect') for (let times = 0; times < 2; times++) globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  process.send?.({ cpu: (user + system) / 1_000, resident: rss, heap: heapUsed + external } satisfies Usage);
});
// A bench that fails leaves no servers behind.
process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
// It must not keep a process from ending.
process.channel?.unref();
