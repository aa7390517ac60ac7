/** Rows as `changes` events: in pieces of bounded size, each row encoded once however many clients get it. */
import type { Columns, RowOf } from '../../projections/engine/read-model.ts';
import * as messages from './messages.ts';

/** Of one event, so that it is well within what clients accept. */
const mostRows = 256;
const mostBytes = 256 * 1024;
/** Bytes that a message within another takes besides its own, at most. */
const framing = 5;

export interface RowForm<C extends Columns> {
  /** The row as a message. */
  readonly encode: (row: RowOf<C>) => Uint8Array;
  /** What takes a row away from those who do not see it any more; absent: no row ever leaves a filter. */
  readonly encodeRemoval?: (row: RowOf<C>) => Uint8Array;
}

/** Whether a client is to see a row, of those that its filter says may concern it. */
export type Sees<C extends Columns> = (row: RowOf<C>) => boolean;

export class ChangeEncoder<C extends Columns> {
  readonly #form: RowForm<C>;
  readonly #known = new WeakMap<RowOf<C>, Uint8Array>();

  constructor(form: RowForm<C>) {
    this.#form = form;
  }

  /** The events, in order; none for no rows. Rows that are not seen are removals. */
  encode(rows: readonly RowOf<C>[], sees: Sees<C>): Uint8Array[] {
    const { encodeRemoval } = this.#form;
    const events: Uint8Array[] = [];
    let upserts: Uint8Array[] = [];
    let removals: Uint8Array[] = [];
    let bytes = 0;
    const cut = (): void => {
      if (upserts.length + removals.length === 0) return;
      events.push(messages.changes(upserts, removals));
      upserts = [];
      removals = [];
      bytes = 0;
    };
    const makeRoom = (more: number): void => {
      if (upserts.length + removals.length === mostRows || bytes + more > mostBytes) cut();
      bytes += more;
    };
    for (const row of rows) {
      if (sees(row)) {
        const upsert = this.#row(row);
        makeRoom(upsert.length + framing);
        upserts.push(upsert);
      } else if (encodeRemoval) {
        const removal = encodeRemoval(row);
        makeRoom(removal.length + framing);
        removals.push(removal);
      }
    }
    cut();
    return events;
  }

  #row(row: RowOf<C>): Uint8Array {
    let bytes = this.#known.get(row);
    if (!bytes) this.#known.set(row, (bytes = this.#form.encode(row)));
    return bytes;
  }
}
