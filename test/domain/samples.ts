/** Plain commands for tests to vary: `track({ lines: [line({ quantity: 2n })] })`. */
import type { AccountCommand } from '../../src/domain/account/index.ts';
import type { OrderCommand, ReportedLine } from '../../src/domain/order/index.ts';
import type { ProgrammeCommand } from '../../src/domain/programme/index.ts';
import { lineAmountMinor, rebateMinor } from '../../src/domain/money.ts';
import { RebateCause, type RebateLine } from '../../src/gen/tallyback/events/v1/account.ts';
import { ReleaseOn, type Rule } from '../../src/gen/tallyback/events/v1/programme.ts';

export type CommandOf<C extends { readonly kind: string }, K extends C['kind']> = Extract<
  C,
  { readonly kind: K }
>;

/** Midnight UTC of a day counted from the start of 2026. */
export const day = (n: number): Date => new Date(Date.UTC(2026, 0, 1 + n));

export const rule = (over: Partial<Rule> = {}): Rule => ({
  ruleId: 'products',
  categories: ['product'],
  skus: [],
  excludedSkus: [],
  rateBps: 500,
  ...over,
});

export const publish = (
  over: Partial<CommandOf<ProgrammeCommand, 'publish-rule-set'>> = {},
): ProgrammeCommand => ({
  kind: 'publish-rule-set',
  merchant: 'shop',
  at: day(0),
  version: undefined,
  validFrom: day(0),
  validUntil: undefined,
  priority: 0,
  rules: [rule()],
  holdDays: 30,
  releaseOn: ReleaseOn.TRACKED,
  ...over,
});

export const line = (over: Partial<ReportedLine> = {}): ReportedLine => ({
  lineNo: 1,
  sku: 'mug',
  category: 'product',
  quantity: 10n,
  unitPrice: '2.55',
  orderedAt: undefined,
  service: false,
  ...over,
});

const document = { source: 'web', externalId: 'A1', at: day(0) };

export const track = (over: Partial<CommandOf<OrderCommand, 'track'>> = {}): OrderCommand => ({
  kind: 'track',
  ...document,
  merchant: 'shop',
  member: 'ann',
  currency: 'GBP',
  sourceVersion: 1n,
  lines: [line()],
  ...over,
});

export const reportStatus = (
  kind: 'confirm' | 'restore' | 'decline' | 'settle',
  sourceVersion: bigint,
  at = day(1),
): OrderCommand => {
  const of = { ...document, at, sourceVersion };
  switch (kind) {
    case 'confirm':
    case 'restore':
      return { kind, ...of };
    case 'decline':
      return { kind, ...of, reason: 'cancelled' };
    case 'settle':
      return { kind, ...of, statementId: 's1' };
  }
};

export const returnLines = (over: Partial<CommandOf<OrderCommand, 'return-lines'>> = {}): OrderCommand => ({
  kind: 'return-lines',
  ...document,
  at: day(2),
  returnId: 'R1',
  lines: [{ lineNo: 1, quantity: 4n }],
  ...over,
});

export const reportReturn = (over: Partial<CommandOf<OrderCommand, 'report-return'>> = {}): OrderCommand => ({
  kind: 'report-return',
  ...document,
  at: day(2),
  merchant: 'shop',
  member: 'ann',
  currency: 'GBP',
  lines: [line({ quantity: 4n })],
  ...over,
});

/** An evaluated line of 5 %, ordered on day 0 and held for 30 days, unless told otherwise. */
export function rebateLine(over: Partial<RebateLine> = {}): RebateLine {
  const quantity = over.quantity ?? 10n;
  const unitPrice = over.unitPrice ?? '2.00';
  const rateBps = over.rateBps ?? 500;
  const amountMinor = lineAmountMinor(unitPrice, quantity, 'GBP');
  return {
    lineNo: 1,
    sku: 'mug',
    quantity,
    unitPrice,
    amountMinor,
    ruleSetVersion: 1,
    ruleId: 'products',
    rateBps,
    rebateMinor: rebateMinor(amountMinor, rateBps),
    orderedAt: day(0),
    maturesAt: day(30),
    ...over,
  };
}

type AccountOver<K extends AccountCommand['kind']> = Partial<CommandOf<AccountCommand, K>>;

const ofAnn = { member: 'ann', currency: 'GBP' };

export const retarget = (over: AccountOver<'retarget-entry'> = {}): AccountCommand => ({
  kind: 'retarget-entry',
  ...ofAnn,
  at: day(0),
  entryId: 'web~A1',
  merchant: 'shop',
  cause: RebateCause.TRACKED,
  added: [],
  changed: [],
  releaseOn: ReleaseOn.TRACKED,
  releasedBySource: false,
  ...over,
});

/** An entry of one line that earns 100 minor units: 10 units of 2.00 at 5 %. */
export const earn100 = (over: AccountOver<'retarget-entry'> = {}): AccountCommand =>
  retarget({ added: [rebateLine()], ...over });

export const ofEntry = (kind: 'decline-entry' | 'restore-entry', at = day(1)): AccountCommand => ({
  kind,
  ...ofAnn,
  at,
  entryId: 'web~A1',
});

export const confirmEntry = (over: AccountOver<'confirm-entry'> = {}): AccountCommand => ({
  kind: 'confirm-entry',
  ...ofAnn,
  at: day(1),
  entryId: 'web~A1',
  status: 2,
  ...over,
});

export const takeReturn = (over: AccountOver<'take-return'> = {}): AccountCommand => ({
  kind: 'take-return',
  ...ofAnn,
  at: day(5),
  returnId: 'web~C1',
  merchant: 'shop',
  lines: [{ lineNo: 1, sku: 'mug', quantity: 4n, unitPrice: '2.00' }],
  ...over,
});

export const releaseDue = (at: Date): AccountCommand => ({ kind: 'release-due', ...ofAnn, at });

export const withdraw = (over: AccountOver<'request-withdrawal'> = {}): AccountCommand => ({
  kind: 'request-withdrawal',
  ...ofAnn,
  at: day(40),
  withdrawalId: 'w1',
  amountMinor: undefined,
  minimumMinor: 0n,
  ...over,
});

export const settle = (withdrawalId = 'w1', at = day(41)): AccountCommand => ({
  kind: 'settle-withdrawal',
  ...ofAnn,
  at,
  withdrawalId,
});

export const undo = (
  kind: 'fail-withdrawal' | 'return-withdrawal',
  at = day(50),
  withdrawalId = 'w1',
): AccountCommand => ({ kind, ...ofAnn, at, withdrawalId, reason: 'closed bank account' });

export const adjust = (over: AccountOver<'adjust'> = {}): AccountCommand => ({
  kind: 'adjust',
  ...ofAnn,
  at: day(1),
  adjustmentId: 'a1',
  amountMinor: 50n,
  reason: 'goodwill',
  requestedBy: 'bea',
  approvedBy: 'cid',
  ...over,
});

export const freeze = (at = day(1)): AccountCommand => ({
  kind: 'freeze',
  ...ofAnn,
  at,
  reason: 'fraud check',
  requestedBy: 'bea',
});

export const unfreeze = (at = day(2)): AccountCommand => ({
  kind: 'unfreeze',
  ...ofAnn,
  at,
  requestedBy: 'bea',
});
