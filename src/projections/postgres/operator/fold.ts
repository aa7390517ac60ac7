/** Parked events folded into the rows of one scope. */
import type pg from 'pg';
import { decodeEvent } from '../../../domain/codec.ts';
import { comparePositions, type Position, type RecordedEvent } from '../../../eventstore/port.ts';
import { errorText } from '../../engine/errors.ts';
import { OperatorRefused } from '../../engine/operator.ts';
import type { AnyRow, Key, LoggedEvent, ReadModel } from '../../engine/read-model.ts';
import { keyText } from '../../engine/row-key.ts';
import { type Generation, type ParkedEvent, parkedRow, type StoredRow } from '../../engine/storage.ts';
import { plain } from '../checkpoints.ts';
import { keyColumns, keyParameters, Parameters, where } from '../conditions.ts';
import { columnParsers, decodeRow } from '../row-codec.ts';
import { tableSql } from '../table-sql.ts';

/** A row as it is stored. */
interface Slot {
  readonly row: AnyRow | undefined;
  readonly position: Position | undefined;
}

export interface FoldedScope {
  readonly rows: readonly StoredRow[];
  /** What the events of a stream would have changed in rows that are parked themselves: it waits there. */
  readonly waiting: readonly ParkedEvent[];
}

/**
 * All of them, in order: those of a row into that row only (the other rows have theirs), those of a stream into all
 * their rows. `parked`: the other scopes in which events are parked. Throws OperatorRefused if one cannot be folded.
 */
export async function foldParked(
  client: pg.PoolClient,
  model: ReadModel,
  generation: Generation,
  scope: string,
  events: readonly RecordedEvent[],
  parked: ReadonlySet<string>,
): Promise<FoldedScope> {
  const before = new Map<string, Slot>();
  const after = new Map<string, StoredRow>();
  const waiting: ParkedEvent[] = [];
  const isOfRow = scope.startsWith('row:');
  for (const stored of events) {
    const { stream, revision, position, type } = stored;
    const { logged, keys } = attempt(stored, () => touched(model, stored));
    for (const key of keys) {
      const text = keyText(key);
      const rowScope = plain(parkedRow(text));
      if (isOfRow && rowScope !== scope) continue;
      if (!isOfRow && parked.has(rowScope)) {
        waiting.push({
          scope: rowScope,
          stream,
          revision,
          type,
          position,
          error: undefined,
          stack: undefined,
        });
        continue;
      }
      const slot = before.get(text) ?? (await load(client, model, generation, key));
      before.set(text, slot);
      const row = after.has(text) ? after.get(text)?.row : slot.row;
      const next = attempt(stored, () => model.fold(row, logged, key));
      if (next === row) continue;
      // A stream that waited may be behind others that change the same row.
      const latest =
        slot.position && comparePositions(slot.position, position) > 0 ? slot.position : position;
      after.set(text, { key, row: next, position: latest, isStored: undefined });
    }
  }
  return { rows: [...after.values()], waiting };
}

/** The event, and the rows it changes. */
function touched(model: ReadModel, stored: RecordedEvent): { logged: LoggedEvent; keys: readonly Key[] } {
  const { stream, revision, position } = stored;
  const logged = { event: decodeEvent(stored), stream, revision, position };
  return { logged, keys: model.keys(logged) };
}

function attempt<R>({ stream, revision, type }: RecordedEvent, work: () => R): R {
  try {
    return work();
  } catch (error) {
    const why = `${type}, event ${revision} of ${stream}, still fails: ${errorText(error)}`;
    throw new OperatorRefused('STILL_FAILS', why);
  }
}

async function load(
  client: pg.PoolClient,
  model: ReadModel,
  generation: Generation,
  key: Key,
): Promise<Slot> {
  const { table, columns, selected } = tableSql(model, generation.table);
  const parameters = new Parameters();
  const names = keyColumns(model);
  const same = keyParameters(model, key, parameters).map((value, i) => `${names[i]} = ${value}`);
  const { rows } = await client.query<unknown[]>({
    text: `select t.position, ${selected} from ${table} t ${where(same)}`,
    values: parameters.values,
    rowMode: 'array',
    types: columnParsers,
  });
  const [values] = rows;
  const commit = values?.[0];
  if (!values || typeof commit !== 'bigint') return { row: undefined, position: undefined };
  // Where every row is written by one event, no fold ever sees the one before.
  const row = model.appendOnly ? undefined : decodeRow(columns, values, 1);
  return { row, position: { commit, prepare: commit } };
}
