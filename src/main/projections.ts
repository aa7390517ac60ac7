/** `tallyback projections list | replay NAME`. */
import pg from 'pg';
import { formatPosition } from '../eventstore/port.ts';
import { openPostgresEventStore } from '../eventstore/postgres/postgres-event-store.ts';
import type { ServerConfiguration } from '../operations/configuration.ts';
import { type PostgresServer, startPostgres } from '../operations/postgres/index.ts';
import { listCheckpoints } from '../projections/engine/checkpoint.ts';
import { replayReadModel } from '../projections/engine/replay.ts';
import { readModels } from '../projections/index.ts';
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
    const pool = new pg.Pool({ connectionString: url, max: 4 });
    pool.on('error', (error) => terminal.log(`postgres connection lost: ${error.message}`));
    const store = await openPostgresEventStore({ connectionString: url, log: terminal.log });
    try {
      if (model) {
        const line = progressLine(terminal.out);
        const replayed = await replayReadModel({
          store,
          pool,
          model,
          signal: terminal.signal,
          onProgress: ({ events, total, perSecond, secondsLeft }) =>
            line.show(
              `${model.name}  ${events} of ${total} events  ${Math.round(perSecond)}/s  ${Math.ceil(secondsLeft)} s left`,
            ),
        });
        line.end();
        terminal.print(
          `${model.name} is folded from the log again: ${replayed.events} events, ${replayed.rows} rows.`,
        );
        return 0;
      }
      const head = await store.head();
      for (const { name: checkpoint, position } of await listCheckpoints(pool)) {
        const lag = head.commit - position.commit;
        terminal.print(`${checkpoint.padEnd(28)} at ${formatPosition(position).padEnd(22)} ${lag} behind`);
      }
      return 0;
    } finally {
      await store.close();
      await pool.end();
    }
  });
}

/** The database of a server that runs on the data folder, or one started for the occasion. */
async function withPostgres<T>(
  configuration: ServerConfiguration,
  terminal: Terminal,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const postgres: PostgresServer = await startPostgres({
    databaseUrl: configuration.databaseUrl,
    binDir: configuration.postgresBinDir,
    dataDir: configuration.dataDir,
    settings: configuration.postgresSettings,
    joinRunning: true,
    log: terminal.log,
  });
  try {
    return await use(postgres.url);
  } finally {
    await postgres.stop();
  }
}
