/** Loops, percentiles and rates, shared by the scenarios. */

export interface Latencies {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Milliseconds. */
export function latencies(samples: readonly number[]): Latencies {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** Calls `task` with this many under way for this long; calls per second, of those that ended within it. */
export async function closedLoop(
  seconds: number,
  inFlight: number,
  task: (n: number) => Promise<unknown>,
): Promise<{ readonly perSecond: number; readonly latency: Latencies }> {
  const start = performance.now();
  const end = start + seconds * 1_000;
  const samples: number[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < end) {
      const began = performance.now();
      await task(next++);
      samples.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return { perSecond: samples.length / ((performance.now() - start) / 1_000), latency: latencies(samples) };
}

/** Starts `task` at a fixed rate whatever becomes of the ones before, so that a stall shows. */
export async function openLoop(
  seconds: number,
  perSecond: number,
  task: (n: number, intended: number) => void,
): Promise<void> {
  const start = performance.now();
  const count = seconds * perSecond;
  for (let n = 0; n < count;) {
    const due = Math.min(count, Math.floor(((performance.now() - start) / 1_000) * perSecond) + 1);
    for (; n < due; n++) task(n, start + (n * 1_000) / perSecond);
    await new Promise((resolve) => {
      setTimeout(resolve, 1);
    });
  }
}

/** The middle one. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
