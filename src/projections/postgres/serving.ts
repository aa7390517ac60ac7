/** Reads on the generation that serves, also when that is another one all of a sudden. */
import pg from 'pg';
import type { Tables } from '../engine/catalog.ts';
import type { Columns, ReadModel } from '../engine/read-model.ts';
import { type Generation, leaseName } from '../engine/storage.ts';

/** The checkpoint of a generation and its incarnation, if it serves. Takes three parameters, from this one on. */
export const servingCheckpoint = (first: number): string =>
  `select c.position, g.incarnation from tallyback.checkpoint c, tallyback.generation g
   where c.name = $${first} and g.model = $${first + 1} and g.number = $${first + 2} and g.state = 'serving'`;

export const checkpointValues = (generation: Generation): unknown[] => [
  leaseName(generation),
  generation.model,
  generation.number,
];

/** Times a generation may turn out not to serve (any more), one after the other, until that is an error. */
const mostLooks = 5;
/** undefined_table: it has been dropped. */
const undefinedTable = '42P01';

/** Does it on the generation that serves. `work` answers undefined if that one does not any more. */
export async function onServing<C extends Columns, R>(
  tables: Tables,
  model: ReadModel<C>,
  work: (generation: Generation) => Promise<R | undefined>,
): Promise<R> {
  for (let look = 1; ; look++) {
    try {
      const answer = await work(tables.serving(model));
      if (answer !== undefined) return answer;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || error.code !== undefinedTable || look >= mostLooks)
        throw error;
    }
    if (look >= mostLooks) throw new Error(`the tables of ${model.name} keep changing`);
    await tables.refresh();
  }
}
