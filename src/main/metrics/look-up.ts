/** The figures of an instance, looked up when they are asked for. */
import type { Figure } from '../../operations/metrics.ts';
import { systemTiming } from '../../operations/timing.ts';
import { observe } from '../../projections/postgres/observations.ts';
import { figure, type InstanceFigures } from './figures.ts';
import { ownFigures } from './own.ts';
import { auditFigures, observedFigures } from './shared.ts';
import { watchFigures } from './watches.ts';

/** Milliseconds for each part: who asks does not wait long. */
const patience = 3_000;

export async function lookUp(instance: InstanceFigures): Promise<readonly Figure[]> {
  const { pool, store, audit } = instance;
  // The checkpoints first: so a lag is never less than it is.
  const observed = await inTime(() => observe(pool));
  const [head, report] = await Promise.all([inTime(() => store.head()), inTime(() => audit.report())]);
  return [
    figure(
      'tallyback_up',
      'Whether a part that Tallyback stands on answers.',
      ['part'],
      [
        { labels: { part: 'database' }, value: observed ? 1 : 0 },
        { labels: { part: 'event_log' }, value: head ? 1 : 0 },
      ],
    ),
    ...ownFigures(instance),
    ...watchFigures(instance.watches),
    ...(observed ? observedFigures(instance, observed, head) : []),
    ...(report ? auditFigures(report) : []),
  ];
}

/** Undefined if it fails or takes too long. */
async function inTime<T>(look: () => Promise<T>): Promise<T | undefined> {
  const over = new AbortController();
  try {
    return await Promise.race([
      look().catch(() => undefined),
      systemTiming.sleep(patience, over.signal).then(() => undefined),
    ]);
  } finally {
    over.abort();
  }
}
