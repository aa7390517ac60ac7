/** Keys of rows as texts, to find them in memory. */
import type { Key } from './read-model.ts';

/** One text per key: U+0000 cannot be in a Postgres text, so keys that differ have different texts. */
export function keyText(key: Key): string {
  let text = '';
  for (const value of key) {
    text += value instanceof Date ? value.getTime() : value;
    text += '\u0000';
  }
  return text;
}
