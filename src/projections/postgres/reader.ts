/**
 * Queries on any read model. Rows and checkpoint always come from one statement (or one snapshot), so that
 * "complete through" is true of exactly the rows that are answered. The same statement looks whether the generation it
 * reads still serves; if not, the read is done again on the one that does. So a swap asks nobody to wait.
 */
import type pg from 'pg';
import type { Position } from '../../eventstore/port.ts';
import type { Tables } from '../engine/catalog.ts';
import { readPosition } from './checkpoints.ts';
import { conditionsOf, keyColumns, keyParameters, Parameters, where } from './conditions.ts';
import type { Columns, Key, ReadModel, RowOf } from '../engine/read-model.ts';
import type {
  ChangeCursor,
  ChangePage,
  Filter,
  ListOptions,
  Page,
  ReadModelReader,
} from '../engine/reading.ts';
import { incarnationOf } from '../engine/storage.ts';
import { columnParsers, decodeRow, keyOf } from './row-codec.ts';
import { checkpointValues, onServing, servingCheckpoint } from './serving.ts';
import { openSnapshot, type Snapshot } from './snapshot.ts';
import { identifier, tableSql } from './table-sql.ts';

export const readModelReader = (pool: pg.Pool, tables: Tables): ReadModelReader =>
  new PostgresReader(pool, tables);

/** The rows of a statement, and the checkpoint they were read with. */
interface Answer<C extends Columns> {
  readonly through: Position;
  readonly incarnation: string;
  readonly found: readonly { readonly row: RowOf<C>; readonly position: bigint }[];
}

class PostgresReader implements ReadModelReader {
  readonly #pool: pg.Pool;
  readonly #tables: Tables;

  constructor(pool: pg.Pool, tables: Tables) {
    this.#pool = pool;
    this.#tables = tables;
  }

  async get<C extends Columns>(
    model: ReadModel<C>,
    key: Key,
  ): Promise<{ row: RowOf<C> | undefined; through: Position }> {
    const parameters = new Parameters();
    const names = keyColumns(model);
    const same = keyParameters(model, key, parameters).map((value, i) => `${names[i]} = ${value}`);
    const { found, through } = await this.#read(model, parameters, where(same), '', 'get');
    return { row: found[0]?.row, through };
  }

  async list<C extends Columns>(model: ReadModel<C>, options: ListOptions<C>): Promise<Page<C>> {
    const { filter = {}, after, orderBy = [] } = options;
    if (orderBy.length > 0 && after) throw new TypeError('only a list in key order has a next page');
    const parameters = new Parameters();
    const conditions = conditionsOf(model, filter, parameters);
    const key = keyColumns(model);
    if (after)
      conditions.push(`(${key.join(', ')}) > (${keyParameters(model, after, parameters).join(', ')})`);
    const sorted = orderBy.map(
      ({ column, descending }) => `t.${identifier(column)}${descending ? ' desc' : ''}`,
    );
    const order = [...sorted, ...key];
    const page = await this.#page(model, parameters, conditions, order, options.limit);
    const last = page.rows.at(-1);
    const next = page.more && last && orderBy.length === 0 ? keyOf(model.table.key, last.row) : undefined;
    const { through, incarnation } = page;
    return { rows: page.rows.map(({ row }) => row), next, through, incarnation };
  }

  snapshot<C extends Columns>(
    model: ReadModel<C>,
    filter: Filter<C>,
    signal: AbortSignal,
  ): Promise<Snapshot<C>> {
    return onServing(this.#tables, model, (generation) =>
      openSnapshot(this.#pool, model, generation, filter, signal),
    );
  }

  async changes<C extends Columns>(
    model: ReadModel<C>,
    filter: Filter<C>,
    after: ChangeCursor,
    limit: number,
  ): Promise<ChangePage<C>> {
    const parameters = new Parameters();
    const conditions = conditionsOf(model, filter, parameters);
    const order = ['t.position', ...keyColumns(model)];
    const position = parameters.add(after.position.commit, 'bigint');
    conditions.push(
      after.key === undefined
        ? `t.position > ${position}`
        : `(${order.join(', ')}) > (${[position, ...keyParameters(model, after.key, parameters)].join(', ')})`,
    );
    const page = await this.#page(model, parameters, conditions, order, limit);
    return {
      rows: page.rows.map(({ row }) => row),
      commits: page.rows.map((found) => found.position),
      end: !page.more,
      ...moved(model, after, page),
    };
  }

  /** Up to `limit` rows, and whether there are more. */
  async #page<C extends Columns>(
    model: ReadModel<C>,
    parameters: Parameters,
    conditions: readonly string[],
    order: readonly string[],
    limit: number,
  ): Promise<Pick<Answer<C>, 'through' | 'incarnation'> & { rows: Answer<C>['found']; more: boolean }> {
    if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`${limit} is not a page size`);
    const sorted = `order by ${order.join(', ')}`;
    const tail = `${where(conditions)} ${sorted} limit ${parameters.add(limit + 1, 'bigint')}`;
    const { found, through, incarnation } = await this.#read(model, parameters, tail, sorted);
    return { through, incarnation, rows: found.slice(0, limit), more: found.length > limit };
  }

  /** `tail`: what follows the table `t`; `order`: how rows are sorted again after the join; `use`: to prepare it. */
  #read<C extends Columns>(
    model: ReadModel<C>,
    parameters: Parameters,
    tail: string,
    order: string,
    use?: string,
  ): Promise<Answer<C>> {
    return onServing(this.#tables, model, async (generation) => {
      const { table, columns, selected } = tableSql(model, generation.table);
      const first = parameters.values.length + 1;
      const { rows } = await this.#pool.query<unknown[]>({
        // Without a name it is planned for its values every time: lists differ too much for one plan.
        ...(use === undefined ? {} : { name: `${generation.table}-v${model.version}-${use}` }),
        // The checkpoint is answered also when there are no rows.
        text: `select c.position, c.incarnation, t.*
          from (${servingCheckpoint(first)}) c
          left join lateral (select ${selected}, t.position from ${table} t ${tail}) t on true ${order}`,
        values: [...parameters.values, ...checkpointValues(generation)],
        rowMode: 'array',
        types: columnParsers,
      });
      const [through, incarnation] = rows[0] ?? [];
      if (typeof through !== 'string') return undefined;
      const found: Answer<C>['found'][number][] = [];
      for (const values of rows) {
        const position = values.at(-1);
        if (typeof position === 'bigint') found.push({ row: decodeRow<C>(columns, values, 2), position });
      }
      return { through: readPosition(through), incarnation: incarnationOf(generation, incarnation), found };
    });
  }
}

/** Where a reader of changes stands after a page. */
function moved<C extends Columns>(
  model: ReadModel<C>,
  after: ChangeCursor,
  page: Pick<Answer<C>, 'through' | 'incarnation'> & { rows: Answer<C>['found']; more: boolean },
): { cursor: ChangeCursor; through: Position; incarnation: string } {
  const { through, incarnation } = page;
  const last = page.rows.at(-1);
  if (page.more && last) {
    // Only the commit part is compared with rows.
    const position = { commit: last.position, prepare: last.position };
    return { cursor: { position, key: keyOf(model.table.key, last.row) }, through, incarnation };
  }
  // After a rollback, or on tables that are still being built, a checkpoint can be behind a cursor, which then stays.
  const behind = through.commit < after.position.commit;
  return { cursor: behind ? after : { position: through, key: undefined }, through, incarnation };
}
