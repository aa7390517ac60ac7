/** `tallyback projections list | replay NAME`. */
import { comparePositions, formatPosition } from '../eventstore/port.ts';
import type { ServerConfiguration } from '../operations/configuration.ts';
import { closePool, openPool } from '../operations/pool.ts';
import { joinRunningPostgres, startPostgres } from '../operations/postgres/index.ts';
import { reportCheckpoints } from '../projections/engine/checkpoint.ts';
import { followLog } from '../projections/engine/followed-log.ts';
import { ensureTables } from '../projections/engine/schema.ts';
import { replayReadModel } from '../projections/engine/replay.ts';
import { readModels } from '../projections/index.ts';
import { countEvents, hasMore, openEventStore } from './event-store.ts';
import { progressLine } from './progress-line.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage.ts';

export async function projections(
  args: readonly string[],
  configuration: ServerConfiguration,
  terminal: Terminal,
): Promise<number> {
  const [verb, name, ...rest] = args;
  const wellFormed = (verb === 'list' && name === undefined) || (verb === 'replay' && name !== undefined);
  if (!wellFormed || rest.length > 0) throw new UsageError('projections takes "list" or "replay NAME"');
  const model = readModels.find((candidate) => candidate.name === name);
  if (verb === 'replay' && !model) {
    const names = readModels.map((known) => known.name).join(', ');
    throw new UsageError(`there is no read model "${name}"; there are ${names}`);
  }
  return withPostgres(configuration, terminal, async (url) => {
    const store = await openEventStore(configuration, url, terminal.log);
    const pool = openPool(url, 4, terminal.log);
    try {
      await followLog(pool, store, terminal.log);
      await ensureTables(pool, readModels, terminal.log);
      if (model) {
        const line = progressLine(terminal.out);
        const replayed = await replayReadModel({
          store,
          pool,
          model,
          signal: terminal.signal,
          log: terminal.log,
          onProgress({ position, target, events, eventsPerSecond, remainingSeconds }) {
            const way = `${formatPosition(position)} of ${formatPosition(target)}`;
            const left = remainingSeconds === undefined ? '' : `, ${Math.ceil(remainingSeconds)} s left`;
            line.show(`${model.name}  ${way}  ${events} events, ${Math.round(eventsPerSecond)}/s${left}`);
          },
        });
        line.end();
        if (!replayed.finished) {
          terminal.print(
            `Stopped; ${model.name} goes on from where it is when a server runs, or with another replay.`,
          );
          return 1;
        }
        const rate = Math.round(replayed.events / Math.max(replayed.seconds, 0.001));
        terminal.print(
          `${model.name} is folded from the log again: ${replayed.events} events in ${replayed.seconds.toFixed(1)} s (${rate}/s).`,
        );
        return 0;
      }
      const head = await store.head();
      const checkpoints = await reportCheckpoints(pool);
      for (const { name: checkpoint, position, failure } of checkpoints) {
        const isBehind =
          comparePositions(position, head) < 0 && (await hasMore(store, position, terminal.signal));
        const lag = isBehind ? countEvents(configuration, position, head) : 0n;
        const where = lag === 0n ? 'caught up' : `${lag === undefined ? '' : `${lag} `}behind the log`;
        const event = failure?.at ? ` at event ${formatPosition(failure.at)}` : '';
        const stopped = failure ? `, FAILED${event}: ${failure.error}` : '';
        terminal.print(
          `${checkpoint.padEnd(26)} at ${formatPosition(position).padEnd(18)} ${where}${stopped}`,
        );
      }
      return checkpoints.some(({ failure }) => failure) ? 1 : 0;
    } finally {
      await store.close();
      await closePool(pool);
    }
  });
}

/** The database of a server that runs on the data folder, or one started for the occasion. */
async function withPostgres<T>(
  configuration: ServerConfiguration,
  terminal: Terminal,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const { databaseUrl, dataDir, postgresBinDir: binDir, postgresSettings: settings } = configuration;
  const running = databaseUrl === undefined ? await joinRunningPostgres(dataDir) : undefined;
  const postgres =
    running ?? (await startPostgres({ databaseUrl, binDir, dataDir, settings, log: terminal.log }));
  try {
    return await use(postgres.url);
  } finally {
    await postgres.stop();
  }
}
