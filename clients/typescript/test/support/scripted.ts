/** A server that says what the test wants, right or wrong, and remembers what it was asked. */
import { once } from 'node:events';
import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type status,
} from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import { ApiError, toStatus } from '../../../../src/api/errors.ts';
import {
  type AdjustBalanceRequest,
  type AdjustBalanceResponse,
  AccountCommandServiceService,
} from '../../../../src/gen/tallyback/account/v1/account_command_service.ts';
import {
  AccountQueryServiceService,
  Balance,
  type GetBalanceRequest,
  GetBalanceResponse,
  type WatchBalancesRequest,
  type WatchBalancesResponse,
} from '../../../../src/gen/tallyback/account/v1/account_query_service.ts';
import {
  ProjectionAdminServiceService,
  type StartRebuildRequest,
  StartRebuildResponse,
} from '../../../../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import type { CommandReceipt } from '../../../../src/gen/tallyback/common/v1/command.ts';
import { WatchHeader } from '../../../../src/gen/tallyback/common/v1/watch.ts';
import {
  ListCheckpointsResponse,
  SystemServiceService,
} from '../../../../src/gen/tallyback/system/v1/system_service.ts';
import { connect, type ConnectOptions, type Tallyback } from '../../src/index.ts';

export const failure = (code: status, reason: string, extras: ApiError['extras'] = {}): ApiError =>
  new ApiError(code, reason, `because of ${reason}`, extras);

export const receipt = (positionToken: string, changes: Partial<CommandReceipt> = {}): CommandReceipt => ({
  positionToken,
  revision: 0n,
  duplicate: false,
  unchanged: false,
  ...changes,
});

/** What comes of a unary call: an answer, an error, or nothing at all. */
type Outcome<Answer> = Answer | ApiError | 'silence';
type Event = NonNullable<WatchBalancesResponse['event']>;

/** One stream of a watch, from the server's side. */
export class WatchCall {
  readonly request: WatchBalancesRequest;
  readonly #call: ServerWritableStream<WatchBalancesRequest, WatchBalancesResponse>;
  sequence = 0n;
  cancelled = false;

  constructor(call: ServerWritableStream<WatchBalancesRequest, WatchBalancesResponse>) {
    this.#call = call;
    this.request = call.request;
    call.on('cancelled', () => (this.cancelled = true));
  }

  /** With a token, everything up to it has been told. False: the client does not take more. */
  send(event: Event, token = ''): boolean {
    this.sequence++;
    const tokens = token === '' ? {} : { positionToken: `position ${token}`, resumeToken: `resume ${token}` };
    return this.#call.write({
      header: WatchHeader.fromPartial({ sequence: this.sequence, ...tokens }),
      event,
    });
  }

  /** Resolves when the client takes more. */
  async drained(): Promise<void> {
    await once(this.#call, 'drain');
  }

  snapshot(token: string, ...rows: readonly Balance[]): void {
    this.send(started);
    for (const one of rows) this.send(changes(one));
    this.send(completed(rows.length), token);
  }

  end(error?: ApiError): void {
    if (error) this.#call.emit('error', toStatus(error));
    else this.#call.end();
  }
}

export const started: Event = { $case: 'snapshotStarted', value: { generation: '1' } };
export const completed = (rows: number): Event => ({
  $case: 'snapshotCompleted',
  value: { rowCount: BigInt(rows) },
});
export const caughtUp: Event = { $case: 'caughtUp', value: {} };
export const reset: Event = { $case: 'reset', value: { reason: 1 } };
export const heartbeat = (ms: number): Event => ({
  $case: 'heartbeat',
  value: { nextWithin: { seconds: 0n, nanos: ms * 1_000_000 } },
});
export const row = (member: string, amount: number): Balance =>
  Balance.fromPartial({ member, currency: 'GBP', availableMinor: BigInt(amount) });
export const changes = (...balances: Balance[]): Event => ({ $case: 'changes', value: { balances } });

interface Script {
  /** `number`: 0, 1, 2 … in order of arrival; as for all of these. */
  readonly adjust?: (request: AdjustBalanceRequest, number: number) => Outcome<CommandReceipt>;
  readonly balance?: (request: GetBalanceRequest, number: number) => Outcome<Balance>;
  readonly head?: () => string;
  readonly startRebuild?: (number: number) => Outcome<number>;
  readonly watch?: (call: WatchCall, number: number) => void | Promise<void>;
}

export interface Scripted {
  readonly client: Tallyback;
  readonly adjustments: readonly AdjustBalanceRequest[];
  readonly queries: readonly GetBalanceRequest[];
  readonly heads: number;
  readonly rebuilds: number;
  readonly watches: readonly WatchCall[];
}

/** Both ends of it go with the test. */
export async function scripted(script: Script, options: ConnectOptions = {}): Promise<Scripted> {
  const server = new Server();
  const adjustments: AdjustBalanceRequest[] = [];
  const queries: GetBalanceRequest[] = [];
  const watches: WatchCall[] = [];
  let heads = 0;
  let rebuilds = 0;
  const say = <Answer, Response>(
    outcome: Outcome<Answer>,
    respond: (answer: Answer) => Response,
    callback: sendUnaryData<Response>,
  ): void => {
    if (outcome === 'silence') return;
    if (outcome instanceof ApiError) callback(toStatus(outcome));
    else callback(null, respond(outcome));
  };
  server.addService(AccountCommandServiceService, {
    adjustBalance(
      { request }: ServerUnaryCall<AdjustBalanceRequest, AdjustBalanceResponse>,
      callback: sendUnaryData<AdjustBalanceResponse>,
    ) {
      adjustments.push(request);
      const outcome = script.adjust?.(request, adjustments.length - 1) ?? receipt('done');
      say(outcome, (of) => ({ receipt: of }), callback);
    },
  });
  server.addService(AccountQueryServiceService, {
    getBalance(
      { request }: ServerUnaryCall<GetBalanceRequest, GetBalanceResponse>,
      callback: sendUnaryData<GetBalanceResponse>,
    ) {
      queries.push(request);
      const outcome = script.balance?.(request, queries.length - 1) ?? row(request.member, 0);
      say(outcome, (balance) => GetBalanceResponse.fromPartial({ balance }), callback);
    },
    watchBalances(call: ServerWritableStream<WatchBalancesRequest, WatchBalancesResponse>) {
      const watch = new WatchCall(call);
      watches.push(watch);
      void script.watch?.(watch, watches.length - 1);
    },
  });
  server.addService(SystemServiceService, {
    listCheckpoints(_: unknown, callback: sendUnaryData<ListCheckpointsResponse>) {
      heads++;
      callback(null, ListCheckpointsResponse.fromPartial({ headToken: script.head?.() ?? 'head' }));
    },
  });
  server.addService(ProjectionAdminServiceService, {
    startRebuild(
      _: ServerUnaryCall<StartRebuildRequest, StartRebuildResponse>,
      callback: sendUnaryData<StartRebuildResponse>,
    ) {
      const outcome = script.startRebuild?.(rebuilds++) ?? 1;
      say(outcome, (generation) => StartRebuildResponse.fromPartial({ generation }), callback);
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  const client = connect(`127.0.0.1:${port}`, options);
  onTestFinished(() => {
    client.close();
    server.forceShutdown();
  });
  return {
    client,
    adjustments,
    queries,
    watches,
    get heads() {
      return heads;
    },
    get rebuilds() {
      return rebuilds;
    },
  };
}
