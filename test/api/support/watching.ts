/** A client that watches balances. */
import type { ClientReadableStream, StatusObject } from '@grpc/grpc-js';
import type {
  AccountQueryServiceClient,
  WatchBalancesResponse,
} from '../../../src/gen/tallyback/account/v1/account_query_service.ts';
import { ReadConsistency } from '../../../src/gen/tallyback/common/v1/consistency.ts';
import { failureOf, type Failure, until } from './server.ts';

export class Watching {
  readonly messages: WatchBalancesResponse[] = [];
  readonly call: ClientReadableStream<WatchBalancesResponse>;
  /** Latest state by member, as a client would keep it. */
  readonly state = new Map<string, bigint>();
  ended: Failure | undefined;

  constructor(
    client: AccountQueryServiceClient,
    options: { members?: string[]; atLeast?: string; paused?: boolean; deadline?: number } = {},
  ) {
    const { members = [], atLeast = '', paused, deadline } = options;
    const consistency = ReadConsistency.fromPartial({ atLeast });
    this.call = client.watchBalances({ members, consistency }, deadline === undefined ? {} : { deadline });
    this.call.on('error', () => undefined);
    this.call.on('status', (status: StatusObject) => {
      this.ended = failureOf(status);
    });
    // A grpc-js client that never began to read takes everything; one that stops after the first message does not.
    if (paused) this.call.once('data', () => this.call.pause());
    this.call.on('data', (message: WatchBalancesResponse) => {
      this.messages.push(message);
      // From here on nothing that was sent before holds.
      if (message.event?.$case === 'snapshotStarted') this.state.clear();
      if (message.event?.$case !== 'changes') return;
      for (const { member, availableMinor } of message.event.value.balances)
        this.state.set(member, availableMinor);
    });
  }

  /** Goes on reading. */
  read(): void {
    this.call.resume();
  }

  /** The grammar's words so far. */
  get words(): string[] {
    return this.messages.map(({ event }) => event?.$case ?? 'nothing');
  }

  get rowsPerMessage(): number[] {
    return this.messages.flatMap(({ event }) =>
      event?.$case === 'changes' ? [event.value.balances.length] : [],
    );
  }

  caughtUp(): Promise<void> {
    return until(() => this.words.includes('caughtUp'));
  }
}
