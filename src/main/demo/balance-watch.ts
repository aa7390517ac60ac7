/**
 * A client that watches balances as an app would: it keeps a map from the snapshot on, and watches anew when the
 * stream ends. It also takes the time from a command to the message that shows its effect.
 */
import { backoffMs } from '../client/backoff.ts';
import type { Connection } from '../client/connect.ts';
import {
  type Balance,
  WatchBalancesRequest,
  type WatchBalancesResponse,
} from '../../gen/tallyback/account/v1/account_query_service.ts';
import { balanceKey } from './answers.ts';

export interface BalanceWatch {
  /** What the client holds. */
  held(): Iterable<Balance>;
  /** A command was sent that will change the member's balance at this business time. */
  expect(member: string, currency: string, at: Date): void;
  /** It was refused, or changed nothing. */
  forget(member: string, currency: string): void;
  readonly messages: number;
  stop(): void;
}

export function watchBalances(connection: Connection, onSeen: (ms: number) => void): BalanceWatch {
  let balances = new Map<string, Balance>();
  let staged: Map<string, Balance> | undefined;
  let messages = 0;
  let attempt = 0;
  let stopped = false;
  let retry: NodeJS.Timeout | undefined;
  const expected = new Map<string, { readonly at: number; readonly since: number }>();

  const seen = (balance: Balance): void => {
    const key = balanceKey(balance);
    const waiting = expected.get(key);
    if (!waiting || (balance.changedAt?.getTime() ?? 0) < waiting.at) return;
    expected.delete(key);
    onSeen(performance.now() - waiting.since);
  };
  const take = ({ event }: WatchBalancesResponse): void => {
    messages += 1;
    attempt = 0;
    switch (event?.$case) {
      case 'snapshotStarted':
        staged = new Map();
        return;
      case 'changes':
        for (const balance of event.value.balances) {
          (staged ?? balances).set(balanceKey(balance), balance);
          seen(balance);
        }
        return;
      case 'snapshotCompleted':
        // All at once: rows that are not in the snapshot do not exist.
        balances = staged ?? balances;
        staged = undefined;
        return;
      default:
    }
  };
  const open = () => {
    const stream = connection.accounts.watchBalances(WatchBalancesRequest.fromPartial({}));
    stream.on('data', take);
    stream.on('error', () => undefined);
    stream.on('status', () => {
      staged = undefined;
      if (stopped) return;
      retry = setTimeout(() => (call = open()), backoffMs((attempt += 1)));
    });
    return stream;
  };
  let call = open();

  return {
    held: () => balances.values(),
    expect(member, currency, at) {
      const key = `${member} | ${currency}`;
      if (!expected.has(key)) expected.set(key, { at: at.getTime(), since: performance.now() });
    },
    forget: (member, currency) => void expected.delete(`${member} | ${currency}`),
    get messages() {
      return messages;
    },
    stop() {
      stopped = true;
      clearTimeout(retry);
      call.cancel();
    },
  };
}
