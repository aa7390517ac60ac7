/** Rows of a table against the streams that make them. */
import type { EventStore, RecordedEvent } from '../../eventstore/port.ts';
import { comparePositions } from '../../eventstore/port.ts';
import { balance } from '../balance/balance.ts';
import type { Key, ReadModel } from '../engine/read-model.ts';
import { keyText } from '../engine/row-key.ts';
import { AccountLedgers } from './account-ledgers.ts';
import { differences, type Difference, keyTexts } from './difference.ts';
import { Refold } from './refold.ts';
import type { Look } from './storage.ts';

/** A read model whose rows can be checked one by one. */
export type StreamModel = ReadModel & Required<Pick<ReadModel, 'streamOf'>>;

export const isStreamModel = (model: ReadModel): model is StreamModel => model.streamOf !== undefined;

export interface CheckedRow {
  readonly key: Key;
  /** None: it is right. */
  readonly found: readonly Difference[];
  /** Read for it. */
  readonly events: number;
}

export interface CheckOptions {
  readonly store: Pick<EventStore, 'readStream'>;
  readonly signal: AbortSignal;
  /** Called after every stream, and now and then in long ones. */
  readonly spent: (rows: number, events: number) => Promise<void>;
}

/** Events. */
const payEvery = 500;

/** Checks the rows of these keys, which may or may not be among those that were looked at. */
export async function checkRows(
  model: StreamModel,
  keys: readonly Key[],
  look: Look,
  options: CheckOptions,
): Promise<readonly CheckedRow[]> {
  const stored = new Map(look.rows.map((one) => [keyText(one.key), one]));
  const byStream = new Map<string, Key[]>();
  for (const key of keys) {
    const stream = model.streamOf(key);
    byStream.set(stream, [...(byStream.get(stream) ?? []), key]);
  }
  const checked: CheckedRow[] = [];
  for (const [stream, own] of byStream) {
    if (look.holds.droppedStream(stream)) continue;
    const wanted = new Map(own.map((key) => [keyText(key), key]));
    const refold = new Refold(model, look.holds, (text) => wanted.has(text));
    const money =
      model.name === balance.name ? new AccountLedgers(look.holds, (text) => wanted.has(text)) : undefined;
    let [events, unpaid] = [0, 0];
    for await (const event of eventsOf(model, stream, own, look, options)) {
      events++;
      if (++unpaid === payEvery) {
        await options.spent(0, unpaid);
        unpaid = 0;
      }
      refold.take(event);
      money?.take(event);
    }
    for (const [text, key] of wanted) {
      if (refold.excepts(text)) continue;
      const row = stored.get(text);
      const failure = refold.failures.get(text) ?? refold.failures.get(stream);
      const found =
        failure === undefined
          ? [
              ...differences(key, row, refold.rows.get(text)),
              ...((row && money?.differences(key, row.row)) ?? []),
            ]
          : [{ key: keyTexts(key), column: 'fold', stored: undefined, right: failure }];
      checked.push({ key, found, events });
    }
    await options.spent(own.length, unpaid);
  }
  return checked;
}

/** No stream has more: a row that says so is none of it. */
const lastRevision = 2 ** 31 - 2;

/** The part of a stream that has made these rows. */
async function* eventsOf(
  model: StreamModel,
  stream: string,
  keys: readonly Key[],
  { through }: Look,
  { store, signal }: CheckOptions,
): AsyncGenerator<RecordedEvent, void, undefined> {
  const revisions = model.revisionOf && keys.map((key) => model.revisionOf?.(key) ?? 0);
  const from = revisions?.reduce((least, one) => Math.min(least, one), lastRevision) ?? 0;
  const to = revisions?.reduce((most, one) => Math.max(most, one), -1) ?? Infinity;
  for await (const event of store.readStream(stream, { from: Math.max(0, from), signal })) {
    if (event.revision > to || comparePositions(event.position, through) > 0) return;
    yield event;
  }
}
