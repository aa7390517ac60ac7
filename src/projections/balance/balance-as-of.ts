/**
 * A balance at a point in time, from the account's events. What was recorded up to a position is a beginning of the
 * stream, and then the balance is the one that its last event carries. What had happened by a business time need not
 * be: reports come late. So the balance is the sum of what each event that had happened by then moved, which is the
 * carried one as long as those events are a beginning of the stream.
 */
import { accountAggregate, dueLines } from '../../domain/account/index.ts';
import { present } from '../../domain/aggregate.ts';
import type { AccountBalance } from '../../gen/tallyback/events/v1/account.ts';
import type { LoggedEvent } from '../engine/read-model.ts';
import { balance, type BalanceEventType, type BalanceRow, heldIn } from './balance.ts';

const nothing: AccountBalance = accountAggregate.initial().balance;

export class BalanceAsOf {
  readonly #until: Date | undefined;
  #row: BalanceRow | undefined;
  /** Of all events, and of those that count. */
  #carried = nothing;
  #sum = nothing;
  /** Of the beginning of the stream that counts whole, to know what of it was due. */
  #state = accountAggregate.initial();
  #laterSeen = false;
  #late = 0;

  /** `until`: the business time, included; undefined: all that is taken in counts. */
  constructor(until: Date | undefined) {
    this.#until = until;
  }

  /** Takes in the account's next event that was recorded by then. */
  take(logged: LoggedEvent<BalanceEventType>): void {
    const { event } = logged;
    const after = present(event.data.balance, `${event.type}.balance`);
    const at = present(event.data.occurredAt, `${event.type}.occurred_at`);
    if (this.#until !== undefined && at.getTime() > this.#until.getTime()) {
      this.#laterSeen = true;
    } else {
      this.#row = balance.fold(this.#row, logged, []);
      this.#sum = moved(this.#sum, this.#carried, after);
      if (this.#laterSeen) this.#late++;
      else if (this.#until !== undefined) this.#state = accountAggregate.evolve(this.#state, event);
    }
    this.#carried = after;
  }

  /** Undefined: the account did not exist. */
  get row(): BalanceRow | undefined {
    return this.#row && { ...this.#row, ...heldIn(this.#sum) };
  }

  /** Events that count but were recorded after one that does not. */
  get lateEvents(): number {
    return this.#late;
  }

  /** What a decision at the business time would have released first; undefined: it cannot be known. */
  get dueMinor(): bigint | undefined {
    if (this.#until === undefined || this.#late > 0) return undefined;
    return dueLines(this.#state, this.#until).reduce((sum, { rebate }) => sum + rebate, 0n);
  }
}

/** The sum with what an event moved: it carries what was held after it, as did the one before. */
function moved(sum: AccountBalance, before: AccountBalance, after: AccountBalance): AccountBalance {
  const by = (amount: (of: AccountBalance) => bigint): bigint => amount(sum) + amount(after) - amount(before);
  return {
    pending: by((of) => of.pending),
    available: by((of) => of.available),
    reserved: by((of) => of.reserved),
    paid: by((of) => of.paid),
    debt: by((of) => of.debt),
    accrued: by((of) => of.accrued),
    reversed: by((of) => of.reversed),
    adjusted: by((of) => of.adjusted),
  };
}
