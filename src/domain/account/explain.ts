/**
 * What one entry of an account earned, step by step, worked out anew from the inputs that its events state, and
 * compared with what they booked. A difference is a BrokenInvariant: an explanation that does not add up is none.
 *
 * It is a second way to the same amounts: it does not share the fold that decisions rest on, only the arithmetic of
 * a line.
 */
import { BrokenInvariant, present } from '../aggregate.ts';
import type { DomainEvent } from '../events.ts';
import { lineAmountMinor, rebateMinor } from '../money.ts';
import {
  RebateCause,
  type RebateLine,
  type RebateLineChange,
} from '../../gen/tallyback/events/v1/account.ts';
import { ReleaseOn } from '../../gen/tallyback/events/v1/programme.ts';
import { carriedTaken } from './lines.ts';

/** The events that may say something of an entry. */
export const rebateEventTypes = [
  'RebateAccrued',
  'RebateReversed',
  'RebateConfirmed',
  'RebateReleased',
  'ReturnTaken',
] as const;
export type RebateEvent = DomainEvent<(typeof rebateEventTypes)[number]>;

/** A line with everything its rebate is computed from. Never changed: every step has its own. */
export interface ExplainedLine {
  readonly lineNo: number;
  readonly sku: string;
  readonly quantity: bigint;
  /** Units that returns without an order took. */
  readonly taken: bigint;
  readonly unitPrice: string;
  readonly amountMinor: bigint;
  readonly ruleSetVersion: number;
  readonly ruleId: string;
  readonly rateBps: number;
  /** The floor formula, and the ten-thousandths of a minor unit that it leaves out. */
  readonly earnsMinor: bigint;
  readonly roundedOff: number;
  /** What counts: 0 while the order is declined. */
  readonly rebateMinor: bigint;
  readonly orderedAt: Date;
  readonly maturesAt: Date;
  readonly releasedAt: Date | undefined;
}

export interface LineStep {
  readonly after: ExplainedLine;
  /** Undefined: the line is evaluated in this step, for the first time or in place of another purchase. */
  readonly before: ExplainedLine | undefined;
}

/** What one event did to the entry. earned = pending + released. */
export interface EntryStep {
  readonly event: RebateEvent;
  readonly occurredAt: Date;
  readonly earnedMinor: bigint;
  readonly pendingMinor: bigint;
  readonly releasedMinor: bigint;
  readonly lines: readonly LineStep[];
}

export interface EntryExplanation {
  readonly merchant: string;
  readonly releaseOn: ReleaseOn;
  readonly conditionHolds: boolean;
  readonly declined: boolean;
  readonly accruedMinor: bigint;
  readonly reversedMinor: bigint;
  readonly pendingMinor: bigint;
  readonly releasedMinor: bigint;
  /** By line number. */
  readonly lines: readonly ExplainedLine[];
}

/** Takes an account's events in order, and follows one entry. */
export class EntryExplainer {
  readonly #entryId: string;
  readonly #currency: string;
  readonly #lines = new Map<number, ExplainedLine>();
  #opened: { readonly merchant: string; readonly releaseOn: ReleaseOn } | undefined;
  #conditionHolds = false;
  #declined = false;
  #accrued = 0n;
  #reversed = 0n;
  #pending = 0n;
  #released = 0n;

  constructor(entryId: string, currency: string) {
    this.#entryId = entryId;
    this.#currency = currency;
  }

  /** What the event did to the entry; undefined: nothing. */
  take(event: RebateEvent): EntryStep | undefined {
    const lines = this.#linesOf(event);
    if (lines === undefined) return undefined;
    const at = present(event.data.occurredAt, `${event.type}.occurred_at`);
    const step = { event, occurredAt: at, ...moved(lines), lines };
    for (const { before, after } of lines) {
      const by = after.rebateMinor - (before?.rebateMinor ?? 0n);
      if (by > 0n) this.#accrued += by;
      else this.#reversed -= by;
    }
    this.#pending += step.pendingMinor;
    this.#released += step.releasedMinor;
    proveBooked(event, step, this.#entryId);
    return step;
  }

  /** The entry as it is now; undefined: the account has none. */
  result(): EntryExplanation | undefined {
    if (this.#opened === undefined) return undefined;
    const lines = [...this.#lines.values()].toSorted((a, b) => a.lineNo - b.lineNo);
    const left = sum(lines, ({ rebateMinor: rebate }) => rebate);
    same('what is left', this.#accrued - this.#reversed, left);
    same('what is left, by where it is', this.#pending + this.#released, left);
    const free = sum(lines, (line) => (line.releasedAt === undefined ? 0n : line.rebateMinor));
    same('what is released', this.#released, free);
    return {
      ...this.#opened,
      conditionHolds: this.#conditionHolds,
      declined: this.#declined,
      accruedMinor: this.#accrued,
      reversedMinor: this.#reversed,
      pendingMinor: this.#pending,
      releasedMinor: this.#released,
      lines,
    };
  }

  #linesOf(event: RebateEvent): readonly LineStep[] | undefined {
    switch (event.type) {
      case 'RebateAccrued': {
        const { data } = event;
        if (data.entryId !== this.#entryId) return undefined;
        this.#opened ??= { merchant: data.merchant, releaseOn: data.releaseOn };
        if (data.cause === RebateCause.RESTORED) this.#declined = false;
        this.#setCondition(data.releasedBySource);
        const evaluated = data.lines.map((line) => this.#evaluate(line));
        return [...evaluated, ...data.changes.map((change) => this.#change(change, 0n))];
      }
      case 'RebateReversed': {
        const { data } = event;
        if (data.entryId !== this.#entryId) return undefined;
        if (data.cause === RebateCause.DECLINED) {
          this.#declined = true;
          this.#setCondition(false);
        }
        return data.changes.map((change) => this.#change(change, 0n));
      }
      case 'ReturnTaken': {
        const own = event.data.lines.flatMap(({ matched }) =>
          matched.filter(({ entryId }) => entryId === this.#entryId),
        );
        if (own.length === 0) return undefined;
        return own.map((change) => this.#change(change, change.quantityBefore - change.quantityAfter));
      }
      case 'RebateConfirmed': {
        if (event.data.entryId !== this.#entryId) return undefined;
        this.#setCondition(true);
        return [];
      }
      case 'RebateReleased': {
        const own = event.data.entries.find(({ entryId }) => entryId === this.#entryId);
        if (own === undefined) return undefined;
        const at = present(event.data.occurredAt, 'RebateReleased.occurred_at');
        return own.lineNos.map((lineNo) => this.#release(lineNo, at));
      }
    }
  }

  #setCondition(bySource: boolean): void {
    this.#conditionHolds = bySource || this.#opened?.releaseOn === ReleaseOn.TRACKED;
  }

  #evaluate(booked: RebateLine): LineStep {
    const replaced = this.#lines.get(booked.lineNo);
    same(`line ${booked.lineNo} before another purchase`, replaced?.rebateMinor ?? 0n, 0n);
    const after: ExplainedLine = {
      lineNo: booked.lineNo,
      sku: booked.sku,
      ...this.#arithmetic(booked.quantity, booked.unitPrice, booked.rateBps),
      taken: carriedTaken(replaced, booked.sku),
      ruleSetVersion: booked.ruleSetVersion,
      ruleId: booked.ruleId,
      rateBps: booked.rateBps,
      orderedAt: present(booked.orderedAt, 'RebateLine.ordered_at'),
      maturesAt: present(booked.maturesAt, 'RebateLine.matures_at'),
      releasedAt: undefined,
    };
    same(`the amount of line ${after.lineNo}`, booked.amountMinor, after.amountMinor);
    same(`the rebate of line ${after.lineNo}`, booked.rebateMinor, after.rebateMinor);
    this.#lines.set(after.lineNo, after);
    return { after, before: undefined };
  }

  #change(booked: RebateLineChange, taken: bigint): LineStep {
    const before = this.#line(booked.lineNo);
    same(`units of line ${booked.lineNo} before`, booked.quantityBefore, before.quantity);
    same(`the rebate of line ${booked.lineNo} before`, booked.rebateBefore, before.rebateMinor);
    const after: ExplainedLine = {
      ...before,
      ...this.#arithmetic(booked.quantityAfter, booked.unitPriceAfter, before.rateBps),
      taken: before.taken + taken,
    };
    same(`the rebate of line ${booked.lineNo} after`, booked.rebateAfter, after.rebateMinor);
    this.#lines.set(after.lineNo, after);
    return { after, before };
  }

  #release(lineNo: number, at: Date): LineStep {
    const before = this.#line(lineNo);
    const due = before.releasedAt === undefined && before.maturesAt.getTime() <= at.getTime();
    if (!due || !this.#conditionHolds || this.#declined)
      throw new BrokenInvariant(`line ${lineNo} was released at ${at.toISOString()}, but was not due`);
    const after = { ...before, releasedAt: at };
    this.#lines.set(lineNo, after);
    return { after, before };
  }

  #line(lineNo: number): ExplainedLine {
    return present(this.#lines.get(lineNo), `line ${lineNo} of entry ${this.#entryId}`);
  }

  #arithmetic(quantity: bigint, unitPrice: string, rateBps: number) {
    const amountMinor = lineAmountMinor(unitPrice, quantity, this.#currency);
    const earnsMinor = rebateMinor(amountMinor, rateBps);
    const roundedOff = Number(amountMinor * BigInt(rateBps) - earnsMinor * 10_000n);
    return {
      quantity,
      unitPrice,
      amountMinor,
      earnsMinor,
      roundedOff,
      rebateMinor: this.#declined ? 0n : earnsMinor,
    };
  }
}

const sum = <T>(of: readonly T[], amount: (one: T) => bigint): bigint =>
  of.reduce((total, one) => total + amount(one), 0n);

/** Where the rebate of a line is: held back, or released. */
const held = (line: ExplainedLine | undefined): bigint =>
  line === undefined || line.releasedAt !== undefined ? 0n : line.rebateMinor;
const free = (line: ExplainedLine | undefined): bigint =>
  line?.releasedAt === undefined ? 0n : line.rebateMinor;

function moved(lines: readonly LineStep[]) {
  const pendingMinor = sum(lines, ({ before, after }) => held(after) - held(before));
  const releasedMinor = sum(lines, ({ before, after }) => free(after) - free(before));
  return { earnedMinor: pendingMinor + releasedMinor, pendingMinor, releasedMinor };
}

/** Compares what the step comes to with the amounts that the event booked. */
function proveBooked(event: RebateEvent, step: EntryStep, entryId: string): void {
  switch (event.type) {
    case 'RebateAccrued': {
      const { amountMinor, toPending, toAvailable, debtRecovered } = event.data;
      same('what was accrued', amountMinor, step.earnedMinor);
      same('what was accrued and held back', toPending, step.pendingMinor);
      same('what was accrued and released', toAvailable + debtRecovered, step.releasedMinor);
      return;
    }
    case 'RebateReversed': {
      const { amountMinor, fromPending, fromAvailable, toDebt } = event.data;
      same('what was reversed', -amountMinor, step.earnedMinor);
      same('what was reversed of what was held back', -fromPending, step.pendingMinor);
      same('what was reversed of what was released', -(fromAvailable + toDebt), step.releasedMinor);
      return;
    }
    case 'ReturnTaken': {
      // A return may take from several entries: of all of them its amount is the sum, and this one's is a part.
      const { amountMinor, fromPending, fromAvailable, toDebt, lines } = event.data;
      const all = lines.flatMap(({ matched }) => matched);
      same(
        'what a return took',
        amountMinor,
        sum(all, (of) => of.rebateBefore - of.rebateAfter),
      );
      same('what a return took, by where it was', amountMinor, fromPending + fromAvailable + toDebt);
      if (all.some((of) => of.entryId !== entryId)) return;
      same('what a return took of what was held back', -fromPending, step.pendingMinor);
      same('what a return took of what was released', -(fromAvailable + toDebt), step.releasedMinor);
      return;
    }
    case 'RebateReleased': {
      const { amountMinor, entries } = event.data;
      same(
        'what was released of all',
        amountMinor,
        sum(entries, (entry) => entry.amountMinor),
      );
      const own = sum(entries, (entry) => (entry.entryId === entryId ? entry.amountMinor : 0n));
      same('what was released', own, step.releasedMinor);
      return;
    }
    case 'RebateConfirmed':
      return;
  }
}

function same(what: string, booked: bigint, worked: bigint): void {
  if (booked !== worked) throw new BrokenInvariant(`${what}: ${booked} was booked, ${worked} comes out`);
}
