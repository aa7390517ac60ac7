/** `tallyback projections list`. */
import { comparePositions, formatPosition, type Position } from '../eventstore/port.ts';
import type { GenerationReport } from '../projections/engine/operator.ts';
import { countEvents, hasMore } from './event-store.ts';
import type { Desk } from './projections-desk.ts';

/** Exit code: 1 if something has failed. */
export async function listProjections(desk: Desk): Promise<number> {
  const { operator, storage, store, terminal } = desk;
  const reports = await operator.generations();
  const head = await store.head();
  for (const report of reports) {
    terminal.print(
      line(
        `projection:${report.model}/${report.number}`,
        report.position,
        `${await lag(desk, report.position, head)}, ${describe(report)}`,
      ),
    );
  }
  for (const [name, position] of await storage.positions(undefined)) {
    if (name.startsWith('projection:')) continue;
    terminal.print(line(name, position, await lag(desk, position, head)));
  }
  return reports.some(({ failure }) => failure) ? 1 : 0;
}

const line = (name: string, position: Position, text: string): string =>
  `${name.padEnd(26)} at ${formatPosition(position).padEnd(18)} ${text}`;

async function lag({ configuration, store, terminal }: Desk, at: Position, head: Position): Promise<string> {
  const isBehind = comparePositions(at, head) < 0 && (await hasMore(store, at, terminal.signal));
  const events = isBehind ? countEvents(configuration, at, head) : 0n;
  return events === 0n ? 'caught up' : `${events === undefined ? '' : `${events} `}behind the log`;
}

/** "building (loading, paused), 3 events parked, FAILED at event 7/7: …". */
function describe({ state, stage, wish, owner, able, parked, failure }: GenerationReport): string {
  const wishes = { run: '', pause: ', paused', cancel: ', to be dropped' };
  const idle = owner === undefined && able.length === 0 ? ', no instance runs that could' : '';
  const parts = [state === 'building' ? `building (${stage}${wishes[wish]}${idle})` : state];
  if (parked > 0n) parts.push(`${parked} ${parked === 1n ? 'event' : 'events'} parked`);
  if (failure) {
    const event = failure.at ? ` at event ${formatPosition(failure.at)}` : '';
    parts.push(`FAILED${event}: ${failure.error}`);
  }
  return parts.join(', ');
}
