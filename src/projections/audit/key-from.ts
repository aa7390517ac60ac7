/** Keys back from texts. */
import type { ColumnSpec, Key, ReadModel } from '../engine/read-model.ts';

/** The key that was written as these texts. Throws TypeError if it is none of this read model. */
export function keyFrom({ table, name }: Pick<ReadModel, 'table' | 'name'>, texts: readonly string[]): Key {
  if (texts.length !== table.key.length)
    throw new TypeError(`a key of ${name} has ${table.key.length} values`);
  return table.key.map((column, i) => valueFrom(table.columns[column], texts[i] ?? ''));
}

function valueFrom(spec: ColumnSpec | undefined, text: string): Key[number] {
  switch (typeof spec === 'object' ? spec.type : spec) {
    case 'bigint':
      return BigInt(text);
    case 'integer':
      return Number(text);
    case 'timestamptz':
      return new Date(text);
    default:
      return text;
  }
}
