/** Histories with money that is right: what accounts decide, mixed with whatever else happens. */
import fc from 'fast-check';
import { accountAggregate, type AccountCommand } from '../../../src/domain/account/index.ts';
import { accountStream } from '../../../src/domain/streams.ts';
import { history } from '../../domain/account-histories.ts';
import { type Happening, someHistory } from '../../projections/support/history.ts';
import { chance } from '../../support/chance.ts';

/** What these commands lead to on the account of a member. */
function accountHappenings(
  member: string,
  currency: string,
  commands: readonly AccountCommand[],
): Happening[] {
  let state = accountAggregate.initial();
  const happenings: Happening[] = [];
  for (const command of commands) {
    const decision = accountAggregate.decide(state, { ...command, member, currency });
    if (decision.kind === 'refused') continue;
    for (const event of decision.events) {
      state = accountAggregate.evolve(state, event);
      happenings.push({ stream: accountStream(member, currency), event });
    }
  }
  return happenings;
}

/** The same every time: so many accounts in two currencies, orders, items, rule sets. */
export function someWorld(accounts: number, others: number, seed: number): Happening[] {
  // Several in a row: some come to nothing.
  const lots = fc.sample(history, { numRuns: 4 * accounts, seed });
  const streams = Array.from({ length: accounts }, (_, n) =>
    accountHappenings(`member-${n >> 1}`, n % 2 === 0 ? 'GBP' : 'EUR', lots.slice(4 * n, 4 * n + 4).flat()),
  );
  const rest = someHistory(others, seed).filter(({ stream }) => !stream.startsWith('account-'));
  return mixed([...streams, ...rest.map((one) => [one])], chance(seed));
}

/** All of them, each list in its own order. */
function mixed(lists: readonly Happening[][], random: () => number): Happening[] {
  const left = lists.filter(({ length }) => length > 0).map((list) => ({ list, next: 0 }));
  const order: Happening[] = [];
  while (left.length > 0) {
    const at = Math.floor(random() * left.length);
    const one = left[at];
    const happening = one?.list[one.next++];
    if (happening) order.push(happening);
    if (!one || one.next >= one.list.length) left.splice(at, 1);
  }
  return order;
}
