/** Bringing an entry to its target: which lines are new, which count for more or less, and what that moves. */
import { accept, refuse, type Decision } from '../aggregate.ts';
import { lineAmountMinor, parsePrice, rebateMinor, samePrice } from '../money.ts';
import {
  RebateCause,
  type AccountBalance,
  type RebateLine,
  type RebateLineChange,
} from '../../gen/tallyback/events/v1/account.ts';
import { ReleaseOn } from '../../gen/tallyback/events/v1/programme.ts';
import { accrue, reverse, type Split } from './balance.ts';
import type { LineTarget } from './commands.ts';
import { isReleased, type AccountDecision, type CommandOf, type Draft } from './draft.ts';
import { carriedTaken } from './lines.ts';
import type { AccountEntry, AccountEvent, AccountLine } from './state.ts';

type Retarget = CommandOf<'retarget-entry'>;

/** Changes of one direction and what they move. */
interface Changes {
  readonly changes: RebateLineChange[];
  held: bigint;
  released: bigint;
}

interface Plan {
  readonly up: Changes;
  readonly down: Changes;
  readonly lines: RebateLine[];
}

export function retargetEntry(draft: Draft, command: Retarget): AccountDecision {
  const invalid = refuseTargets(command.changed) ?? refuseTargets(command.added);
  if (invalid !== undefined) return invalid;
  const entry = draft.state.entries.get(command.entryId);
  const plan = planRetarget(draft, entry, command);
  const events: AccountEvent[] = [];
  let { balance } = draft;
  // Down before up: a line is taken to 0 before another purchase takes its place.
  if (plan.down.changes.length > 0) {
    const reversed = reversedEvent(draft, balance, command, plan.down);
    events.push(reversed.event);
    balance = reversed.balance;
  }
  if (plan.lines.length > 0 || plan.up.changes.length > 0) {
    events.push(accruedEvent(draft, balance, command, entryTerms(entry, command), plan.up, plan.lines));
  }
  return accept(...events);
}

const entryTerms = (entry: AccountEntry | undefined, command: Retarget): EntryTerms =>
  entry ?? {
    merchant: command.merchant,
    releaseOn: command.releaseOn,
    releasedBySource: command.releasedBySource || command.releaseOn === ReleaseOn.TRACKED,
  };

function planRetarget(draft: Draft, entry: AccountEntry | undefined, command: Retarget): Plan {
  const plan: Plan = { up: noChanges(), down: noChanges(), lines: [] };
  const added = new Map(command.added.map((line) => [line.lineNo, line]));
  const targets = new Map(command.changed.map((target) => [target.lineNo, target]));
  for (const target of command.changed) {
    const line = entry?.lines.get(target.lineNo);
    if (line === undefined) continue;
    const follows = leavesUnits(line, target) ? !line.removed : !added.has(target.lineNo);
    if (follows) planChange(plan, draft, line, target, command.cause === RebateCause.AMENDED);
  }
  for (const evaluated of command.added.toSorted((a, b) => a.lineNo - b.lineNo)) {
    const line = entry?.lines.get(evaluated.lineNo);
    const target = targets.get(evaluated.lineNo);
    const wanted = target !== undefined && target.quantity > 0n ? { ...evaluated, ...target } : evaluated;
    const makesWay = line === undefined || line.removed || (target && !leavesUnits(line, target));
    if (makesWay) planAddition(plan, draft, entry, line, wanted);
  }
  return plan;
}

/** A line that is new to the entry, or takes the place of one (`line`) that is gone. */
function planAddition(
  plan: Plan,
  draft: Draft,
  entry: AccountEntry | undefined,
  line: AccountLine | undefined,
  evaluated: RebateLine,
): void {
  if (line !== undefined && samePurchase(line, evaluated)) {
    planChange(plan, draft, line, evaluated, false);
    return;
  }
  const quantity = less(evaluated.quantity, carriedTaken(line, evaluated.sku));
  if (line !== undefined) planChange(plan, draft, line, { quantity: 0n, unitPrice: line.unitPrice }, false);
  const amountMinor = lineAmountMinor(evaluated.unitPrice, quantity, draft.common.currency);
  const rebate = entry?.declined === true ? 0n : rebateMinor(amountMinor, evaluated.rateBps);
  plan.lines.push({ ...evaluated, quantity, amountMinor, rebateMinor: rebate });
  plan.up.held += rebate;
}

function planChange(
  plan: Plan,
  draft: Draft,
  line: AccountLine,
  target: { readonly quantity: bigint; readonly unitPrice: string },
  byAmendment: boolean,
): void {
  const quantity = less(target.quantity, line.taken);
  // A removal is recorded even if no units were left: the line must not follow its order any more.
  const removes = byAmendment && quantity === 0n && !line.removed;
  if (!removes && quantity === line.quantity && samePrice(target.unitPrice, line.unitPrice)) return;
  const rebate = line.entry.declined ? 0n : rebateOf(line, quantity, target.unitPrice, draft.common.currency);
  const grows = quantity > 0n && quantity >= line.quantity;
  const up = rebate > line.rebate || (rebate === line.rebate && grows);
  addChange(up ? plan.up : plan.down, draft, line, quantity, target.unitPrice, rebate);
}

export const noChanges = (): Changes => ({ changes: [], held: 0n, released: 0n });

/** Records a change of a line and what it moves, up or down. */
export function addChange(
  to: Changes,
  draft: Draft,
  line: AccountLine,
  quantity: bigint,
  unitPrice: string,
  rebate: bigint,
): void {
  const moved = rebate > line.rebate ? rebate - line.rebate : line.rebate - rebate;
  if (isReleased(draft, line)) to.released += moved;
  else to.held += moved;
  to.changes.push({
    entryId: line.entry.entryId,
    lineNo: line.lineNo,
    sku: line.sku,
    quantityBefore: line.quantity,
    quantityAfter: quantity,
    unitPriceAfter: unitPrice,
    rebateBefore: line.rebate,
    rebateAfter: rebate,
  });
}

/** What a line of an entry that counts earns for some units at some price, under the rule of its purchase. */
export const rebateOf = (line: AccountLine, quantity: bigint, unitPrice: string, currency: string): bigint =>
  rebateMinor(lineAmountMinor(unitPrice, quantity, currency), line.rateBps);

const leavesUnits = (line: AccountLine, target: LineTarget): boolean => target.quantity > line.taken;

const less = (quantity: bigint, taken: bigint): bigint => (quantity > taken ? quantity - taken : 0n);

const samePurchase = (line: AccountLine, evaluated: RebateLine): boolean =>
  line.sku === evaluated.sku &&
  line.orderedAt === evaluated.orderedAt?.getTime() &&
  line.ruleSetVersion === evaluated.ruleSetVersion &&
  line.ruleId === evaluated.ruleId &&
  line.rateBps === evaluated.rateBps;

export interface EntryTerms {
  readonly merchant: string;
  readonly releaseOn: ReleaseOn;
  readonly releasedBySource: boolean;
}

interface OfEntry {
  readonly entryId: string;
  readonly cause: RebateCause;
}

export function accruedEvent(
  draft: Draft,
  before: AccountBalance,
  { entryId, cause }: OfEntry,
  { merchant, releaseOn, releasedBySource }: EntryTerms,
  up: Split & { readonly changes: RebateLineChange[] },
  lines: RebateLine[],
): AccountEvent {
  const { balance, debtRecovered } = accrue(before, up);
  return {
    type: 'RebateAccrued',
    data: {
      ...draft.common,
      entryId,
      merchant,
      cause,
      lines,
      changes: up.changes,
      amountMinor: up.held + up.released,
      toPending: up.held,
      toAvailable: up.released - debtRecovered,
      debtRecovered,
      releaseOn,
      releasedBySource,
      balance,
      opensEntry: !draft.state.entries.has(entryId),
    },
  };
}

export function reversedEvent(
  draft: Draft,
  before: AccountBalance,
  { entryId, cause, merchant }: OfEntry & { readonly merchant: string },
  down: Split & { readonly changes: RebateLineChange[] },
): { readonly event: AccountEvent; readonly balance: AccountBalance } {
  const { balance, toDebt } = reverse(before, down);
  const data = {
    ...draft.common,
    entryId,
    merchant,
    cause,
    changes: down.changes,
    amountMinor: down.held + down.released,
    fromPending: down.held,
    fromAvailable: down.released - toDebt,
    toDebt,
    balance,
  };
  return { event: { type: 'RebateReversed', data }, balance };
}

/** An order's decisions have checked these; whoever else sends them must be told. */
function refuseTargets(targets: readonly LineTarget[]): Decision<never> | undefined {
  const seen = new Set<number>();
  for (const { lineNo, quantity, unitPrice } of targets) {
    if (seen.has(lineNo)) return refuse('invalid', 'DUPLICATE_LINE', `line ${lineNo} appears twice`);
    if (quantity < 0n) return refuse('invalid', 'QUANTITY_NEGATIVE', `line ${lineNo} has no units to count`);
    if (parsePrice(unitPrice) === undefined) {
      return refuse('invalid', 'PRICE_FORMAT', `line ${lineNo}: a price is digits with up to six decimals`);
    }
    seen.add(lineNo);
  }
  return undefined;
}
