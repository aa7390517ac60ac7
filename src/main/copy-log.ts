/** `tallyback copy-log --from STORE --to STORE`. */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { copyLog, type CopyProgress } from '../eventstore/copy-log.ts';
import {
  checkConnectionString,
  openEventStoreDb,
  openEventStoreDbCopy,
} from '../eventstore/eventstoredb/index.ts';
import {
  CopyRefused,
  type CopyTarget,
  type EventStore,
  formatPosition,
  logStart,
  type Position,
} from '../eventstore/port.ts';
import { openPostgresCopy, openPostgresEventStore } from '../eventstore/postgres/postgres-event-store.ts';
import {
  ConfigurationError,
  dataDirOf,
  type EventStoreConfiguration,
  eventStoreAt,
  isEventStoreUrl,
  unknownSettings,
} from '../operations/configuration.ts';
import { startPostgres } from '../operations/postgres/index.ts';
import { describeEventStoreDb, hasMore, wholeLog } from './event-store.ts';
import { progressLine } from './progress-line.ts';
import { storeLog } from './store-log.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface CopyLogCommand {
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly data: string | undefined;
}

/** Where a log is. */
type Place =
  | { readonly kind: 'event-store'; readonly configuration: EventStoreConfiguration }
  | { readonly kind: 'postgres'; readonly url: string }
  | { readonly kind: 'embedded'; readonly dataDir: string };

/** Exit code: 0 when the copy is complete, 1 when it was interrupted or lacks what came too late. */
export async function copyLogCommand(command: CopyLogCommand, terminal: Terminal): Promise<number> {
  const { from, to } = placesOf(command);
  const stops: (() => Promise<void>)[] = [];
  const gone = new AbortController();
  const signal = AbortSignal.any([terminal.signal, gone.signal]);
  /** Makes sure that there is a Postgres where one is to run, and gives its URL. */
  const postgresAt = async (place: Exclude<Place, { kind: 'event-store' }>): Promise<string> => {
    if (place.kind === 'postgres') return place.url;
    const postgres = await startPostgres({
      dataDir: place.dataDir,
      binDir: process.env['TALLYBACK_POSTGRES_BIN'] || undefined,
      log: terminal.log,
    });
    stops.push(() => postgres.stop());
    void postgres.lost.then((why) => {
      terminal.log(why);
      gone.abort();
    });
    return postgres.url;
  };
  const log = storeLog(terminal.log);
  try {
    const source = await openSource(from, postgresAt, terminal.log);
    stops.push(() => source.close());
    // Where a name that nobody has used gives an empty log, an empty log is a mistake in the name.
    if (from.kind === 'event-store' && !(await hasMore(source, logStart, signal))) {
      if (signal.aborted) return 1;
      throw new CopyRefused(`there are no events in the log to copy from, ${describe(from)}`);
    }
    const target = await openTarget(to, source.id, postgresAt, terminal.log);
    stops.push(() => target.close());
    if (target.id === source.id) throw new CopyRefused('a log cannot be copied to itself');
    const line = progressLine(terminal.out);
    terminal.print(`From ${describe(from)}\nto   ${describe(to)}`);
    const onProgress = progressTo(line.show, await source.head());
    const result = await copyLog({ source, target, signal, log, onProgress }).finally(() => line.end());
    if (!result.complete) {
      terminal.print('Stopped. The copy is not complete; the same command goes on from where it is.');
      return 1;
    }
    const rate = Math.round(result.events / Math.max(result.seconds, 0.001));
    terminal.print(
      `The copy is complete: ${result.events} events, the same in both logs, in ${result.seconds.toFixed(1)} s (${rate}/s); ` +
        `${result.copied} of them were copied now. A server started on it makes its read models anew.`,
    );
    if (!(await hasMore(source, result.through, signal))) return 0;
    terminal.log(
      'The log copied from has been written to since: the copy lacks these events. Stop all servers on it, and copy it ' +
        'into another empty log.',
    );
    return 1;
  } finally {
    for (const stop of stops.toReversed()) {
      await stop().catch((error: unknown) => terminal.log(`while stopping: ${String(error)}`));
    }
  }
}

type PostgresAt = (place: Exclude<Place, { kind: 'event-store' }>) => Promise<string>;

/** A log that is there, and whole. */
async function openSource(
  place: Place,
  postgresAt: PostgresAt,
  log: (line: string) => void,
): Promise<EventStore> {
  if (place.kind === 'event-store') {
    return wholeLog(await openEventStoreDb({ ...place.configuration, mustExist: true, log: storeLog(log) }));
  }
  if (place.kind === 'embedded' && !(await exists(join(place.dataDir, 'pg', 'PG_VERSION')))) {
    throw new CopyRefused(`${place.dataDir} is not a data folder of Tallyback: there is no log in it`);
  }
  const connectionString = await postgresAt(place);
  return wholeLog(await openPostgresEventStore({ connectionString, mustExist: true, log: storeLog(log) }));
}

async function openTarget(
  place: Place,
  originStoreId: string,
  postgresAt: PostgresAt,
  log: (line: string) => void,
): Promise<CopyTarget> {
  if (place.kind === 'event-store') {
    return openEventStoreDbCopy({ ...place.configuration, log: storeLog(log) }, originStoreId);
  }
  const connectionString = await postgresAt(place);
  return openPostgresCopy({ connectionString, log: storeLog(log) }, originStoreId);
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Both places. Throws UsageError, and ConfigurationError with all that is wrong. */
function placesOf({ from, to, data }: CopyLogCommand): { readonly from: Place; readonly to: Place } {
  if (from === undefined || to === undefined)
    throw new UsageError('copy-log needs --from STORE and --to STORE');
  const problems = unknownSettings(process.env);
  const dataDir = dataDirOf(data, process.env);
  const places = {
    from: placeOf('from', from, dataDir, problems),
    to: placeOf('to', to, dataDir, problems),
  };
  if (problems.length > 0) throw new ConfigurationError([...new Set(problems)].join('\n'));
  if (JSON.stringify(places.from) === JSON.stringify(places.to)) {
    throw new UsageError('--from and --to name the same log');
  }
  return places;
}

/** What is wrong is said without the text: it may hold a password. */
function placeOf(flag: string, text: string, dataDir: string, problems: string[]): Place {
  if (isEventStoreUrl(text)) {
    const configuration = eventStoreAt(text, process.env, checkConnectionString, problems);
    return { kind: 'event-store', configuration };
  }
  if (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text)) return { kind: 'postgres', url: text };
  const [, folder] = /^embedded(?::(.+))?$/.exec(text) ?? [undefined, ''];
  if (folder === '') {
    problems.push(`--${flag} takes esdb://…, postgres://…, embedded or embedded:DIR`);
  }
  return { kind: 'embedded', dataDir: folder === undefined ? dataDir : resolve(folder) };
}

/** For people; holds no secrets. */
function describe(place: Place): string {
  switch (place.kind) {
    case 'event-store':
      return describeEventStoreDb(place.configuration);
    case 'postgres': {
      const { hostname, port, pathname } = new URL(place.url);
      return `Postgres at ${hostname || 'localhost'}${port && `:${port}`}${pathname}`;
    }
    case 'embedded':
      return `the embedded Postgres in ${place.dataDir}`;
  }
}

/** Shows progress, a few times a second. */
function progressTo(show: (text: string) => void, target: Position): (progress: CopyProgress) => void {
  let shownAt = Number.NEGATIVE_INFINITY;
  let phase: CopyProgress['phase'] | undefined;
  let first = 0;
  return (progress) => {
    const at = Number(progress.position.commit);
    if (progress.phase !== phase) {
      phase = progress.phase;
      first = at;
      shownAt = Number.NEGATIVE_INFINITY;
    }
    const now = performance.now();
    if (now - shownAt < 200) return;
    shownAt = now;
    const { position, events, phaseEvents, phaseSeconds } = progress;
    const rate = phaseSeconds > 0 ? `, ${Math.round(phaseEvents / phaseSeconds)}/s` : '';
    const left = ((Number(target.commit) - at) * phaseSeconds) / (at - first);
    const remaining = at > first && left >= 0 ? `, ${Math.ceil(left)} s left` : '';
    show(
      `${phase}  ${formatPosition(position)} of ${formatPosition(target)}  ${events} events${rate}${remaining}`,
    );
  };
}
