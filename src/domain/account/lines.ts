/** How events change the entries and lines of an account's state, and the indexes over them. */
import { BrokenInvariant, present } from '../aggregate.ts';
import { priceMicros } from '../money.ts';
import type { RebateAccrued, RebateLine, RebateLineChange } from '../../gen/tallyback/events/v1/account.ts';
import { ReleaseOn } from '../../gen/tallyback/events/v1/programme.ts';
import type { AccountEntry, AccountLine, AccountState } from './state.ts';

/** NUL cannot be in an id: it could not be stored. */
export const shelfKey = (merchant: string, sku: string): string => `${merchant}\u0000${sku}`;

export function entryIn(state: AccountState, entryId: string): AccountEntry {
  return present(state.entries.get(entryId), `entry ${entryId}`);
}

export function ensureEntry(state: AccountState, accrued: RebateAccrued): AccountEntry {
  const known = state.entries.get(accrued.entryId);
  if (known !== undefined) return known;
  const entry: AccountEntry = {
    entryId: accrued.entryId,
    seq: state.entries.size,
    merchant: accrued.merchant,
    releaseOn: accrued.releaseOn,
    releasedBySource: accrued.releasedBySource,
    declined: false,
    lines: new Map(),
    nextDue: Infinity,
  };
  state.entries.set(entry.entryId, entry);
  return entry;
}

/** A line that is new, or takes the place of one that was removed. */
export function putLine(state: AccountState, entry: AccountEntry, data: RebateLine): void {
  const replaced = entry.lines.get(data.lineNo);
  const line: AccountLine = {
    entry,
    lineNo: data.lineNo,
    sku: data.sku,
    unitPrice: data.unitPrice,
    priceMicros: priceMicros(data.unitPrice),
    quantity: data.quantity,
    taken: carriedTaken(replaced, data.sku),
    rebate: data.rebateMinor,
    rateBps: data.rateBps,
    ruleSetVersion: data.ruleSetVersion,
    ruleId: data.ruleId,
    orderedAt: present(data.orderedAt, 'RebateLine.ordered_at').getTime(),
    maturesAt: present(data.maturesAt, 'RebateLine.matures_at').getTime(),
    released: false,
    removed: false,
  };
  entry.lines.set(line.lineNo, line);
  if (replaced !== undefined) removeFromShelf(state, replaced);
  putOnShelf(state, line);
  if (replaced === undefined) entry.nextDue = Math.min(entry.nextDue, line.maturesAt);
  else entry.nextDue = leastDue(entry);
}

/** Units taken by returns stay taken when a correction replaces the line by another of the same goods. */
export const carriedTaken = (
  replaced: Pick<AccountLine, 'sku' | 'taken'> | undefined,
  sku: string,
): bigint => (replaced?.sku === sku ? replaced.taken : 0n);

export function changeLine(entry: AccountEntry, change: RebateLineChange): AccountLine {
  const line = present(entry.lines.get(change.lineNo), `line ${change.lineNo} of entry ${entry.entryId}`);
  line.quantity = change.quantityAfter;
  line.unitPrice = change.unitPriceAfter;
  line.priceMicros = priceMicros(change.unitPriceAfter);
  line.rebate = change.rebateAfter;
  if (line.quantity > 0n) line.removed = false;
  return line;
}

export function takeFromLine(entry: AccountEntry, change: RebateLineChange): void {
  changeLine(entry, change).taken += change.quantityBefore - change.quantityAfter;
}

export function releaseLines(state: AccountState, entry: AccountEntry, lineNos: readonly number[]): void {
  for (const lineNo of lineNos) {
    const line = present(entry.lines.get(lineNo), `line ${lineNo} of entry ${entry.entryId}`);
    line.released = true;
  }
  entry.nextDue = leastDue(entry);
  indexMaturing(state, entry);
}

/** Sets what the source says of the entry. */
export function restate(
  state: AccountState,
  entry: AccountEntry,
  declined: boolean,
  releasedBySource: boolean,
): void {
  entry.declined = declined;
  entry.releasedBySource = releasedBySource || entry.releaseOn === ReleaseOn.TRACKED;
  indexMaturing(state, entry);
}

function indexMaturing(state: AccountState, entry: AccountEntry): void {
  if (entry.releasedBySource && !entry.declined && entry.nextDue < Infinity) state.maturing.add(entry);
  else state.maturing.delete(entry);
}

function leastDue(entry: AccountEntry): number {
  let least = Infinity;
  for (const line of entry.lines.values()) {
    if (!line.released && line.maturesAt < least) least = line.maturesAt;
  }
  return least;
}

const isOlder = (a: AccountLine, b: AccountLine): boolean =>
  (a.orderedAt - b.orderedAt || a.entry.seq - b.entry.seq || a.lineNo - b.lineNo) < 0;

function putOnShelf(state: AccountState, line: AccountLine): void {
  const key = shelfKey(line.entry.merchant, line.sku);
  const shelf = state.shelves.get(key);
  if (shelf === undefined) {
    state.shelves.set(key, [line]);
    return;
  }
  // From the end: purchases come mostly in the order of their times.
  let at = shelf.length;
  for (let older = shelf[at - 1]; older !== undefined && isOlder(line, older); older = shelf[at - 1]) at--;
  shelf.splice(at, 0, line);
}

function removeFromShelf(state: AccountState, line: AccountLine): void {
  const shelf = state.shelves.get(shelfKey(line.entry.merchant, line.sku));
  const at = shelf?.indexOf(line) ?? -1;
  if (shelf === undefined || at < 0) throw new BrokenInvariant(`line ${line.lineNo} is on no shelf`);
  shelf.splice(at, 1);
}
