/** A balance at a point in time, read from the log. */
import { accountStream } from '../../domain/streams.ts';
import { balance } from '../../projections/balance/balance.ts';
import { BalanceAsOf } from '../../projections/balance/balance-as-of.ts';
import type { PointInTime } from './as-of.ts';
import type { LogReads } from './log-reads.ts';

export async function balanceAsOf(
  reads: LogReads,
  { member, currency }: { readonly member: string; readonly currency: string },
  { through, until }: PointInTime,
  signal: AbortSignal,
): Promise<BalanceAsOf> {
  const asOf = new BalanceAsOf(until);
  await reads.each(
    { stream: accountStream(member, currency), through, types: balance.handles, signal },
    ({ recorded, event }) => {
      asOf.take({ ...recorded, event });
    },
  );
  return asOf;
}
