/**
 * A return that names no order: it is matched with the member's purchases of the same goods at the same
 * merchant, newest first; those of the same unit price before the others. What finds none is an orphan: it is
 * recorded and moves no money. Declined purchases earn nothing and are passed over.
 */
import { accept, refuse, type Decision } from '../aggregate.ts';
import { minBigint, parsePrice, priceMicros } from '../money.ts';
import type { RebateLineChange, TakenReturnLine } from '../../gen/tallyback/events/v1/account.ts';
import { reverse } from './balance.ts';
import type { UnmatchedReturnLine } from './commands.ts';
import { returnFingerprint } from './content.ts';
import { isReleased, type AccountDecision, type CommandOf, type Draft } from './draft.ts';
import { shelfKey } from './lines.ts';
import { rebateOf } from './retarget.ts';
import type { AccountLine } from './state.ts';

/** Lines as the return has left them so far: several of its lines may touch the same purchase. */
interface Matching {
  readonly draft: Draft;
  readonly merchant: string;
  readonly kept: Map<AccountLine, { readonly quantity: bigint; readonly rebate: bigint }>;
  held: bigint;
  released: bigint;
}

export function takeReturn(draft: Draft, command: CommandOf<'take-return'>): AccountDecision {
  const { returnId, merchant, lines } = command;
  const invalid = refuseLines(lines);
  if (invalid !== undefined) return invalid;
  const known = draft.state.returns.get(returnId);
  if (known !== undefined) {
    return known === returnFingerprint(merchant, lines)
      ? accept()
      : refuse('already-exists', 'RETURN_ID_REUSED', `return ${returnId} was taken with other lines`);
  }
  const matching: Matching = { draft, merchant, kept: new Map(), held: 0n, released: 0n };
  const taken = lines.map((line) => matchLine(matching, line));
  const { balance, toDebt } = reverse(draft.balance, matching);
  return accept({
    type: 'ReturnTaken',
    data: {
      ...draft.common,
      returnId,
      merchant,
      lines: taken,
      amountMinor: matching.held + matching.released,
      fromPending: matching.held,
      fromAvailable: matching.released - toDebt,
      toDebt,
      balance,
    },
  });
}

function matchLine(
  matching: Matching,
  { lineNo, sku, quantity, unitPrice }: UnmatchedReturnLine,
): TakenReturnLine {
  const shelf = matching.draft.state.shelves.get(shelfKey(matching.merchant, sku)) ?? [];
  const price = priceMicros(unitPrice);
  const matched: RebateLineChange[] = [];
  let left = quantity;
  for (const samePrice of [true, false]) {
    for (let i = shelf.length - 1; i >= 0 && left > 0n; i--) {
      const line = shelf[i];
      if (line === undefined || (line.priceMicros === price) !== samePrice) continue;
      const change = takeUnits(matching, line, left);
      if (change === undefined) continue;
      matched.push(change);
      left -= change.quantityBefore - change.quantityAfter;
    }
  }
  return { lineNo, sku, quantity, unitPrice, matched, orphanQuantity: left };
}

/** Takes up to `wanted` units from a purchase; undefined if it has none. */
function takeUnits(matching: Matching, line: AccountLine, wanted: bigint): RebateLineChange | undefined {
  const { draft, kept } = matching;
  const before = kept.get(line) ?? line;
  if (before.quantity === 0n || line.entry.declined) return undefined;
  const quantity = before.quantity - minBigint(before.quantity, wanted);
  const rebate = rebateOf(line, quantity, line.unitPrice, draft.common.currency);
  kept.set(line, { quantity, rebate });
  if (isReleased(draft, line)) matching.released += before.rebate - rebate;
  else matching.held += before.rebate - rebate;
  return {
    entryId: line.entry.entryId,
    lineNo: line.lineNo,
    sku: line.sku,
    quantityBefore: before.quantity,
    quantityAfter: quantity,
    unitPriceAfter: line.unitPrice,
    rebateBefore: before.rebate,
    rebateAfter: rebate,
  };
}

function refuseLines(lines: readonly UnmatchedReturnLine[]): Decision<never> | undefined {
  for (const { lineNo, quantity, unitPrice } of lines) {
    if (quantity < 1n) {
      return refuse('invalid', 'QUANTITY_NOT_POSITIVE', `line ${lineNo} needs at least one unit`);
    }
    if (parsePrice(unitPrice) === undefined) {
      return refuse('invalid', 'PRICE_FORMAT', `line ${lineNo}: a price is digits with up to six decimals`);
    }
  }
  return undefined;
}
