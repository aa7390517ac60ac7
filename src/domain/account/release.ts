/** When held rebates become available. */
import { OrderStatus } from '../../gen/tallyback/events/v1/order.ts';
import { ReleaseOn } from '../../gen/tallyback/events/v1/programme.ts';
import type { AccountLine, AccountState } from './state.ts';

/** Whether an order of this status lets its rebates go once their hold has passed. Settled implies confirmed. */
export function conditionHolds(releaseOn: ReleaseOn, status: OrderStatus): boolean {
  switch (releaseOn) {
    case ReleaseOn.TRACKED:
      return true;
    case ReleaseOn.CONFIRMED:
      return status === OrderStatus.CONFIRMED || status === OrderStatus.SETTLED;
    case ReleaseOn.SETTLED:
      return status === OrderStatus.SETTLED;
    case ReleaseOn.UNSPECIFIED:
    case ReleaseOn.UNRECOGNIZED:
      return false;
  }
}

/** The held lines whose hold has passed and whose entry's condition holds, entry by entry. */
export function dueLines(state: AccountState, at: Date): AccountLine[] {
  const time = at.getTime();
  const due: AccountLine[] = [];
  for (const entry of state.maturing) {
    if (entry.nextDue > time) continue;
    for (const line of entry.lines.values()) {
      if (!line.released && line.maturesAt <= time) due.push(line);
    }
  }
  return due;
}
