/** A database with a log, a read model that fails on demand, and an operator. */
import type pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import type { EventStore } from '../../../src/eventstore/port.ts';
import { openPostgresEventStore } from '../../../src/eventstore/postgres/postgres-event-store.ts';
import { Catalog } from '../../../src/projections/engine/catalog.ts';
import { type Projections, startProjections } from '../../../src/projections/engine/engine.ts';
import { defineReadModel } from '../../../src/projections/engine/read-model.ts';
import type { ReadModelReader } from '../../../src/projections/engine/reading.ts';
import type {
  GenerationReport,
  OperatorRefused,
  ProjectionOperator,
} from '../../../src/projections/engine/operator.ts';
import { checkpointName, type ProjectionStorage } from '../../../src/projections/engine/storage.ts';
import type { Delays } from '../../../src/projections/engine/timing.ts';
import { postgresOperator } from '../../../src/projections/postgres/operator/index.ts';
import { readModelReader } from '../../../src/projections/postgres/reader.ts';
import { postgresStorage } from '../../../src/projections/postgres/storage.ts';
import { openPool } from '../../../src/operations/pool.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import { accountEvent } from './events.ts';
import { Historian } from './history.ts';

/** Read models with faults that can be put right. */
export const faults = {
  /** Members whose rows cannot be folded. */
  rows: new Set<string>(),
  /** Streams of which not even the rows are known. */
  streams: new Set<string>(),
  heal(): void {
    this.rows.clear();
    this.streams.clear();
  },
};

/**
 * What was accrued by member, over all their currencies (so several streams make one row), and in which order.
 */
export const accruals = defineReadModel({
  name: 'accruals',
  version: 1,
  table: { columns: { member: 'text', total: 'bigint', currencies: 'text' }, key: ['member'] },
  handles: ['RebateAccrued', 'AccountFrozen'],
  keys({ event, stream }) {
    if (faults.streams.has(stream)) throw new Error(`no rows for ${stream}`);
    return [[event.data.member]];
  },
  fold(row, { event }) {
    const { member, currency } = event.data;
    if (faults.rows.has(member)) throw new Error(`no row for ${member}`);
    if (event.type === 'AccountFrozen') return undefined;
    const { total, currencies } = row ?? { total: 0n, currencies: '' };
    return { member, total: total + event.data.amountMinor, currencies: `${currencies}${currency[0]}` };
  },
});

/** The same, for those who would rather stand still. */
export const strict: typeof accruals = { ...accruals, name: 'strict', onFailure: 'stop' };

const quick: Partial<Delays> = {
  beat: 30,
  lease: 3_000,
  afterFailure: 100,
  longestRetry: 20,
  idle: 100,
};

export interface Desk {
  readonly url: string;
  readonly pool: pg.Pool;
  readonly store: EventStore;
  readonly storage: ProjectionStorage;
  readonly operator: ProjectionOperator;
  readonly reader: ReadModelReader;
  readonly lines: readonly string[];
  start(options?: Partial<Parameters<typeof startProjections>[0]>): Promise<Projections>;
  accrue(member: string, currency: 'GBP' | 'EUR', amounts: readonly bigint[]): Promise<void>;
  freeze(member: string, currency: 'GBP' | 'EUR'): Promise<void>;
  caughtUp(projections: Projections): Promise<void>;
  /** "ann 3 GGE" for every row of the generation that serves. */
  rows(): Promise<readonly string[]>;
  /** As soon as it is as said. */
  report(
    number: number,
    is: (report: GenerationReport) => boolean,
    model?: string,
  ): Promise<GenerationReport>;
  /** "who action subject" of everything done. */
  actions(): Promise<readonly string[]>;
}

export const streamOf = (member: string, currency: string): string => `account-${member}-${currency}`;

export async function openDesk(): Promise<Desk> {
  onTestFinished(() => faults.heal());
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const store = await openPostgresEventStore({ connectionString: database.url });
  onTestFinished(() => store.close());
  const pool = openPool(database.url, 12, () => undefined);
  onTestFinished(() => pool.end());
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const storage = postgresStorage({ pool, store, log });
  const models = [accruals];
  await storage.prepare(models);
  const operator = postgresOperator(pool, store);
  const historian = new Historian(store);
  const catalog = new Catalog(models, storage);
  const append = async (member: string, currency: string, events: Parameters<typeof happenings>[2]) =>
    void (await historian.append(happenings(member, currency, events)));
  let instances = 0;
  return {
    url: database.url,
    pool,
    store,
    storage,
    operator,
    reader: readModelReader(pool, catalog),
    lines,
    async start(options = {}) {
      const instance = `test-${++instances}`;
      const projections = await startProjections({
        store,
        storage,
        models,
        instance,
        log,
        delays: quick,
        ...options,
      });
      onTestFinished(() => projections.stop());
      return projections;
    },
    accrue: (member, currency, amounts) =>
      append(
        member,
        currency,
        amounts.map((amountMinor) =>
          accountEvent('RebateAccrued', { member, currency, amountMinor, entryId: 'e' }),
        ),
      ),
    freeze: (member, currency) =>
      append(member, currency, [accountEvent('AccountFrozen', { member, currency })]),
    caughtUp: async (projections) =>
      projections.progress.reached(checkpointName(accruals), await store.head(), AbortSignal.timeout(10_000)),
    async rows() {
      await catalog.refresh();
      const { table } = catalog.serving(accruals);
      const { rows } = await pool.query<{ text: string }>(
        `select member || ' ' || total || ' ' || currencies as text from tallyback.${table} order by member`,
      );
      return rows.map(({ text }) => text);
    },
    async report(number, is, model = accruals.name) {
      for (let look = 0; ; look++) {
        const report = await operator.generation(model, number);
        if (report && is(report)) return report;
        if (look > 800) throw new Error(`${model}/${number} is ${JSON.stringify(report, bigints)}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async actions() {
      const { rows } = await pool.query<{ text: string }>(
        `select who || ' ' || action || ' ' || subject as text from tallyback.operator_action order by id`,
      );
      return rows.map(({ text }) => text);
    },
  };
}

const bigints = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

const happenings = (
  member: string,
  currency: string,
  events: readonly ReturnType<typeof accountEvent>[],
): Parameters<Historian['append']>[0] =>
  events.map((event) => ({ stream: streamOf(member, currency), event }));

/** What an action is refused with. */
export const refused = (reason: OperatorRefused['reason'], message: RegExp) =>
  expect.objectContaining({ name: 'OperatorRefused', reason, message: expect.stringMatching(message) });
