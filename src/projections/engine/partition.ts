/** Which partition streams and rows belong to: the same one in every thread, and as long as their number is the same. */
import type { ReadModel } from './read-model.ts';
import { keyText } from './row-key.ts';

/** FNV-1a: quick on short texts, and spreads those that differ in a digit. */
export function partitionOf(text: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % partitions;
}

/** The read model, as far as its rows are of one partition. */
export const onlyPartition = (model: ReadModel, partition: number, partitions: number): ReadModel => ({
  ...model,
  keys: (logged) => model.keys(logged).filter((key) => partitionOf(keyText(key), partitions) === partition),
});
