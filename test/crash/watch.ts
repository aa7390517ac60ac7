/** What must hold at every moment, looked at all the time; and waiting until the system has caught up. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Kept, modelCount, whatIsKept } from './catalogue.ts';
import type { House } from './house.ts';

/** Until the signal aborts. */
export async function watch({ postgres, journal }: House, signal: AbortSignal): Promise<void> {
  const before = new Map<string, bigint>();
  while (!signal.aborted) {
    // Postgres may be down: that is no violation.
    const kept = await whatIsKept(postgres).catch(() => undefined);
    for (const { name, checkpoint, furthestRow } of kept?.models ?? []) {
      if (furthestRow > checkpoint) journal.violation(`${name} holds a row from beyond its checkpoint`);
      if (checkpoint < (before.get(name) ?? 0n)) journal.violation(`the checkpoint of ${name} went back`);
      if (checkpoint > (kept?.head ?? 0n)) journal.violation(`the checkpoint of ${name} is beyond the log`);
      before.set(name, checkpoint);
    }
    await pause(100);
  }
}

export const farthestBehind = ({ models }: Kept): bigint =>
  models.reduce(
    (least, { checkpoint }) => (checkpoint < least ? checkpoint : least),
    models[0]?.checkpoint ?? 0n,
  );

/** Whether every policy and read model has seen everything; then nothing more comes. */
const isCaughtUp = (kept: Kept): boolean =>
  kept.models.length === modelCount &&
  [...kept.models, ...kept.policies].every(({ checkpoint }) => checkpoint === kept.head);

/** How long it took, in milliseconds; undefined if it was not so in time. */
export async function awaitQuiet(
  { postgres, journal }: House,
  patienceMs: number,
): Promise<number | undefined> {
  const startedAt = performance.now();
  for (;;) {
    const kept = await whatIsKept(postgres).catch(() => undefined);
    const took = performance.now() - startedAt;
    if (kept && isCaughtUp(kept)) return took;
    if (took > patienceMs) {
      const places = [...(kept?.models ?? []), ...(kept?.policies ?? [])];
      const where = places.map(({ name, checkpoint }) => `${name} ${checkpoint}`).join(', ');
      journal.violation(
        `not caught up after ${patienceMs / 1_000} s: the log ends at ${kept?.head}; ${where}`,
      );
      return undefined;
    }
    await pause(50);
  }
}
