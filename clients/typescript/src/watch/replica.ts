/**
 * What a watch has brought so far: the grammar of watch.proto, carried out message by message.
 *
 *   a snapshot is made beside the rows that are shown, and shown as a whole or not at all
 *   a row replaces the one with its key; a removal takes it away
 *   a resume token stands for the rows as of its message
 */
import { millisecondsOf } from '../duration.ts';
import { TallybackError } from '../errors.ts';
import type { RowForm } from './kind.ts';
import type { WatchMessage } from './message.ts';

/** What happened, for those who want to follow it. The rows are then as this left them. */
export type WatchEvent<Row, Removed = never> =
  /** The rows are now these and no others: at the beginning, and when the server could not go on where it was. */
  | { readonly kind: 'snapshot'; readonly rows: ReadonlyMap<string, Row> }
  /** These came or changed, and those went, together. */
  | { readonly kind: 'changes'; readonly rows: readonly Row[]; readonly removals: readonly Removed[] }
  /** Nothing newer was known to the server. */
  | { readonly kind: 'caughtUp' }
  /** The rows are not up to date; `lagMs`: for how long the server has not been either, if it is its fault. */
  | { readonly kind: 'fellBehind'; readonly lagMs: number | undefined }
  /** The stream broke off. It is begun again after this time; the rows stay. */
  | { readonly kind: 'interrupted'; readonly error: TallybackError; readonly retryInMs: number };

const broken = (message: string): TallybackError =>
  new TallybackError(message, { code: 'INTERNAL', reason: 'WATCH_BROKEN' });

export class Replica<Changes, Row, Removed> {
  readonly #form: RowForm<Changes, Row, Removed>;
  #rows = new Map<string, Row>();
  /** The snapshot that is under way. */
  #staged: Map<string, Row> | undefined;
  #snapshotIsDue = true;
  #sequence = 0n;
  /** Everything up to it is in the rows; empty: not known yet. */
  positionToken = '';
  /** Where the watch can be taken up again with these rows; empty: nowhere. */
  resumeToken = '';
  /** Milliseconds within which the server has promised the next message. */
  nextWithinMs: number;

  constructor(form: RowForm<Changes, Row, Removed>, nextWithinMs: number) {
    this.#form = form;
    this.nextWithinMs = nextWithinMs;
  }

  get rows(): ReadonlyMap<string, Row> {
    return this.#rows;
  }

  /** Whether heartbeats can be expected: there are none before and in a snapshot. */
  get isLive(): boolean {
    return !this.#snapshotIsDue && !this.#staged;
  }

  /** A new stream; what was sent of a snapshot on the one before is lost. */
  begin(snapshotFirst: boolean): void {
    this.#staged = undefined;
    this.#snapshotIsDue = snapshotFirst;
    this.#sequence = 0n;
  }

  /** Throws WATCH_BROKEN for what the server must not send; the rows are then as they were. */
  take({ header, event }: WatchMessage<Changes>): WatchEvent<Row, Removed> | undefined {
    const expected = this.#sequence + 1n;
    if (header?.sequence !== expected)
      throw broken(`message ${header?.sequence ?? 'without a number'} where ${expected} was to come`);
    this.#sequence = expected;
    const happened = this.#apply(event);
    if (header.positionToken !== '') this.positionToken = header.positionToken;
    if (header.resumeToken !== '') this.resumeToken = header.resumeToken;
    return happened;
  }

  #apply(event: WatchMessage<Changes>['event']): WatchEvent<Row, Removed> | undefined {
    switch (event?.$case) {
      case 'snapshotStarted':
        if (!this.#snapshotIsDue) throw broken('a snapshot that was not to come');
        this.#snapshotIsDue = false;
        this.#staged = new Map();
        return undefined;
      case 'changes':
        return this.#staged ? this.#stage(event.value, this.#staged) : this.#change(event.value);
      case 'snapshotCompleted':
        return this.#show(event.value.rowCount);
      case 'reset':
        this.#staged = undefined;
        this.#snapshotIsDue = true;
        return undefined;
      case 'caughtUp':
        this.#mustBeLive(event.$case);
        return { kind: 'caughtUp' };
      case 'fellBehind':
        this.#mustBeLive(event.$case);
        return { kind: 'fellBehind', lagMs: millisecondsOf(event.value.lag) };
      case 'heartbeat':
        this.#mustBeLive(event.$case);
        this.nextWithinMs = millisecondsOf(event.value.nextWithin) ?? this.nextWithinMs;
        return undefined;
      case undefined:
        // Of a newer server: nothing that an older client had to know.
        return undefined;
    }
  }

  #mustBeLive(event: string): void {
    if (!this.isLive) throw broken(`${event} before a snapshot was complete`);
  }

  #stage(changes: Changes, staged: Map<string, Row>): undefined {
    for (const row of this.#form.rowsOf(changes)) staged.set(this.#form.keyOf(row), row);
  }

  #show(rowCount: bigint): WatchEvent<Row, Removed> {
    const staged = this.#staged;
    if (!staged) throw broken('the end of a snapshot that was not begun');
    if (BigInt(staged.size) !== rowCount)
      throw broken(`a snapshot of ${staged.size} rows that says it has ${rowCount}`);
    this.#rows = staged;
    this.#staged = undefined;
    return { kind: 'snapshot', rows: staged };
  }

  #change(changes: Changes): WatchEvent<Row, Removed> | undefined {
    this.#mustBeLive('changes');
    const { rowsOf, removalsOf, keyOf, immutable } = this.#form;
    const removals = removalsOf(changes);
    const rows = rowsOf(changes).filter((row) => !immutable || !this.#rows.has(keyOf(row)));
    for (const removed of removals) this.#rows.delete(keyOf(removed));
    for (const row of rows) this.#rows.set(keyOf(row), row);
    return rows.length + removals.length === 0 ? undefined : { kind: 'changes', rows, removals };
  }
}
