/** Filters as SQL conditions: identifiers from the declaration, values as parameters. */
import type { AnyRow, ColumnType, Columns, Key, ReadModel } from '../engine/read-model.ts';
import type { Filter } from '../engine/reading.ts';
import { columnType, encodeArray, encodeValue } from './row-codec.ts';
import { identifier } from './table-sql.ts';

type Value = AnyRow[string];

/** Collects parameters. */
export class Parameters {
  readonly values: string[] = [];

  add(value: Exclude<Value, undefined>, type: ColumnType): string {
    this.values.push(encodeValue(value));
    return `$${this.values.length}::${type}`;
  }

  addArray(values: readonly Value[], type: ColumnType): string {
    this.values.push(encodeArray(type, values));
    return `$${this.values.length}::${type}[]`;
  }
}

type Condition = Filter<Columns>[string];
type Range = { readonly from?: Value; readonly until?: Value };

const isIn = (condition: Condition): condition is { readonly in: readonly Value[] } =>
  typeof condition === 'object' && 'in' in condition;
const isRange = (condition: Condition): condition is Range =>
  typeof condition === 'object' && !(condition instanceof Date) && !('in' in condition);

/** Conditions on columns of table `t`, to be joined by "and". An undefined condition is none. */
export function conditionsOf<C extends Columns>(
  model: ReadModel<C>,
  filter: Filter<C>,
  parameters: Parameters,
): string[] {
  const conditions: string[] = [];
  const entries: [string, Condition][] = Object.entries(filter);
  for (const [column, condition] of entries) {
    if (condition === undefined) continue;
    const name = `t.${identifier(column)}`;
    const type = columnType(model.table.columns, column);
    if (isIn(condition)) {
      conditions.push(`${name} = any(${parameters.addArray(condition.in, type)})`);
    } else if (isRange(condition)) {
      if (condition.from !== undefined) conditions.push(`${name} >= ${parameters.add(condition.from, type)}`);
      if (condition.until !== undefined)
        conditions.push(`${name} < ${parameters.add(condition.until, type)}`);
    } else {
      conditions.push(`${name} = ${parameters.add(condition, type)}`);
    }
  }
  return conditions;
}

/** The values of a key as parameters. Throws TypeError if it has not one value for every key column. */
export function keyParameters<C extends Columns>(
  model: ReadModel<C>,
  key: Key,
  parameters: Parameters,
): string[] {
  const { key: names, columns } = model.table;
  if (key.length !== names.length) throw new TypeError(`a key of ${model.name} has ${names.length} values`);
  return names.map((name, i) => {
    const value = key[i];
    if (value === undefined) throw new TypeError(`a key of ${model.name} lacks ${name}`);
    return parameters.add(value, columnType(columns, name));
  });
}

export const keyColumns = <C extends Columns>(model: ReadModel<C>): string[] =>
  model.table.key.map((name) => `t.${identifier(name)}`);

export const where = (conditions: readonly string[]): string =>
  conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;
