/** Requests the scenarios send. */
import { randomUUID } from 'node:crypto';
import { type ChannelOptions, type Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { AdjustBalanceRequest } from '../src/gen/tallyback/account/v1/account_command_service.ts';
import { TrackOrderRequest } from '../src/gen/tallyback/order/v1/order_command_service.ts';
import {
  ProgrammeCommandServiceClient,
  PublishRuleSetRequest,
  ReleaseOn,
} from '../src/gen/tallyback/programme/v1/programme_command_service.ts';

export const merchant = 'bench';

export const unary = <Q, A>(
  call: (request: Q, done: (error: ServiceError | null, answer: A) => void) => unknown,
  request: Q,
): Promise<A> =>
  new Promise((resolve, reject) => {
    call(request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });

/** A client with a connection of its own. */
export const connect = <C extends Client>(
  Constructor: new (
    address: string,
    creds: ReturnType<typeof credentials.createInsecure>,
    options: ChannelOptions,
  ) => C,
  address: string,
): C => new Constructor(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });

/** An order of three lines, or so many, of one of 1,000 members. */
export const order = (n: number, lineCount = 3): TrackOrderRequest =>
  TrackOrderRequest.fromPartial({
    requestId: randomUUID(),
    source: 'bench',
    externalId: `order-${n}`,
    occurredAt: new Date(Date.UTC(2026, 0, 1) + n * 1_000),
    merchant,
    member: `member-${n % 1_000}`,
    currency: 'GBP',
    sourceVersion: 1n,
    lines: Array.from({ length: lineCount }, (_, i) => i + 1).map((lineNo) => ({
      lineNo,
      sku: `sku-${(n * 7 + lineNo * 13) % 500}`,
      category: 'product',
      quantity: 2n,
      unitPrice: '12.50',
    })),
  });

export async function publishProgramme(address: string): Promise<void> {
  const programmes = connect(ProgrammeCommandServiceClient, address);
  const request = PublishRuleSetRequest.fromPartial({
    requestId: randomUUID(),
    merchant,
    ruleSet: {
      validFrom: new Date('2000-01-01'),
      rules: [{ ruleId: 'all', rateBps: 500 }],
      holdDays: 30,
      releaseOn: ReleaseOn.TRACKED,
    },
  });
  await unary((q: PublishRuleSetRequest, done) => programmes.publishRuleSet(q, done), request);
  programmes.close();
}

/** A credit of one unit; `n` makes it one of its own. */
export const adjustment = (member: string, n: number): AdjustBalanceRequest =>
  AdjustBalanceRequest.fromPartial({
    requestId: randomUUID(),
    member,
    currency: 'GBP',
    occurredAt: new Date(Date.UTC(2026, 0, 1) + n),
    adjustmentId: `adjustment-${n}`,
    amountMinor: 1n,
    reason: 'bench',
    requestedBy: 'x',
    approvedBy: 'y',
  });
