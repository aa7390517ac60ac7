/** Read models in memory: a reader and its progress, moved on by hand. */
import { comparePositions, logStart, type Position } from '../../../src/eventstore/port.ts';
import type { Columns, Key, ReadModel, RowOf } from '../../../src/projections/engine/read-model.ts';
import type {
  ChangeCursor,
  ChangePage,
  Filter,
  Page,
  Progress,
  ReadModelReader,
} from '../../../src/projections/engine/reading.ts';
import type { Written } from '../../../src/projections/engine/written.ts';
import { matcher } from '../../../src/api/watch/matches.ts';
import { compareKeys, compareValues, keyOfRow } from './keys.ts';

export const at = (n: number): Position => ({ commit: BigInt(n), prepare: BigInt(n) });

interface Stored {
  readonly row: object;
  readonly key: Key;
  readonly position: Position;
}

/** Who writes more rows at once has them read (written.ts). */
const mostTold = 1_024;

type Listener = Parameters<Progress['onAdvance']>[1];

export class FakeTables implements ReadModelReader {
  readonly #tables = new Map<string, Stored[]>();
  readonly #through = new Map<string, Position>();
  readonly #incarnations = new Map<string, number>();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #waiting = new Set<() => void>();
  /** Snapshots that hold a connection now. */
  openSnapshots = 0;
  /** Calls of `changes` so far. */
  changesCalls = 0;
  /** Calls of `list` so far. */
  listCalls = 0;
  /** Rows per page of a snapshot. */
  snapshotPage = 500;
  /** Waited for before a snapshot is begun, and before each of its pages. */
  beforeSnapshot: () => Promise<void> = async () => undefined;
  beforePage: () => Promise<void> = async () => undefined;
  /** Progress tells nobody while set. */
  deaf = false;
  /** The next answer of `changes` waits for this, with what was read before. */
  held: Promise<void> | undefined;
  /** Said by the next answer of `changes` instead of the incarnation there is. */
  pretended: string | undefined;
  /** Whether who follows is told what this commit has written, or has to read it: mostly the one, mostly the other. */
  tellsWritten = (commit: bigint): boolean => commit % 2n === 0n;
  /** Thrown by every read while set. */
  failure: Error | undefined;

  /** Rows changed by a commit at this position; the read model is then through it. */
  commit<C extends Columns>(model: ReadModel<C>, position: Position, rows: readonly RowOf<C>[]): void {
    const name = `projection:${model.name}`;
    const after = this.#now(name);
    const table = this.#tables.get(model.name) ?? [];
    const byKey = new Map(table.map((stored) => [JSON.stringify(stored.key, plain), stored]));
    for (const row of rows) {
      const key = keyOfRow(model, row);
      byKey.set(JSON.stringify(key, plain), { row, key, position });
    }
    this.#tables.set(
      model.name,
      [...byKey.values()].toSorted((a, b) => compareKeys(a.key, b.key)),
    );
    const written = rows
      .toSorted((a, b) => compareKeys(keyOfRow(model, a), keyOfRow(model, b)))
      .map((row) => ({ row, commit: position.commit }));
    this.advance(name, position, [
      { after, through: position, incarnation: this.#incarnation(model), rows: written },
    ]);
  }

  /** Other rows, made anew: their positions are none that anybody who follows changes would look for. */
  refold<C extends Columns>(model: ReadModel<C>, position: Position, rows: readonly RowOf<C>[]): void {
    this.#tables.delete(model.name);
    this.#incarnations.set(model.name, Number(this.#incarnation(model)) + 1);
    this.commit(model, position, rows);
  }

  #incarnation({ name }: Pick<ReadModel, 'name'>): string {
    return String(this.#incarnations.get(name) ?? 1);
  }

  /** A projection or policy has handled everything up to a position. */
  advance(name: string, position: Position, written?: readonly Written[]): void {
    this.#through.set(name, position);
    const isMuch = written?.some(({ rows }) => rows.length > mostTold) ?? false;
    const told = this.tellsWritten(position.commit) && !isMuch ? written : undefined;
    if (!this.deaf) for (const listener of this.#listeners.get(name) ?? []) setImmediate(listener, told);
    for (const check of this.#waiting) check();
  }

  listenerCount(name: string): number {
    return this.#listeners.get(name)?.size ?? 0;
  }

  get waiterCount(): number {
    return this.#waiting.size;
  }

  #now(name: string): Position {
    return this.#through.get(name) ?? logStart;
  }

  #rows<C extends Columns>(model: ReadModel<C>, filter: Filter<C>): (Stored & { readonly row: RowOf<C> })[] {
    if (this.failure) throw this.failure;
    const matches = matcher<C>(filter);
    const rows = (this.#tables.get(model.name) ?? []) as (Stored & { readonly row: RowOf<C> })[];
    return rows.filter(({ row }) => matches(row));
  }

  async get<C extends Columns>(
    model: ReadModel<C>,
    key: Key,
  ): Promise<{ row: RowOf<C> | undefined; through: Position }> {
    const found = this.#rows(model, {}).find((stored) => compareKeys(stored.key, key) === 0);
    return { row: found?.row, through: this.#now(`projection:${model.name}`) };
  }

  async list<C extends Columns>(
    model: ReadModel<C>,
    options: Parameters<ReadModelReader['list']>[1] & { readonly filter?: Filter<C> },
  ): Promise<Page<C>> {
    this.listCalls++;
    const { after, limit, orderBy } = options;
    let rows = this.#rows(model, options.filter ?? {});
    if (after) rows = rows.filter(({ key }) => compareKeys(key, after) > 0);
    if (orderBy) {
      const value = (row: object, column: string): unknown => new Map(Object.entries(row)).get(column);
      rows = rows.toSorted((a, b) => {
        for (const { column, descending } of orderBy) {
          const order = compareValues(value(a.row, column), value(b.row, column));
          if (order !== 0) return descending ? -order : order;
        }
        return 0;
      });
    }
    const page = rows.slice(0, limit);
    return {
      rows: page.map(({ row }) => row),
      next: rows.length > limit ? page.at(-1)?.key : undefined,
      through: this.#now(`projection:${model.name}`),
      incarnation: this.#incarnation(model),
    };
  }

  async snapshot<C extends Columns>(
    model: ReadModel<C>,
    filter: Filter<C>,
    signal: AbortSignal,
  ): Promise<{
    readonly through: Position;
    readonly incarnation: string;
    readonly pages: AsyncIterable<readonly RowOf<C>[]>;
  }> {
    await this.beforeSnapshot();
    const rows = this.#rows(model, filter).map(({ row }) => row);
    const through = this.#now(`projection:${model.name}`);
    const { beforePage } = this;
    const size = this.snapshotPage;
    this.openSnapshots++;
    let isOpen = true;
    const close = (): void => {
      if (isOpen) this.openSnapshots--;
      isOpen = false;
    };
    // Also when nobody ever asked for a page.
    signal.addEventListener('abort', close);
    async function* pages(): AsyncGenerator<readonly RowOf<C>[]> {
      try {
        for (let first = 0; first < rows.length; first += size) {
          await beforePage();
          signal.throwIfAborted();
          yield rows.slice(first, first + size);
        }
      } finally {
        close();
      }
    }
    return { through, incarnation: this.#incarnation(model), pages: pages() };
  }

  async changes<C extends Columns>(
    model: ReadModel<C>,
    filter: Filter<C>,
    after: ChangeCursor,
    limit: number,
  ): Promise<ChangePage<C>> {
    this.changesCalls++;
    const through = this.#now(`projection:${model.name}`);
    const rows = this.#rows(model, filter)
      .filter(({ position, key }) => {
        const order = comparePositions(position, after.position);
        return order > 0 || (order === 0 && after.key !== undefined && compareKeys(key, after.key) > 0);
      })
      .toSorted((a, b) => comparePositions(a.position, b.position) || compareKeys(a.key, b.key));
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const { held, pretended } = this;
    [this.held, this.pretended] = [undefined, undefined];
    await held;
    return {
      rows: page.map(({ row }) => row),
      commits: page.map(({ position }) => position.commit),
      cursor: last ? { position: last.position, key: last.key } : after,
      end: rows.length <= limit,
      through,
      incarnation: pretended ?? this.#incarnation(model),
    };
  }

  /** A part of its own because both ports have a `list`. */
  readonly progress: Progress = {
    through: async (name) => this.#now(name),
    list: async () => [...this.#through].map(([name, position]) => ({ name, position })),
    reached: (name, position, signal) => this.#reached(name, position, signal),
    onAdvance: (name, callback) => this.#onAdvance(name, callback),
  };

  #reached(name: string, position: Position, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (comparePositions(this.#now(name), position) < 0) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      signal.addEventListener('abort', () => {
        this.#waiting.delete(check);
        reject(new Error('aborted'));
      });
      check();
    });
  }

  #onAdvance(name: string, callback: Listener): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(callback);
    return () => void listeners.delete(callback);
  }
}

const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);
