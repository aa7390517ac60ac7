/** Watches of balances as clients hold them. */
import type { ClientReadableStream } from '@grpc/grpc-js';
import {
  type AccountQueryServiceClient,
  WatchBalancesRequest,
  type WatchBalancesResponse,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';

export type Watch = ClientReadableStream<WatchBalancesResponse>;

/** A watch of these members (none named: of all), open and up to date; without a snapshot. */
export async function openWatch(
  queries: AccountQueryServiceClient,
  members: readonly string[] = [],
  heartbeatSeconds = 60,
): Promise<Watch> {
  const request = WatchBalancesRequest.fromPartial({
    members: [...members],
    options: { changesOnly: true, heartbeatInterval: { seconds: BigInt(heartbeatSeconds) } },
  });
  const watch = queries.watchBalances(request);
  await new Promise<void>((resolve, reject) => {
    watch.on('error', reject);
    watch.on('data', ({ event }: WatchBalancesResponse) => {
      if (event?.$case === 'caughtUp') resolve();
    });
  });
  return watch;
}

/** Calls back with every member whose balance a message tells. */
export function onBalance(watch: Watch, told: (member: string) => void): void {
  watch.on('data', ({ event }: WatchBalancesResponse) => {
    if (event?.$case === 'changes') for (const { member } of event.value.balances) told(member);
  });
}
