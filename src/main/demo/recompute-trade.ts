/** Figures by window, and who leads. */
import type { DomainEvent } from '../../domain/events.ts';
import type { OrderLine } from '../../gen/tallyback/events/v1/order.ts';
import { keyOf, rowOf, type Table } from './table.ts';

const noFigures = () => ({
  orders: 0n,
  orderLines: 0n,
  returns: 0n,
  returnLines: 0n,
  adjustments: 0n,
  adjustmentLines: 0n,
  sales: 0n,
  refunds: 0n,
  unitsSold: 0n,
  unitsReturned: 0n,
  earned: 0n,
  rebatedLines: 0n,
  clawed: 0n,
  orphanLines: 0n,
  orphanUnits: 0n,
});
type Figures = ReturnType<typeof noFigures>;

export interface TradeTables {
  readonly windows: Table;
  readonly boards: Table;
}

const epoch = new Date(0);

export function tradeRecomputation() {
  const windows = new Map<string, Figures>();
  const scores = new Map<string, bigint>();

  /** Changes the figures of the hour and the day that hold a time. */
  const at = (merchant: string, currency: string, time: Date, change: (figures: Figures) => void): void => {
    const iso = time.toISOString();
    for (const [length, start] of [
      ['HOUR', `${iso.slice(0, 13)}:00:00.000Z`],
      ['DAY', `${iso.slice(0, 10)}T00:00:00.000Z`],
    ]) {
      const key = keyOf(merchant, currency, length, start);
      let figures = windows.get(key);
      if (!figures) windows.set(key, (figures = noFigures()));
      change(figures);
    }
  };
  const score = (
    board: string,
    merchant: string,
    time: Date,
    subject: string,
    currency: string,
    points: bigint,
  ) => {
    for (const month of ['', time.toISOString().slice(0, 7)]) {
      const key = keyOf(board, merchant, month, subject, currency);
      scores.set(key, (scores.get(key) ?? 0n) + points);
    }
  };
  const sale = (merchant: string, currency: string, line: OrderLine, sign: bigint): void =>
    at(merchant, currency, line.orderedAt ?? epoch, (figures) => {
      figures.orderLines += sign;
      figures.sales += sign * line.amountMinor;
      if (!line.service) figures.unitsSold += sign * line.quantity;
    });

  const addDocument = ({ type, data }: DomainEvent): void => {
    if (!('header' in data) || !data.header) return;
    const { merchant, currency } = data.header;
    const when = data.occurredAt ?? epoch;
    switch (type) {
      case 'OrderTracked':
        at(merchant, currency, when, (figures) => (figures.orders += 1n));
        for (const line of data.lines) sale(merchant, currency, line, 1n);
        return;
      case 'OrderAmended':
        for (const { before, after } of data.changes) {
          if (before) sale(merchant, currency, before, -1n);
          if (after) sale(merchant, currency, after, 1n);
        }
        return;
      case 'LinesReturned':
        at(merchant, currency, when, (figures) => {
          figures.returns += 1n;
          for (const { line, quantity, refundMinor } of data.lines) {
            figures.returnLines += 1n;
            figures.refunds += refundMinor;
            if (!line?.service) figures.unitsReturned += quantity;
          }
        });
        return;
      case 'ReturnReported':
        at(merchant, currency, when, (figures) => (figures.returns += 1n));
        for (const line of data.lines)
          at(merchant, currency, line.orderedAt ?? when, (figures) => {
            figures.returnLines += 1n;
            figures.refunds += line.amountMinor;
            if (!line.service) figures.unitsReturned += line.quantity;
          });
        return;
      case 'StockAdjustmentReported':
        at(merchant, currency, when, (figures) => {
          figures.adjustments += 1n;
          figures.adjustmentLines += BigInt(data.lines.length);
        });
        return;
      default:
    }
  };

  const addRebate = ({ type, data }: DomainEvent): void => {
    const when = data.occurredAt ?? epoch;
    switch (type) {
      case 'RebateAccrued': {
        const { merchant, currency, member } = data;
        for (const line of data.lines) {
          const ordered = line.orderedAt ?? when;
          at(merchant, currency, ordered, (figures) => {
            figures.earned += line.rebateMinor;
            figures.rebatedLines += 1n;
          });
          score('MEMBERS', merchant, ordered, member, currency, line.rebateMinor);
        }
        for (const { rebateBefore, rebateAfter } of data.changes) {
          at(merchant, currency, when, (figures) => (figures.earned += rebateAfter - rebateBefore));
          score('MEMBERS', merchant, when, member, currency, rebateAfter - rebateBefore);
        }
        return;
      }
      case 'RebateReversed':
      case 'ReturnTaken': {
        const { merchant, currency, member, amountMinor } = data;
        at(merchant, currency, when, (figures) => {
          figures.clawed += amountMinor;
          if (type === 'RebateReversed') return;
          for (const { orphanQuantity } of data.lines) {
            if (orphanQuantity > 0n) figures.orphanLines += 1n;
            figures.orphanUnits += orphanQuantity;
          }
        });
        score('MEMBERS', merchant, when, member, currency, -amountMinor);
        return;
      }
      case 'StockSold':
      case 'StockTakenBack': {
        const points = type === 'StockSold' ? data.quantity : -data.quantity;
        score('ITEMS', data.level?.merchant ?? '', when, data.level?.sku ?? '', '', points);
        return;
      }
      default:
    }
  };

  return {
    add(event: DomainEvent): void {
      addDocument(event);
      addRebate(event);
    },
    tables(): TradeTables {
      return {
        windows: new Map([...windows].map(([key, figures]) => [key, rowOf({ ...figures })])),
        boards: new Map([...scores].map(([key, points]) => [key, rowOf({ score: points })])),
      };
    },
  };
}
