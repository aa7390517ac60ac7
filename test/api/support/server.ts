/** The real gRPC server over loopback, on fakes, with the generated clients. */
import {
  type ClientOptions,
  credentials,
  Metadata,
  type ServiceError,
  status,
  type StatusObject,
} from '@grpc/grpc-js';
import { setTimeout as delay } from 'node:timers/promises';
import { positionTokens } from '../../../src/application/position-token.ts';
import { sealWith } from '../../../src/application/seal.ts';
import type { KeptRecord, RefusedRecord, RefusedRecords } from '../../../src/application/refused-records.ts';
import { startApiServer, type ApiServerOptions } from '../../../src/api/server.ts';
import { logStart, type Position } from '../../../src/eventstore/port.ts';
import { AccountCommandServiceClient } from '../../../src/gen/tallyback/account/v1/account_command_service.ts';
import { AccountQueryServiceClient } from '../../../src/gen/tallyback/account/v1/account_query_service.ts';
import { ProjectionAdminServiceClient } from '../../../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import { EventFeedServiceClient } from '../../../src/gen/tallyback/feed/v1/event_feed_service.ts';
import { FiguresQueryServiceClient } from '../../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import { IngestServiceClient } from '../../../src/gen/tallyback/ingest/v1/ingest_service.ts';
import { ItemCommandServiceClient } from '../../../src/gen/tallyback/item/v1/item_command_service.ts';
import { ItemQueryServiceClient } from '../../../src/gen/tallyback/item/v1/item_query_service.ts';
import { OrderCommandServiceClient } from '../../../src/gen/tallyback/order/v1/order_command_service.ts';
import { OrderQueryServiceClient } from '../../../src/gen/tallyback/order/v1/order_query_service.ts';
import { ProgrammeCommandServiceClient } from '../../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import { ProgrammeQueryServiceClient } from '../../../src/gen/tallyback/programme/v1/programme_query_service.ts';
import { SystemServiceClient } from '../../../src/gen/tallyback/system/v1/system_service.ts';
import { BadRequest, ErrorInfo, RetryInfo } from '../../../src/gen/google/rpc/error_details.ts';
import { Status } from '../../../src/gen/google/rpc/status.ts';
import { MemoryEventStore } from '../../support/memory-event-store.ts';
import { FakeBus } from './bus.ts';
import { FakeOperator } from './operator.ts';
import { FakeTables } from './tables.ts';

export class FakeRefusedRecords implements RefusedRecords {
  readonly kept: KeptRecord[] = [];
  failure: Error | undefined;

  async keep(record: RefusedRecord): Promise<void> {
    await delay(0);
    if (this.failure) throw this.failure;
    this.kept.push({ ...record, id: BigInt(this.kept.length + 1), receivedAt: new Date(0), times: 1n });
  }

  async list({ reason, after, limit }: Parameters<RefusedRecords['list']>[0]) {
    const found = this.kept.filter(
      (kept) => kept.id > (after ?? 0n) && (reason === undefined || kept.reason === reason),
    );
    const records = found.slice(0, limit);
    return { records, next: found.length > limit ? records.at(-1)?.id : undefined };
  }
}

export const tokens = positionTokens(Buffer.from('key of the tests'), 'test-store');

export async function startTestApi(overrides: Partial<ApiServerOptions> = {}) {
  const bus = new FakeBus();
  const tables = new FakeTables();
  const refusedRecords = new FakeRefusedRecords();
  const operator = new FakeOperator();
  const log: string[] = [];
  let errors = 0;
  const state: { head: Position; headFailure: Error | undefined } = {
    head: logStart,
    headFailure: undefined,
  };
  const server = await startApiServer({
    listen: '127.0.0.1:0',
    bus,
    reader: tables,
    progress: tables.progress,
    streams: new MemoryEventStore(),
    head: async () => {
      if (state.headFailure) throw state.headFailure;
      return state.head;
    },
    subscribe: (options) => new MemoryEventStore().subscribe(options),
    tokens,
    seal: sealWith(Buffer.from('key of the tests'), 'test-store'),
    refusedRecords,
    operator,
    policies: ['policy:order-rebate'],
    clock: () => new Date(),
    log: (line) => log.push(line),
    newErrorId: () => `error-${++errors}`,
    ...overrides,
    // Where the log ends is made up by tests, mostly far away: who wants to be told of that asks for it.
    limits: { lagMs: 3_600_000, ...overrides.limits },
  });
  const { address } = server;
  const open: { close(): void }[] = [];
  const connect = <T extends { close(): void }>(
    Client: new (
      address: string,
      creds: ReturnType<typeof credentials.createInsecure>,
      options?: ClientOptions,
    ) => T,
    options: ClientOptions = {},
  ): T => {
    // A connection of its own, so that a stalled client does not slow others down.
    const client = new Client(address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      ...options,
    });
    open.push(client);
    return client;
  };
  return {
    bus,
    tables,
    refusedRecords,
    operator,
    log,
    state,
    server,
    address,
    connect,
    projections: connect(ProjectionAdminServiceClient),
    account: connect(AccountCommandServiceClient),
    accountQuery: connect(AccountQueryServiceClient),
    eventFeed: connect(EventFeedServiceClient),
    figuresQuery: connect(FiguresQueryServiceClient),
    ingest: connect(IngestServiceClient),
    item: connect(ItemCommandServiceClient),
    itemQuery: connect(ItemQueryServiceClient),
    order: connect(OrderCommandServiceClient),
    orderQuery: connect(OrderQueryServiceClient),
    programme: connect(ProgrammeCommandServiceClient),
    programmeQuery: connect(ProgrammeQueryServiceClient),
    system: connect(SystemServiceClient),
    async close() {
      for (const client of open) client.close();
      await server.stop(1_000);
    },
  };
}

export type TestApi = Awaited<ReturnType<typeof startTestApi>>;

type UnaryCall<Req, Res> = (
  request: Req,
  metadata: Metadata,
  options: { deadline: number },
  callback: (error: ServiceError | null, response: Res) => void,
) => { on(event: 'status', listener: (status: StatusObject) => void): unknown };

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fields: readonly string[];
  readonly descriptions: readonly string[];
  readonly types: readonly string[];
  readonly retryMs: number | undefined;
  readonly detailBytes: number;
  readonly trailers: Metadata;
}

export function failureOf(error: Pick<StatusObject, 'code' | 'details' | 'metadata'>): Failure {
  const [raw] = error.metadata.get('grpc-status-details-bin');
  const bytes = Buffer.isBuffer(raw) ? raw : Buffer.alloc(0);
  const details = Status.decode(bytes).details.map(({ typeUrl, value }) => ({
    type: typeUrl.replace('type.googleapis.com/google.rpc.', ''),
    value,
  }));
  const find = (type: string): Buffer | undefined => details.find((detail) => detail.type === type)?.value;
  const info = ErrorInfo.decode(find('ErrorInfo') ?? Buffer.alloc(0));
  const violations = BadRequest.decode(find('BadRequest') ?? Buffer.alloc(0)).fieldViolations;
  const retry = find('RetryInfo');
  const delayed = retry ? RetryInfo.decode(retry).retryDelay : undefined;
  return {
    code: status[error.code],
    message: error.details,
    reason: info.reason,
    domain: info.domain,
    metadata: info.metadata,
    fields: violations.map(({ field }) => field),
    descriptions: violations.map(({ description }) => description),
    types: details.map(({ type }) => type),
    retryMs: delayed ? Number(delayed.seconds) * 1_000 + delayed.nanos / 1e6 : undefined,
    detailBytes: bytes.length,
    trailers: error.metadata,
  };
}

export type Answer<Res> =
  | { readonly ok: true; readonly response: Res; readonly trailers: Metadata }
  | ({ readonly ok: false } & Failure);

/** Calls a method and gives whatever came of it. */
export function ask<Req, Res>(
  client: object,
  method: UnaryCall<Req, Res>,
  request: Req,
  deadlineMs = 10_000,
): Promise<Answer<Res>> {
  return new Promise((resolve) => {
    let response: Res | undefined;
    const call = method.call(
      client,
      request,
      new Metadata(),
      { deadline: Date.now() + deadlineMs },
      (_, value) => {
        response = value;
      },
    );
    call.on('status', (ended) => {
      setImmediate(() => {
        if (ended.code === status.OK && response !== undefined) {
          resolve({ ok: true, response, trailers: ended.metadata });
        } else resolve({ ok: false, ...failureOf(ended) });
      });
    });
  });
}

export async function answered<Req, Res>(
  client: object,
  method: UnaryCall<Req, Res>,
  request: Req,
): Promise<Res> {
  const answer = await ask(client, method, request);
  if (answer.ok) return answer.response;
  throw new Error(`${answer.code} ${answer.reason}: ${answer.message} ${answer.fields.join()}`);
}

export async function refusedBy<Req, Res>(
  client: object,
  method: UnaryCall<Req, Res>,
  request: Req,
  deadlineMs?: number,
): Promise<Failure> {
  const answer = await ask(client, method, request, deadlineMs);
  if (!answer.ok) return answer;
  throw new Error('expected a refusal');
}

/** Waits until it is so. */
export async function until(condition: () => boolean, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not so within ${ms} ms: ${String(condition)}`);
    await delay(2);
  }
}
