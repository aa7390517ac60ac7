/** One page of a list. */
import type { PageRequest, ReadConsistency, ReadInfo } from '../../gen/tallyback/common/v1/consistency.ts';
import type { Columns, Key, ReadModel, RowOf } from '../../projections/engine/read-model.ts';
import type { Filter, ReadModelReader } from '../../projections/engine/reading.ts';
import type { Call } from '../call.ts';
import type { Freshness } from './consistency.ts';
import { decodePageToken, encodePageToken, keyFromTexts, keyToTexts, type PageScope } from './page-token.ts';

const defaultSize = 100;
const largestSize = 1_000;
/** A page is cut where it would get larger than this, in bytes: well within what clients accept. */
const largestPage = 2 << 20;

/** Rows per page: 0 is the default, more than the most is the most. */
export const pageSize = (page: PageRequest | undefined): number =>
  page === undefined || page.pageSize === 0 ? defaultSize : Math.min(page.pageSize, largestSize);

export interface ListPlan<C extends Columns, Message> {
  readonly model: ReadModel<C>;
  readonly filter: Filter<C>;
  readonly scope: PageScope;
  readonly page: PageRequest | undefined;
  readonly consistency: ReadConsistency | undefined;
  readonly toMessage: (row: RowOf<C>) => Message;
  /** Size of a row's message in bytes, for tables whose rows may be large. */
  readonly sizeOf?: (row: RowOf<C>) => number;
}

export interface ListedPage<Message> {
  readonly messages: Message[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
  readonly served: ReadInfo;
}

export async function listPage<C extends Columns, Message>(
  parts: { readonly reader: ReadModelReader; readonly freshness: Freshness },
  plan: ListPlan<C, Message>,
  call: Call,
): Promise<ListedPage<Message>> {
  const { model, filter, scope, page } = plan;
  const token = page?.pageToken ?? '';
  const after = token === '' ? undefined : keyFromTexts(model, decodePageToken(scope, token));
  const found = await parts.freshness.answer(model, plan.consistency, call, () =>
    parts.reader.list(model, { filter, after, limit: pageSize(page) }),
  );
  const fitting = plan.sizeOf ? fit(found.rows, plan.sizeOf) : found.rows.length;
  const last = found.rows[fitting - 1];
  const next = fitting < found.rows.length && last ? keyOf(model, last) : found.next;
  return {
    messages: found.rows.slice(0, fitting).map(plan.toMessage),
    nextPageToken: next ? encodePageToken(scope, keyToTexts(next)) : '',
    served: found.served,
  };
}

/** How many of the rows go into one response, by their sizes in bytes: at least one. */
export function fit<Row>(rows: readonly Row[], sizeOf: (row: Row) => number): number {
  let bytes = 0;
  const tooMany = rows.findIndex((row, index) => {
    bytes += sizeOf(row);
    return index > 0 && bytes > largestPage;
  });
  return tooMany < 0 ? rows.length : tooMany;
}

function keyOf<C extends Columns>(model: ReadModel<C>, row: RowOf<C>): Key {
  const values = new Map<string, unknown>(Object.entries(row));
  return model.table.key.map((column) => {
    const value = values.get(column);
    if (
      typeof value === 'string' ||
      typeof value === 'bigint' ||
      typeof value === 'number' ||
      value instanceof Date
    ) {
      return value;
    }
    throw new TypeError(`${model.name}.${column} cannot be part of a key`);
  });
}
