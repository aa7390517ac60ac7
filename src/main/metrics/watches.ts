/** Figures of the watches that this process serves. */
import type { WatchCounts } from '../../api/watch/counts.ts';
import type { Figure, Sample } from '../../operations/metrics.ts';
import { figure } from './figures.ts';

/** Of an instance without the API there are none. */
export function watchFigures(byName: Readonly<Record<string, WatchCounts>>): Figure[] {
  const all = Object.entries(byName);
  const perWatch = (value: (counts: WatchCounts) => number): Sample[] =>
    all.map(([watch, counts]) => ({ labels: { watch }, value: value(counts) }));
  /** By label, over all watches. */
  const inAll = (
    label: string,
    values: (counts: WatchCounts) => Readonly<Record<string, number>>,
  ): Sample[] => {
    const sums = new Map<string, number>();
    for (const [, counts] of all)
      for (const [of, value] of Object.entries(values(counts))) sums.set(of, (sums.get(of) ?? 0) + value);
    return Array.from(sums, ([of, value]) => ({ labels: { [label]: of }, value }));
  };
  return [
    figure(
      'tallyback_watches_open',
      'Watches that clients have open.',
      ['watch', 'transport'],
      all.flatMap(([watch, { open }]) =>
        Object.entries(open).map(([transport, { now }]) => ({ labels: { watch, transport }, value: now })),
      ),
    ),
    figure(
      'tallyback_watches_ended_total',
      'Watches that have ended, and why.',
      ['reason'],
      inAll('reason', ({ ended }) => ended),
    ),
    figure(
      'tallyback_watches_stalled',
      'Watches whose client takes nothing just now.',
      ['watch'],
      perWatch(({ stalled }) => stalled.now),
    ),
    figure(
      'tallyback_watch_messages_total',
      'Messages sent, heartbeats included.',
      ['watch'],
      perWatch(({ messages }) => messages),
    ),
    figure(
      'tallyback_watch_resets_total',
      'Resets sent: the read model was folded anew.',
      ['watch'],
      perWatch(({ resets }) => resets),
    ),
    figure(
      'tallyback_watch_reads_total',
      'Times a client was given changes that are kept in memory, or the database was asked for it alone.',
      ['watch', 'source'],
      all.flatMap(([watch, { fromMemory, fromDatabase }]) => [
        { labels: { watch, source: 'memory' }, value: fromMemory },
        { labels: { watch, source: 'database' }, value: fromDatabase },
      ]),
    ),
    figure(
      'tallyback_watch_catchups_total',
      'Times a client that followed had missed more than is kept in memory.',
      ['watch'],
      perWatch(({ catchUps }) => catchUps),
    ),
    figure(
      'tallyback_watch_snapshots',
      'Snapshots that are being sent, or wait for their turn.',
      ['state'],
      inAll('state', ({ snapshots, snapshotsWaiting }) => ({
        running: snapshots.now,
        waiting: snapshotsWaiting.now,
      })),
    ),
  ];
}
