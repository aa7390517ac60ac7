/** `tallyback audit [NAME…]`: every table against the whole log. */
import { formatPosition } from '../eventstore/port.ts';
import type { ServerConfiguration } from '../operations/configuration.ts';
import { closePool, openPool } from '../operations/pool.ts';
import { joinRunningPostgres, startPostgres } from '../operations/postgres/index.ts';
import { type Difference, rowsOf } from '../projections/audit/difference.ts';
import type { AuditedTable } from '../projections/audit/slice.ts';
import { auditWhole, type WholeResult } from '../projections/audit/whole.ts';
import { Catalog } from '../projections/engine/catalog.ts';
import { OtherLog } from '../projections/engine/errors.ts';
import type { ReadModel } from '../projections/engine/read-model.ts';
import type { Generation } from '../projections/engine/storage.ts';
import { readModels } from '../projections/index.ts';
import { postgresWholeStorage } from '../projections/postgres/audit/snapshot.ts';
import { postgresAuditStorage } from '../projections/postgres/audit/index.ts';
import { followedLog } from '../projections/postgres/followed-log.ts';
import { generations } from '../projections/postgres/generations.ts';
import { ensureSchema } from '../projections/postgres/schema.ts';
import { openEventStore } from './event-store.ts';
import { progressLine } from './progress-line.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage.ts';

/** Findings of earlier audits that are shown. */
const mostShown = 20;

/** Exit code: 0 if everything is as the log says, 1 if anything differs. */
export async function audit(
  names: readonly string[],
  configuration: ServerConfiguration,
  terminal: Terminal,
): Promise<number> {
  const models = names.length === 0 ? readModels : names.map(modelOf);
  const { databaseUrl, dataDir, postgresBinDir: binDir, postgresSettings: settings } = configuration;
  const running = databaseUrl === undefined ? await joinRunningPostgres(dataDir) : undefined;
  const postgres =
    running ?? (await startPostgres({ databaseUrl, binDir, dataDir, settings, log: terminal.log }));
  try {
    const store = await openEventStore(configuration, postgres.url, terminal.log);
    // A whole table is counted in one statement.
    const pool = openPool(postgres.url, 4, terminal.log, { connect: 5_000, query: 3_600_000 });
    try {
      await ensureSchema(pool);
      const followed = await followedLog(pool);
      if (followed !== undefined && followed !== store.id)
        throw new OtherLog('the read models in this database follow another event log');
      const catalog = new Catalog(models, { generations: () => generations(pool) });
      await catalog.refresh();
      const tables = catalog.folded().filter(([, { state }]) => state === 'serving');
      const line = progressLine(terminal.out);
      const result = await auditWhole({
        store,
        storage: postgresWholeStorage(pool),
        tables,
        signal: terminal.signal,
        onProgress: (slice, slices, events) => line.show(`slice ${slice} of ${slices}  ${events} events`),
      }).finally(() => line.end());
      const storage = postgresAuditStorage(pool);
      for (const table of result.tables) await keep(storage, table);
      print(result, models, terminal);
      await printOpen(storage, result, terminal);
      return result.tables.some(({ differences }) => differences > 0) ||
        result.money.some(({ imbalance }) => imbalance !== 0n)
        ? 1
        : 0;
    } finally {
      await store.close();
      await closePool(pool);
    }
  } finally {
    await postgres.stop();
  }
}

function modelOf(name: string): ReadModel {
  const model = readModels.find((candidate) => candidate.name === name);
  if (model) return model;
  throw new UsageError(
    `there is no read model "${name}"; there are ${readModels.map((known) => known.name).join(', ')}`,
  );
}

type Storage = ReturnType<typeof postgresAuditStorage>;

/** Notes what was found, and of earlier findings that they are mended. */
async function keep(storage: Storage, { generation, examples, differences }: AuditedTable): Promise<void> {
  const rows = rowsOf(examples);
  for (const found of rows.values()) await storage.note(generation, found[0]?.key ?? [], found);
  // Only if all differences are known is what is not among them right.
  if (differences > rows.size) return;
  for (const key of await storage.open(generation)) {
    // A sum over all rows cannot be right while one is wrong.
    if (key.length === 1 && differences > 0) continue;
    if (!rows.has(JSON.stringify(key))) await storage.note(generation, key, []);
  }
}

function print(
  { tables, money, slices }: WholeResult,
  models: readonly ReadModel[],
  terminal: Terminal,
): void {
  for (const model of models) {
    const table = tables.find(({ readModel }) => readModel === model.name);
    if (!table) {
      terminal.print(
        `${model.name.padEnd(12)} there is no table of this version that serves: nothing to audit`,
      );
      continue;
    }
    const { rows, events, differences, examples, through, generation } = table;
    const verdict = differences === 0 ? 'as the log says' : `${differences} ROWS DIFFER`;
    terminal.print(
      `${model.name.padEnd(12)} ${describe(generation)} at ${formatPosition(through)}  ${rows} rows, ${events} events: ${verdict}`,
    );
    for (const example of examples) terminal.print(`  ${textOf(example)}`);
  }
  for (const { currency, imbalance, stored } of money) {
    const owed = -(stored.member_pending + stored.member_available + stored.member_reserved);
    const verdict = imbalance === 0n ? 'balanced' : `OFF BY ${imbalance}`;
    terminal.print(
      `${currency.padEnd(12)} owed ${owed}, paid ${-stored.bank}, debt ${stored.member_debt} minor units: ${verdict}`,
    );
  }
  if (slices > 1) terminal.print(`In ${slices} passes over the log.`);
}

const describe = ({ number }: Generation): string => `generation ${number}`;

const textOf = ({ key, column, stored, right }: Difference): string =>
  `${key.join(' / ')}  ${column}: stored ${stored ?? '–'}, right ${right ?? '–'}`;

/** What the audit that runs all the time has found, and has not been mended. */
async function printOpen(storage: Storage, { tables }: WholeResult, terminal: Terminal): Promise<void> {
  const audited = new Set(tables.map(({ generation: { model, number } }) => `${model}/${number}`));
  const open = (await storage.findings(mostShown)).filter(
    ({ mendedAt, readModel, generation }) =>
      mendedAt === undefined && audited.has(`${readModel}/${generation}`),
  );
  if (open.length > 0) terminal.print('Findings that are not mended, the latest first:');
  for (const finding of open) {
    terminal.print(`  ${finding.foundAt.toISOString()} ${finding.readModel} ${textOf(finding)}`);
  }
}
